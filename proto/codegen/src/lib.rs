//! Turns `proto/` into code, a descriptor set and a list of methods.
//!
//! The code is committed, so that nobody who builds the server or the client has to build this first,
//! and so that the client can be packed without the protos. `cargo run -p entitlementd-codegen` writes
//! it; a test compares it with what would be written. protox parses the protos, so that no `protoc` is
//! needed.

mod methods;

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use protox::Compiler;
use tonic_prost_build::Builder;

/// A file, and what it holds.
pub type Generated = (PathBuf, Vec<u8>);

/// What went wrong.
pub type Failure = Box<dyn Error + Send + Sync>;

const SERVER: &str = "proto/generated";
const CLIENT: &str = "clients/rust/generated";

/// Everything that is generated, with paths from the repository's root.
///
/// # Errors
///
/// If a proto cannot be parsed, or a temporary folder cannot be written.
pub fn generate(root: &Path) -> Result<Vec<Generated>, Failure> {
    let mut files = server(root)?;
    files.extend(client(root)?);
    files.sort();
    Ok(files)
}

/// Writes everything that is generated.
///
/// # Errors
///
/// As [`generate`], and if a file cannot be written.
pub fn write(root: &Path) -> Result<(), Failure> {
    for folder in [SERVER, CLIENT] {
        fs::remove_dir_all(root.join(folder)).or_else(missing_is_fine)?;
        fs::create_dir_all(root.join(folder))?;
    }
    for (path, content) in generate(root)? {
        fs::write(root.join(path), content)?;
    }
    Ok(())
}

fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// For the server: all services and messages, the descriptors for reflection, and its methods.
fn server(root: &Path) -> Result<Vec<Generated>, Failure> {
    let protos = [
        "entitlement/replication/v1/replication_service.proto",
        "entitlement/replication/v1/state_file.proto",
        "entitlement/v1/entitlement_service.proto",
        "entitlement/v1/error_reason.proto",
        "entitlement/v1/feature_admin_service.proto",
        "entitlement/v1/lease_service.proto",
        "entitlement/v1/tenant_admin_service.proto",
        "entitlement/v1/usage_service.proto",
        "envoy/service/auth/v3/external_auth.proto",
    ];
    let compiler = compiled(root, &protos)?;
    let mut builder = tonic_prost_build::configure()
        .build_transport(false)
        .extern_path(".google.rpc.Status", "::tonic_types::Status");
    // Every request of a proxy's clients comes in one of these: see `src/proto.rs`.
    for message in ["CheckRequest", "CheckResponse"] {
        builder = builder.extern_path(
            format!(".envoy.service.auth.v3.{message}"),
            format!("crate::proto::envoy::{message}"),
        );
    }
    // Encoded once for all who follow.
    let changes = ".entitlement.replication.v1.FollowFactsResponse";
    builder = builder.extern_path(changes, "crate::proto::FollowFactsResponse");
    let folder = Path::new(SERVER);
    let mut files = code(builder, &compiler, folder)?;
    let methods = methods::source(&compiler.file_descriptor_set())?;
    files.push((folder.join("methods.rs"), methods.into_bytes()));
    files.push((folder.join("descriptors.bin"), compiler.encode_file_descriptor_set()));
    Ok(files)
}

/// For the client: what callers use, without the server's half.
fn client(root: &Path) -> Result<Vec<Generated>, Failure> {
    let protos = [
        "entitlement/v1/entitlement_service.proto",
        "entitlement/v1/error_reason.proto",
        "entitlement/v1/lease_service.proto",
        "entitlement/v1/usage_service.proto",
    ];
    let builder = tonic_prost_build::configure().build_server(false).build_transport(false);
    code(builder, &compiled(root, &protos)?, Path::new(CLIENT))
}

fn compiled(root: &Path, protos: &[&str]) -> Result<Compiler, Failure> {
    let mut compiler = Compiler::new([root.join("proto")])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(protos)?;
    Ok(compiler)
}

/// A file for each package of ours.
fn code(builder: Builder, compiler: &Compiler, folder: &Path) -> Result<Vec<Generated>, Failure> {
    let out = tempfile::tempdir()?;
    builder.out_dir(out.path()).compile_fds(compiler.file_descriptor_set())?;
    let mut files = Vec::new();
    for entry in fs::read_dir(out.path())? {
        let entry = entry?;
        let content = fs::read(entry.path())?;
        // What only imports a well-known type generates nothing.
        if !content.is_empty() {
            files.push((folder.join(entry.file_name()), content));
        }
    }
    Ok(files)
}
