//! `entitlementd lease-key`.

use std::{process::Stdio, time::Duration};

use super::*;
use crate::{
    harness::process::{Process, program, run},
    readme::{blocks, section},
};

/// What a command prints, and what it complains of.
fn lease_key(file: &Path, command: &[&str]) -> (i32, String, String) {
    let flags = ["--lease-key-file", file.to_str().unwrap()];
    let output = run(&[&["lease-key"], command, &flags].concat());
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap(), out.trim_end().to_owned(), err)
}

fn made(file: &Path, command: &[&str]) -> String {
    let (code, out, err) = lease_key(file, command);
    assert_eq!((code, err.as_str()), (0, ""), "{command:?}");
    out
}

#[test]
fn keys_are_made_listed_put_first_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lease-keys.json");
    let old = made(&file, &["new"]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(made(&file, &["list"]), format!("{old}  signs"));
    let new = made(&file, &["new"]);
    assert_eq!(made(&file, &["list"]), format!("{old}  signs\n{new}  published"));
    let (code, _, err) = lease_key(&file, &["remove", &old]);
    assert!(code == 2 && err.contains("let another one sign first"), "{err}");
    assert_eq!(made(&file, &["sign-with", &new]), "");
    assert_eq!(made(&file, &["list"]), format!("{new}  signs\n{old}  published"));
    let set = made(&file, &["jwks"]);
    assert!(set.contains(&old) && set.contains(&new) && !set.contains("\"d\""), "{set}");
    assert!(LeaseVerifier::new(set.as_bytes()).is_ok());
    assert_eq!(made(&file, &["remove", &old]), "");
    assert_eq!(made(&file, &["list"]), format!("{new}  signs"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    for command in [["remove", &old], ["sign-with", "another"]] {
        let (code, _, err) = lease_key(&file, &command);
        assert!(code == 2 && err.contains("which holds no key"), "{err}");
    }
}

#[test]
fn what_is_no_key_file_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    for (text, words) in [
        ("s3cret", "holds neither private keys in PEM"),
        (
            "{\"keys\": [{\"kty\": \"oct\", \"k\": \"s3cret\"}]}",
            "key number 1: is not an Ed25519 key",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n",
            "only a JWK set is changed",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let (code, out, err) = lease_key(&file, &["new"]);
        assert_eq!(
            (code, out.as_str(), fs::read_to_string(&file).unwrap().as_str()),
            (2, "", text)
        );
        assert!(err.contains(words) && !err.contains("s3cret"), "{err}");
    }
    let missing = folder.path().join("missing");
    for command in [&["list"][..], &["jwks"], &["remove", "x"], &["sign-with", "x"]] {
        assert_eq!(lease_key(&missing, command).0, 2);
        assert!(!missing.exists());
    }
}

#[test]
fn of_many_who_make_a_key_at_once_each_has_its_own_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let one = || {
        let mut command = program();
        command.args(["lease-key", "new", "--lease-key-file"]).arg(&file);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut children: Vec<_> = (0..8).map(|_| one()).collect();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_eq!(made(&file, &["list"]).lines().count(), 8);
}

/// One thumbprint in 64 begins with a dash.
#[test]
fn a_name_that_looks_like_a_flag_is_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let old = made(&file, &["new"]);
    made(&file, &["new"]);
    let text = fs::read_to_string(&file).unwrap();
    let new = made(&file, &["list"]).lines().last().unwrap().split(' ').next().unwrap().to_owned();
    fs::write(&file, text.replace(&new, "-json")).unwrap();
    made(&file, &["sign-with", "-json"]);
    assert_eq!(made(&file, &["list"]), format!("-json  signs\n{old}  published"));
    made(&file, &["sign-with", &old]);
    made(&file, &["remove", "-json"]);
    assert_eq!(made(&file, &["list"]), format!("{old}  signs"));
}

/// A file that a link leads to, as secrets are mounted, stays where it is.
#[test]
fn a_link_to_the_file_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("keys"), folder.path().join("link"));
    made(&file, &["new"]);
    std::os::unix::fs::symlink(&file, &link).unwrap();
    made(&link, &["new"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(made(&file, &["list"]).lines().count(), 2);
}

#[test]
fn a_rotation_goes_as_it_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lease-keys.json");
    let run = |command: &str| {
        let command = command
            .replace("entitlementd ", concat!(env!("CARGO_BIN_EXE_entitlementd"), " "))
            .replace("/etc/entitlementd/lease-keys.json", file.to_str().unwrap());
        let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let page = "docs/signed-leases.md";
    let first = blocks(&section(page, "## Keys"), "sh");
    run(first[0].lines().next().unwrap());
    let flags = ["--listen", "127.0.0.1:0", "--demo", "--lease-key-file", file.to_str().unwrap()];
    let mut server = Process::serve(&flags);
    server.wait_for("leases are signed with the key");
    server.wait_for("\"ready\"");
    let steps = blocks(&section(page, "## Rotating keys"), "sh");
    assert_eq!(steps.len(), 3);
    for (step, published) in steps.iter().zip([2, 2, 1]) {
        run(step);
        server.wait_for(&format!("; keys published: {published}"));
    }
    assert_eq!(made(&file, &["list"]).lines().count(), 1);
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(10)), 0);
}
