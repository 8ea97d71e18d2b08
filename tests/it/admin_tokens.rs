//! `entitlementd token new`.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::harness::process::{program, run};

fn new_token(file: &Path, name: &str, role: &str) -> (i32, String, String) {
    let output =
        run(&["token", "new", name, "--role", role, "--admin-tokens-file", file.to_str().unwrap()]);
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap(), out, err)
}

#[test]
fn a_token_is_printed_once_and_alone_and_the_file_holds_its_hash_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let mut tokens = Vec::new();
    for (name, role) in [("alice", "owner"), ("signup-service", "operator")] {
        let (code, out, err) = new_token(&file, name, role);
        assert_eq!((code, err.as_str()), (0, ""));
        let token = out.strip_suffix('\n').unwrap();
        assert!(token.starts_with("entadm_") && token.len() == 71, "{token}");
        tokens.push(token.to_owned());
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| &line[..line.len() - 64]).collect();
    assert_eq!(lines, ["alice owner ", "signup-service operator "]);
    assert!(tokens[0] != tokens[1] && !text.contains("entadm_"), "{text}");
}

#[test]
fn what_is_in_the_file_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let before = format!("# people\nbob viewer {}", "0".repeat(64));
    fs::write(&file, &before).unwrap();
    assert_eq!(new_token(&file, "alice", "owner").0, 0);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&format!("{before}\nalice owner ")), "{text}");

    for (name, role, complaint) in [
        ("bob", "owner", "where bob has a token already"),
        ("eve\n", "owner", "expected 1 to 64 of a-z A-Z 0-9 . _ @ -"),
        ("eve", "root", "expected viewer, operator or owner"),
    ] {
        let (code, out, err) = new_token(&file, name, role);
        assert_eq!((code, out.as_str()), (2, ""), "{name} {role}");
        assert!(err.contains(complaint), "{err}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    fs::write(&file, "alice\n").unwrap();
    let (code, _, err) = new_token(&file, "eve", "owner");
    assert_eq!(code, 2);
    assert!(err.contains("line 1: expected NAME ROLE SHA256"), "{err}");
}

#[test]
fn of_many_that_make_a_token_of_one_name_one_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let one = || {
        let mut command = program();
        command
            .args(["token", "new", "alice", "--role", "viewer", "--admin-tokens-file"])
            .arg(&file);
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut children: Vec<_> = (0..8).map(|_| one()).collect();
    let made = children
        .iter_mut()
        .filter_map(|child| child.wait().unwrap().success().then_some(()))
        .count();
    assert_eq!((made, fs::read_to_string(&file).unwrap().lines().count()), (1, 1));
}
