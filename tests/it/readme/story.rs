//! The story of a tenant in `docs/administration.md`, each command of which goes on where the one
//! before has stopped.

use std::{os::unix::fs::PermissionsExt, process::Command};

use serde_json::Value;

use super::{blocks, grpcurl, json, section, shell, without_clock};
use crate::harness::{Database, process::Process};

/// Replaces what differs from run to run: instants, dates and ids.
fn without_chance(text: &str) -> String {
    let text = without_clock(text);
    let is_id = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
    let words = text.split_inclusive(|letter: char| !letter.is_ascii_hexdigit() && letter != '-');
    let is_date = |word: &str| chrono::NaiveDate::parse_from_str(word, "%Y-%m-%d").is_ok();
    let words = words.map(|word| {
        let bare = word.trim_end_matches(|letter: char| !letter.is_ascii_hexdigit());
        let chance = if is_id(bare) { Some("AN ID") } else { is_date(bare).then_some("A DATE") };
        chance.map_or(word.to_owned(), |chance| word.replace(bare, chance))
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
    for (name, program) in
        [("entitlementd", env!("CARGO_BIN_EXE_entitlementd").to_owned()), ("grpcurl", grpcurl())]
    {
        std::fs::write(tools.path().join(name), format!("#!/bin/sh\nexec {program} \"$@\"\n"))
            .unwrap();
        std::fs::set_permissions(tools.path().join(name), std::fs::Permissions::from_mode(0o755))
            .unwrap();
    }
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    // Whoever runs it, the story is about alice.
    let user = shell("id -un").trim_end().to_owned();

    let steps = blocks(&section("docs/administration.md", "## A tenant's life"), "console");
    assert_eq!(steps.len(), 14);
    let mut id = String::new();
    for block in steps {
        let (commands, output): (Vec<&str>, Vec<&str>) =
            block.lines().partition(|line| line.starts_with("$ "));
        let script = commands.iter().map(|line| &line[2..]).collect::<Vec<_>>().join("\n");
        let script = script.replace("127.0.0.1:50051", &address);
        let ran = Command::new("sh")
            .args(["-c", &format!("{id}\n{script}")])
            .env("PATH", &path)
            .env("ENTITLEMENTD_DATABASE_URL", &database.url)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let printed =
            String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap().replace(&user, "alice");
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
