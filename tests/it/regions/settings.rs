//! Settings that cannot be meant.

use crate::harness::process;

const REPLICA: &str = "postgres://nobody@127.0.0.1:1/erp";
const PRIMARY: &str = "postgres://nobody:s3cret@127.0.0.1:2/erp";

/// Why `serve` does not start.
fn refusal(flags: &[&str]) -> String {
    let output = process::run(&[&["serve", "--listen", "127.0.0.1:0"], flags].concat());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    text
}

#[test]
fn a_core_on_a_replica_hears_of_changes_by_polling_and_not_otherwise() {
    let of = |mode| {
        refusal(&["--database-url", REPLICA, "--primary-database-url", PRIMARY, "--changes", mode])
    };
    assert!(of("off").contains("nobody knows otherwise how old a replica is"), "{}", of("off"));
    assert!(of("listen").contains("a replica announces none"), "{}", of("listen"));
}

#[test]
fn what_makes_no_sense_beside_a_primary_elsewhere_is_refused() {
    for other in [
        &["--replica-database-url", REPLICA][..],
        &["--listen-database-url", REPLICA],
        &["--migrate"],
        &["--primary-database-url-file", "/nowhere"],
    ] {
        let both = ["--database-url", REPLICA, "--primary-database-url", PRIMARY];
        let text = refusal(&[&both, other].concat());
        assert!(text.contains("cannot be used with"), "{other:?}: {text}");
    }
    for [database, primary] in [["sqlite:erp.db", PRIMARY], [REPLICA, "sqlite:erp.db"]] {
        let text = refusal(&["--database-url", database, "--primary-database-url", primary]);
        assert!(text.contains("usable URL") || text.contains("only PostgreSQL"), "{text}");
    }
}
