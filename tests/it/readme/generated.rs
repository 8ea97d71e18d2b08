//! What is generated from the program is as the program is.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory};
use entitlementd::config::Cli;

use super::page;
use crate::{
    harness::{Database, Server},
    metrics::SHOWN,
};

#[path = "../../../examples/generate_docs/configuration.rs"]
mod configuration;
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
