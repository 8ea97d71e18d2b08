//! The list of methods.

use std::fmt::{self, Write};

use prost_types::FileDescriptorSet;

/// An enum of all methods: who matches on it knows each, or does not compile.
pub(crate) fn source(descriptors: &FileDescriptorSet) -> Result<String, fmt::Error> {
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
