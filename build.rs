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
    ])?;

    fs::write(out.join("entitlement_descriptor.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().build_transport(false).compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
