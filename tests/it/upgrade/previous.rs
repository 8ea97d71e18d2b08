//! The versions before this one, as `tests/previous` builds them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::process::{Process, program_at};

/// A version before this one, by its name in `tests/previous-versions`.
#[derive(Clone, Copy)]
pub struct Previous(&'static str);

/// It has no edges, and the older schema.
pub const WITHOUT_EDGES: Previous = Previous("without-edges");
/// It has edges.
pub const WITH_EDGES: Previous = Previous("with-edges");

impl Previous {
    /// Where `tests/previous` puts it.
    fn folder(self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("target/previous").join(self.0);
        let versions = fs::read_to_string(root.join("tests/previous-versions")).unwrap();
        let wanted = versions.lines().find_map(|line| line.strip_prefix(self.0)).unwrap().trim();
        let built = fs::read_to_string(folder.join("version")).unwrap_or_default();
        assert_eq!(
            built.split(' ').next(),
            Some(wanted),
            "the version {} is not in target/previous: tests/previous builds it, or says why it cannot",
            self.0
        );
        folder
    }

    /// Its program.
    fn program(self) -> Command {
        program_at(self.folder().join("entitlementd"))
    }

    /// Runs its `migrate`, which must go well.
    pub fn migrate(self, url: &str) {
        let output = self.program().args(["migrate", "--database-url", url]).output().unwrap();
        assert!(output.status.success(), "migrate: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a server of it.
    pub fn serve(self, flags: &[&str]) -> Process {
        Process::start(self.program(), "json", flags)
    }

    /// Starts an edge of it.
    pub fn edge(self, flags: &[&str]) -> Process {
        Process::start_edge(self.program(), flags)
    }

    /// Its protos.
    pub fn protos(self) -> PathBuf {
        self.folder().join("source/proto")
    }
}
