//! Turns `proto/` into code and a descriptor set. protox parses the protos, so that no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

const PROTO_DIR: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    // `compile_fds` does not know where the descriptors came from.
    println!("cargo:rerun-if-changed={PROTO_DIR}");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new([PROTO_DIR])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files([
        "entitlement/v1/entitlement_service.proto",
        "entitlement/v1/error_reason.proto",
        "entitlement/v1/tenant_admin_service.proto",
        "envoy/service/auth/v3/external_auth.proto",
    ])?;

    fs::write(out.join("entitlement_descriptor.bin"), compiler.encode_file_descriptor_set())?;
    let mut config = tonic_prost_build::configure().build_transport(false);
    config = config.extern_path(".google.rpc.Status", "::tonic_types::Status");
    // Every request of a proxy's clients comes in one of these: see `src/proto.rs`.
    for message in ["CheckRequest", "CheckResponse"] {
        config =
            config.extern_path(format!(".envoy.service.auth.v3.{message}"), format!("crate::proto::envoy::{message}"));
    }
    config.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
