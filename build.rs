//! Turns `proto/` into code, a descriptor set and a list of methods. protox parses the protos, so
//! that no `protoc` is needed.

use std::{
    env,
    error::Error,
    fmt::{self, Write},
    fs,
    path::PathBuf,
};

use prost_types::FileDescriptorSet;

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
    fs::write(out.join("methods.rs"), methods(&compiler.file_descriptor_set())?)?;
    let mut config = tonic_prost_build::configure().build_transport(false);
    config = config.extern_path(".google.rpc.Status", "::tonic_types::Status");
    // Every request of a proxy's clients comes in one of these: see `src/proto.rs`.
    for message in ["CheckRequest", "CheckResponse"] {
        config = config.extern_path(
            format!(".envoy.service.auth.v3.{message}"),
            format!("crate::proto::envoy::{message}"),
        );
    }
    config.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// An enum of all methods: who matches on it knows each, or does not compile.
fn methods(descriptors: &FileDescriptorSet) -> Result<String, fmt::Error> {
    let [mut variants, mut names, mut paths, mut methods, mut streams] =
        [const { String::new() }; 5];
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let (name, path) = (
                    method.name(),
                    format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                );
                writeln!(variants, "    /// `{path}`\n    {name},")?;
                writeln!(names, "            Self::{name} => {name:?},")?;
                writeln!(paths, "            Self::{name} => {path:?},")?;
                writeln!(methods, "            {path:?} => Some(Self::{name}),")?;
                if method.client_streaming() || method.server_streaming() {
                    write!(streams, "{}Self::{name}", if streams.is_empty() { "" } else { " | " })?;
                }
            }
        }
    }
    Ok(format!(
        "/// A method of a service that is answered here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {{
{variants}}}

impl Method {{
    /// Its name, without its service's.
    pub fn name(self) -> &'static str {{
        match self {{
{names}        }}
    }}

    /// The path of its requests: its service's full name, and its own.
    pub fn path(self) -> &'static str {{
        match self {{
{paths}        }}
    }}

    /// The method of a path; `None`: no service here has it.
    pub fn of(path: &str) -> Option<Self> {{
        match path {{
{methods}            _ => None,
        }}
    }}

    /// Is its request or its response a stream?
    pub fn streams(self) -> bool {{
        matches!(self, {streams})
    }}

    /// All of them, in the order of their numbers.
    pub const ALL: &'static [Self] = &{all};
}}
",
        all = all(descriptors),
    ))
}

fn all(descriptors: &FileDescriptorSet) -> String {
    let services = descriptors.file.iter().flat_map(|file| &file.service);
    let methods = services
        .flat_map(|service| &service.method)
        .map(|method| format!("Self::{}", method.name()));
    format!("[{}]", methods.collect::<Vec<_>>().join(", "))
}
