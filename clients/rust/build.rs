//! Turns the repository's `proto/` into a client's code. protox parses the protos, so that no
//! `protoc` is needed.

use std::error::Error;

const PROTO_DIR: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    // `compile_fds` does not know where the descriptors came from.
    println!("cargo:rerun-if-changed={PROTO_DIR}");
    let protos = ["entitlement/v1/entitlement_service.proto", "entitlement/v1/error_reason.proto"];
    let descriptors = protox::compile(protos, [PROTO_DIR])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
