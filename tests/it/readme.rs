//! What the README shows is what happens.

use std::{collections::BTreeMap, path::Path, process::Command};

use clap::CommandFactory;
use entitlementd::config::Cli;
use serde_json::Value;

use crate::harness::{
    Database,
    process::{self, Process},
};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The contents of the blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The commands that begin so, each with what the README says that it prints.
fn commands(program: &str) -> Vec<(String, String)> {
    let shown = blocks("console").into_iter().filter_map(|block| {
        let (command, output) = block.strip_prefix("$ ")?.split_once('\n')?;
        command.starts_with(program).then(|| (command.to_owned(), output.to_owned()))
    });
    shown.collect()
}

/// Replaces every instant of this day or later by a word: they differ from run to run.
fn without_clock(text: &str) -> String {
    let words = text.split_inclusive(['"', ' ', '\n', ',']).map(|word| {
        let bare = word.trim_end_matches(['"', ' ', '\n', ',']);
        let is_instant = bare.len() > 20 && chrono::DateTime::parse_from_rfc3339(bare).is_ok();
        if is_instant { word.replace(bare, "AN INSTANT") } else { word.to_owned() }
    });
    words.collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(&without_clock(text)).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// grpcurl as `tests/run` builds it, or from the PATH.
fn grpcurl() -> String {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/grpcurl");
    if ours.exists() { ours.to_str().unwrap().to_owned() } else { "grpcurl".to_owned() }
}

fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_demo_answers_as_shown() {
    let mut server = Process::serve(&["--demo", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    server.wait_for("\"ready\"");
    let shown: Vec<_> =
        commands("grpcurl").into_iter().filter(|(command, _)| !is_for_administrators(command)).collect();
    assert_eq!(shown.len(), 3);
    for (command, output) in shown {
        let command = command.replacen("grpcurl", &grpcurl(), 1).replace("127.0.0.1:50051", &address);
        assert_eq!(json(&shell(&command)), json(&output), "{command}");
    }
}

fn is_for_administrators(command: &str) -> bool {
    command.contains("TenantAdminService")
}

#[test]
fn administrators_are_answered_as_shown() {
    let block = blocks("sh").into_iter().find(|block| block.contains("token new")).unwrap();
    let ours = block.replace("cargo run --release --", env!("CARGO_BIN_EXE_entitlementd"));
    let (make, serve) = ours.trim_end().split_once('\n').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("admin-tokens").to_str().unwrap().to_owned();
    let token = shell(&format!("{}; echo $TOKEN", make.replace(" admin-tokens)", &format!(" {tokens})"))));

    let (_, flags) = serve.split_once("serve ").unwrap();
    let flags = flags.replace(":50052", ":0").replace(" admin-tokens", &format!(" {tokens}"));
    let mut server = Process::serve(&flags.split(' ').chain(["--listen", "127.0.0.1:0"]).collect::<Vec<_>>());
    let line = server.wait_for("administrators are answered on ");
    let line: Value = serde_json::from_str(&line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    server.wait_for("\"ready\"");
    let shown: Vec<_> = commands("grpcurl").into_iter().filter(|(command, _)| is_for_administrators(command)).collect();
    assert_eq!(shown.len(), 1);
    for (command, output) in shown {
        let command = command.replacen("grpcurl", &grpcurl(), 1).replace("127.0.0.1:50052", &address);
        assert_eq!(json(&shell(&command.replace("$TOKEN", token.trim_end()))), json(&output), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_written_by_hand_is_found_as_shown() {
    let database = Database::sqlite().await;
    let sql = blocks("sql");
    assert_eq!(sql.len(), 1);
    database.execute(&sql[0]).await;
    let shown = commands("entitlementd check");
    assert_eq!(shown.len(), 1);
    let (command, output) = &shown[0];
    let command = command.replace("sqlite:try.db", &database.url);
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let printed = process::run(&arguments);
    assert_eq!(without_clock(&String::from_utf8(printed.stdout).unwrap()), without_clock(output));
    assert_eq!(printed.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plans_are_listed_as_shown() {
    let database = Database::sqlite().await;
    let shown = commands("entitlementd plan list");
    assert_eq!(shown.len(), 1);
    let (command, output) = &shown[0];
    let command = command.replace("sqlite:try.db", &database.url);
    let printed = process::run(&command.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), *output);
}

#[test]
fn the_table_of_flags_is_complete_and_true() {
    let text = readme();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `--")?.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        Some((cells.next()?, cells.next()?))
    });
    let shown: BTreeMap<String, String> = rows.collect();
    let cli = Cli::command();
    let serve = cli.find_subcommand("serve").unwrap();
    let flags = serve.get_arguments().chain(cli.get_arguments()).filter(|flag| flag.get_env().is_some());
    let mut count = 0;
    for flag in flags {
        let name = flag.get_long().unwrap();
        let row = shown.get(name).unwrap_or_else(|| panic!("--{name} is not in the README"));
        let default = flag.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
        match default.filter(|default| default != "false") {
            Some(default) => assert_eq!(*row, default, "--{name}"),
            None => assert!(["", "any", "one per core", "sqlite:entitlementd.db"].contains(&row.as_str()), "--{name}"),
        }
        count += 1;
    }
    assert_eq!(shown.len(), count, "the README has a flag that the program has not");
}

#[test]
fn the_two_commands_are_what_the_readme_says_they_are() {
    let shown = blocks("sh");
    assert_eq!(shown[0], "cargo run --release -- serve --demo\n");
    assert_eq!(shown[1], "tests/run\n");
    let ci = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run")).unwrap();
    assert!(ci.trim_end().ends_with("exec tests/run"));
}
