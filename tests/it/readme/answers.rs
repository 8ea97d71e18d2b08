//! What is asked of a server or a database, and what it answers.

use std::process::Command;

use serde_json::Value;

use super::{blocks, commands, grpcurl, json, page, pages, section, shell, without_clock};
use crate::harness::{
    Database,
    process::{self, Process},
};

const ADOPTING: &str = "docs/adopting.md";
const ADMINISTRATION: &str = "docs/administration.md";
const SECURITY: &str = "docs/security.md";

/// The part of `docs/administration.md` that comes before the story, each command of which goes on
/// where the one before has stopped.
fn administration() -> String {
    let text = page(ADMINISTRATION);
    text.split_once("\n## A tenant's life\n").unwrap().0.to_owned()
}

#[test]
fn the_demo_answers_as_shown() {
    let mut server = Process::serve(&["--demo", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    server.wait_for("\"ready\"");
    let shown =
        [commands(&page("README.md"), "grpcurl"), commands(&page(ADOPTING), "grpcurl")].concat();
    assert_eq!(shown.len(), 3);
    for (command, output) in shown {
        let command =
            command.replacen("grpcurl", &grpcurl(), 1).replace("127.0.0.1:50051", &address);
        assert_eq!(json(&shell(&command)), json(&output), "{command}");
    }
}

/// No example goes unrun because it stands where nobody looks.
#[test]
fn every_command_that_is_shown_stands_in_a_page_whose_commands_are_run() {
    let shown: Vec<(String, usize)> = pages()
        .into_iter()
        .map(|name| (name.clone(), blocks(&page(&name), "console").len()))
        .filter(|(_, count)| *count > 0)
        .collect();
    // The numbers are those of the tests here, in `story` and in `mesh`.
    let run = [
        ("README.md", 2),
        (ADMINISTRATION, 2 + 14),
        (ADOPTING, 3),
        ("docs/features-and-limits.md", 3),
        ("docs/gateway.md", 5 + 2),
        (SECURITY, 1),
        ("docs/usage.md", 2),
    ];
    assert_eq!(shown, run.map(|(name, count)| (name.to_owned(), count)));
}

#[test]
fn a_caller_is_known_and_kept_within_its_bounds_as_shown() {
    let block = blocks(&page(SECURITY), "sh")
        .into_iter()
        .find(|block| block.contains("openssl req"))
        .unwrap();
    let (make, serve) = block.trim_end().rsplit_once('\n').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let token = shell(&format!("cd {here} && {make}\nprintf %s $CALLER_TOKEN"));
    let token = token.lines().last().unwrap();
    let (_, flags) = serve.split_once("serve ").unwrap();
    let flags = [".pem", ".toml"].iter().fold(flags.to_owned(), |flags, end| {
        let names = ["cert", "key", "callers"].map(|name| format!("{name}{end}"));
        names.iter().fold(flags, |flags, name| {
            flags.replace(&format!(" {name}"), &format!(" {here}/{name}"))
        })
    });
    let mut server =
        Process::serve(&flags.split(' ').chain(["--listen", "127.0.0.1:0"]).collect::<Vec<_>>());
    let address = server.address();
    let port = address.rsplit(':').next().unwrap();
    server.wait_for("\"ready\"");
    let shown = commands(&page(SECURITY), "grpcurl");
    assert_eq!(shown.len(), 1);
    let (command, output) = &shown[0];
    let command = command.replacen("grpcurl", &grpcurl(), 1).replace("$CALLER_TOKEN", token);
    let ask = |command: String| {
        let command = command
            .replace("localhost:50051", &format!("localhost:{port}"))
            .replace("cert.pem", &format!("{here}/cert.pem"));
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let [_, told] = ask(command.clone());
    assert!(told.starts_with(output.as_str()), "{told}");
    let [told, _] = ask(command.replace("hrms", "finance"));
    assert!(told.contains("\"reason\""), "{told}");
}

#[test]
fn the_callers_shown_are_ones_that_can_be_read() {
    let shown: Vec<_> = blocks(&page(SECURITY), "toml")
        .into_iter()
        .filter(|block| block.contains("[[caller]]"))
        .collect();
    assert_eq!(shown.len(), 1);
    let callers = entitlementd::security::callers::Callers::parse(&shown[0], None).unwrap();
    assert_eq!(callers.by_name("spiffe://erp/ns/prod/sa/orders").unwrap().name.as_str(), "orders");
}

#[test]
fn administrators_are_answered_as_shown() {
    let block = blocks(&administration(), "sh")
        .into_iter()
        .find(|block| block.contains("token new"))
        .unwrap();
    let ours = block.replace("cargo run --release --", env!("CARGO_BIN_EXE_entitlementd"));
    let (make, serve) = ours.trim_end().split_once('\n').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("admin-tokens").to_str().unwrap().to_owned();
    let token =
        shell(&format!("{}; echo $TOKEN", make.replace(" admin-tokens)", &format!(" {tokens})"))));

    let (_, flags) = serve.split_once("serve ").unwrap();
    let flags = flags.replace(":50052", ":0").replace(" admin-tokens", &format!(" {tokens}"));
    let mut server =
        Process::serve(&flags.split(' ').chain(["--listen", "127.0.0.1:0"]).collect::<Vec<_>>());
    let line = server.wait_for("administrators are answered on ");
    let line: Value = serde_json::from_str(&line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    server.wait_for("\"ready\"");
    let shown = commands(&administration(), "grpcurl");
    assert_eq!(shown.len(), 1);
    for (command, output) in shown {
        let command =
            command.replacen("grpcurl", &grpcurl(), 1).replace("127.0.0.1:50052", &address);
        assert_eq!(
            json(&shell(&command.replace("$TOKEN", token.trim_end()))),
            json(&output),
            "{command}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_written_by_hand_is_found_as_shown() {
    let database = Database::sqlite().await;
    let sql = blocks(&section("docs/operations.md", "## SQLite"), "sql");
    assert_eq!(sql.len(), 1);
    database.execute(&sql[0]).await;
    let shown = commands(&page(ADOPTING), "entitlementd check");
    assert_eq!(shown.len(), 2);
    for (command, output) in shown {
        let command = command.replace("sqlite:try.db", &database.url);
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let printed = process::run(&arguments);
        let printed_text = String::from_utf8(printed.stdout).unwrap();
        assert_eq!(without_clock(&printed_text), without_clock(&output));
        assert_eq!(printed.status.code(), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plans_are_listed_as_shown() {
    let database = Database::sqlite().await;
    let shown = commands(&administration(), "entitlementd plan list");
    assert_eq!(shown.len(), 1);
    let (command, output) = &shown[0];
    let command = command.replace("sqlite:try.db", &database.url);
    let printed = process::run(&command.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), *output);
}

#[test]
fn the_two_commands_are_what_the_readme_says_they_are() {
    let shown = blocks(&page("README.md"), "sh");
    assert_eq!(shown[0], "cargo run -- serve --demo\n");
    assert_eq!(shown[1], "tests/run\n");
    let ci = page(".ci/run");
    assert!(ci.trim_end().ends_with("exec tests/run"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_and_limits_go_as_shown() {
    go_as_shown("docs/features-and-limits.md", 1, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_goes_as_shown() {
    go_as_shown("docs/usage.md", 0, 2).await;
}

/// The statements and the calls of a page, one after the other, in front of one server. So many
/// statements come before the first pair.
async fn go_as_shown(name: &str, before: usize, calls: usize) {
    let database = Database::sqlite().await;
    let flags = ["--listen", "127.0.0.1:0", "--database-url", &database.url];
    let mut server = Process::serve(&[&flags[..], &["--enforce-limits", "on"]].concat());
    let address = server.address();
    server.wait_for("\"ready\"");
    let (sql, shown) = (blocks(&page(name), "sql"), commands(&page(name), "grpcurl"));
    assert_eq!((sql.len(), shown.len()), (before + calls, calls));
    for sql in &sql[..before] {
        database.execute(sql).await;
    }
    for (sql, (command, output)) in sql[before..].iter().zip(shown) {
        database.execute(sql).await;
        let command =
            command.replacen("grpcurl", &grpcurl(), 1).replace("127.0.0.1:50051", &address);
        let wanted = json(&output);
        let started = std::time::Instant::now();
        // News of it takes a moment.
        while json(&shell(&command)) != wanted {
            let waited = started.elapsed();
            assert!(waited.as_secs() < 10, "{}", shell(&command));
        }
    }
}
