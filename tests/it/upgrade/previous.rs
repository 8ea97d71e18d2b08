//! The version before this one, as `tests/previous` builds it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::process::{Process, program_at};

/// Where `tests/previous` puts it.
fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/previous");
    let wanted = fs::read_to_string(root.join("tests/previous-version")).unwrap();
    let wanted = wanted.lines().find(|line| !line.starts_with('#')).unwrap();
    let built = fs::read_to_string(folder.join("version")).unwrap_or_default();
    assert_eq!(
        built.split(' ').next(),
        Some(wanted),
        "the previous version is not in target/previous: tests/previous builds it, or says why it cannot"
    );
    folder
}

/// Its program.
pub fn program() -> Command {
    program_at(folder().join("entitlementd"))
}

/// Runs its `migrate`, which must go well.
pub fn migrate(url: &str) {
    let output = program().args(["migrate", "--database-url", url]).output().unwrap();
    assert!(output.status.success(), "migrate: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts a server of it.
pub fn serve(flags: &[&str]) -> Process {
    Process::start(program(), "json", flags)
}

/// Its protos.
pub fn protos() -> PathBuf {
    folder().join("source/proto")
}
