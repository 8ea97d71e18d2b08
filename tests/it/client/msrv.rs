//! Which Rust the library asks for.

use std::process::Command;

use serde_json::Value;

/// It uses nothing newer: clippy's `incompatible_msrv` sees to the standard library.
#[test]
fn the_library_asks_for_the_rust_that_tonic_asks_for_and_no_newer_one() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rust_of = |name: &str| {
        let packages = metadata["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"] == name).unwrap();
        package["rust_version"].as_str().unwrap().to_owned()
    };
    assert_eq!(rust_of("entitlement-client"), rust_of("tonic"));
    let readme = include_str!("../../../clients/rust/README.md");
    for version in [rust_of("tonic"), rust_of("sea-orm").trim_end_matches(".0").to_owned()] {
        assert!(readme.contains(&format!("Rust {version}")), "the README names Rust {version}");
    }
}
