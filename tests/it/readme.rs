//! What the README shows is what happens.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, process::Command};

use clap::CommandFactory;
use entitlementd::config::Cli;
use serde_json::Value;

use crate::harness::{
    self, Database, mesh,
    process::{self, Process},
};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The part that is a story, each command of which goes on where the one before has stopped, and the rest.
fn story_and_rest() -> (String, String) {
    let text = readme();
    let (before, story) = text.split_once("## A tenant's life").unwrap();
    let (story, after) = story.split_once("\n## ").unwrap();
    (story.to_owned(), format!("{before}\n## {after}"))
}

/// The contents of the blocks of one language, but for those of the story.
fn blocks(language: &str) -> Vec<String> {
    blocks_of(&story_and_rest().1, language)
}

fn blocks_of(text: &str, language: &str) -> Vec<String> {
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
        let is_instant = bare.len() >= 20 && chrono::DateTime::parse_from_rfc3339(bare).is_ok();
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
    // With its path: a script of the same name that calls it must not find itself.
    if ours.exists() { ours } else { harness::program("grpcurl") }.to_str().unwrap().to_owned()
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
    let shown: Vec<_> = commands("grpcurl")
        .into_iter()
        .filter(|(command, _)| !is_for_administrators(command) && !is_over_tls(command))
        .collect();
    assert_eq!(shown.len(), 3);
    for (command, output) in shown {
        let command = command.replacen("grpcurl", &grpcurl(), 1).replace("127.0.0.1:50051", &address);
        assert_eq!(json(&shell(&command)), json(&output), "{command}");
    }
}

fn is_over_tls(command: &str) -> bool {
    command.contains("-cacert")
}

#[test]
fn a_caller_is_known_and_kept_within_its_bounds_as_shown() {
    let block = blocks("sh").into_iter().find(|block| block.contains("openssl req")).unwrap();
    let (make, serve) = block.trim_end().rsplit_once('\n').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let token = shell(&format!("cd {here} && {make}\nprintf %s $CALLER_TOKEN"));
    let token = token.lines().last().unwrap();
    let (_, flags) = serve.split_once("serve ").unwrap();
    let flags = [".pem", ".toml"].iter().fold(flags.to_owned(), |flags, end| {
        let names = ["cert", "key", "callers"].map(|name| format!("{name}{end}"));
        names.iter().fold(flags, |flags, name| flags.replace(&format!(" {name}"), &format!(" {here}/{name}")))
    });
    let mut server = Process::serve(&flags.split(' ').chain(["--listen", "127.0.0.1:0"]).collect::<Vec<_>>());
    let address = server.address();
    let port = address.rsplit(':').next().unwrap();
    server.wait_for("\"ready\"");
    let shown: Vec<_> = commands("grpcurl").into_iter().filter(|(command, _)| is_over_tls(command)).collect();
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
    let shown: Vec<_> = blocks("toml").into_iter().filter(|block| block.contains("[[caller]]")).collect();
    assert_eq!(shown.len(), 1);
    let callers = entitlementd::security::callers::Callers::parse(&shown[0], None).unwrap();
    assert_eq!(callers.by_name("spiffe://erp/ns/prod/sa/orders").unwrap().name.as_str(), "orders");
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
    // Those before are about roles: see `rights`.
    let sql = blocks("sql").pop().unwrap();
    database.execute(&sql).await;
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

/// Replaces what differs from run to run: instants and ids.
fn without_chance(text: &str) -> String {
    let text = without_clock(text);
    let is_id = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
    let words = text.split_inclusive(|letter: char| !letter.is_ascii_hexdigit() && letter != '-');
    let words = words.map(|word| {
        let bare = word.trim_end_matches(|letter: char| !letter.is_ascii_hexdigit());
        if is_id(bare) { word.replace(bare, "AN ID") } else { word.to_owned() }
    });
    words.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_a_tenant_goes_as_told() {
    let database = Database::postgres().await;
    let mut server = Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &database.url]);
    let address = server.address();
    server.wait_for("\"ready\"");
    let tools = tempfile::tempdir().unwrap();
    for (name, program) in [("entitlementd", env!("CARGO_BIN_EXE_entitlementd").to_owned()), ("grpcurl", grpcurl())] {
        std::fs::write(tools.path().join(name), format!("#!/bin/sh\nexec {program} \"$@\"\n")).unwrap();
        std::fs::set_permissions(tools.path().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    // Whoever runs it, the README tells of alice.
    let user = shell("id -un").trim_end().to_owned();

    let blocks = blocks_of(&story_and_rest().0, "console");
    assert_eq!(blocks.len(), 9);
    let mut id = String::new();
    for block in blocks {
        let (commands, output): (Vec<&str>, Vec<&str>) = block.lines().partition(|line| line.starts_with("$ "));
        let script = commands.iter().map(|line| &line[2..]).collect::<Vec<_>>().join("\n");
        let script = script.replace("127.0.0.1:50051", &address);
        let ran = Command::new("sh")
            .args(["-c", &format!("{id}\n{script}")])
            .env("PATH", &path)
            .env("ENTITLEMENTD_DATABASE_URL", &database.url)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let printed = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap().replace(&user, "alice");
        let told = output.join("\n") + "\n";
        // JSON has no order of its own.
        match serde_json::from_str::<Value>(&without_chance(&told)) {
            Ok(told) => assert_eq!(json(&without_chance(&printed)), told, "{script}"),
            Err(_) => assert_eq!(without_chance(&printed), without_chance(&told), "{script}"),
        }
        id.push_str(
            commands
                .iter()
                .find_map(|line| line.strip_prefix("$ ").filter(|line| line.starts_with("ID=")))
                .unwrap_or(""),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_finds_orders_open_and_finance_closed_in_the_mesh() {
    let text = readme();
    let (_, section) = text.split_once("## In the mesh").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let start = blocks_of(section, "sh").remove(0);
    let (_, serve) = start.trim_end().rsplit_once("cargo run --release -- serve ").unwrap();
    let serve = serve.replace("127.0.0.1:50051", "127.0.0.1:0");
    let mut server = Process::serve(&serve.split(' ').collect::<Vec<_>>());
    let authorizer = server.address().rsplit_once(':').unwrap().1.parse().unwrap();
    server.wait_for("\"ready\"");
    let echo = mesh::Echo::start();
    let envoy = mesh::Envoy::start(echo.port, authorizer);

    let shown = blocks_of(section, "console");
    let shown: Vec<_> = shown.iter().filter(|block| block.starts_with("$ curl")).collect();
    assert_eq!(shown.len(), 4);
    for block in shown {
        let (command, output) = block.strip_prefix("$ ").unwrap().split_once('\n').unwrap();
        let printed = shell(&command.replace("127.0.0.1:10000", &envoy.address.to_string()));
        assert_eq!(printed.trim_end(), output.trim_end(), "{command}");
    }
}

#[test]
fn what_would_be_refused_is_summed_up_as_shown() {
    let shown = commands("entitlementd routes shadow-report");
    assert_eq!(shown.len(), 1);
    let (command, output) = &shown[0];
    let printed = process::run(&command.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), *output);
}

#[test]
fn the_routes_of_the_readme_are_sound() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), &blocks("toml")[0]).unwrap();
    let output = process::run(&["routes", "check", "--routes", file.path().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
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
