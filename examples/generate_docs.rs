//! Writes the documents that are generated from the program: `cargo run --example generate_docs`.
//!
//! A test compares them with what would be written, so that none is out of date.

use std::{fs, io, path::Path};

#[path = "generate_docs/configuration.rs"]
mod configuration;

/// A document, by its path from the root of the repository, and what renders it.
type Document = (&'static str, fn() -> String);

const DOCUMENTS: &[Document] = &[(configuration::PATH, configuration::render)];

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, render) in DOCUMENTS {
        fs::write(root.join(path), render())?;
        println!("{path}");
    }
    Ok(())
}
