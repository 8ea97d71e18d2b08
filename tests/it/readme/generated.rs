//! What is generated from the program is as the program is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use clap::{Command, CommandFactory};
use entitlementd::config::Cli;

use super::page;
use crate::{
    harness::{Database, Server},
    metrics::SHOWN,
};

#[path = "../../../examples/generate_docs/configuration.rs"]
mod configuration;
#[path = "../../../examples/generate_docs/deployed.rs"]
mod deployed;
#[path = "../../../examples/generate_docs/metrics.rs"]
mod metrics;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_of_metrics_is_what_would_be_generated() {
    let server = Server::start_with(Database::sqlite().await, &SHOWN).await;
    let is_current = page(metrics::PATH) == metrics::render(&server.metrics().await.page);
    assert!(is_current, "{} is out of date; run: cargo run --example generate_docs", metrics::PATH);
}

#[test]
fn the_reference_of_flags_is_what_would_be_generated() {
    let is_current = page(configuration::PATH) == configuration::render();
    assert!(
        is_current,
        "{} is out of date; run: cargo run --example generate_docs",
        configuration::PATH
    );
}

#[test]
fn what_is_deployed_from_several_folders_is_the_same_in_all() {
    for (path, text) in deployed::render().unwrap() {
        let is_current = page(path) == text;
        assert!(is_current, "{path} is out of date; run: cargo run --example generate_docs");
    }
}

/// The files of a folder, with their paths from the repository's root.
fn files_in(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join(folder)).unwrap();
    let paths = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()));
    paths.map(|path| (path.clone(), fs::read(root.join(path)).unwrap())).collect()
}

#[test]
fn the_code_of_the_protos_is_what_would_be_generated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let generated: BTreeMap<_, _> =
        entitlementd_codegen::generate(root).unwrap().into_iter().collect();
    let folders = ["proto/generated", "clients/rust/generated"];
    let committed: BTreeMap<_, _> = folders.into_iter().flat_map(files_in).collect();
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&generated));
    for (path, content) in generated {
        let is_current = committed[&path] == content;
        assert!(is_current, "{path:?} is out of date; run: cargo run -p entitlementd-codegen");
    }
}

/// All commands below one, and all flags and variables of them.
fn named(command: &Command, names: &mut BTreeSet<String>) {
    for flag in command.get_arguments().filter(|flag| !flag.is_positional()) {
        names.insert(format!("| `--{}", flag.get_long().unwrap()));
        names
            .extend(flag.get_env().map(|variable| format!("| `{}` |", variable.to_str().unwrap())));
    }
    command.get_subcommands().for_each(|command| named(command, names));
}

#[test]
fn the_reference_of_flags_has_every_flag_and_every_variable() {
    let rendered = configuration::render();
    let mut names = BTreeSet::new();
    named(&Cli::command(), &mut names);
    assert!(names.len() > 150, "{}", names.len());
    for name in names {
        // A flag's name is followed by what it takes, or by nothing.
        let is_there = name.ends_with('|') && rendered.contains(&name)
            || [" ", "`"].iter().any(|end| rendered.contains(&format!("{name}{end}")));
        assert!(is_there, "{name} is missing");
    }
}
