//! Writes the generated code: `cargo run -p entitlementd-codegen`.

use std::path::Path;

use entitlementd_codegen::{Failure, write};

fn main() -> Result<(), Failure> {
    write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}
