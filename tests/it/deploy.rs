//! What operators run: its flags are ones that the program takes.

use std::path::Path;

use clap::Parser;
use entitlementd::config::{Cli, Command, Insecure, ServeArgs};

fn text(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file))
        .unwrap()
}

fn serve(arguments: &[&str]) -> ServeArgs {
    match Cli::try_parse_from(["entitlementd"].iter().chain(arguments))
        .unwrap_or_else(|error| panic!("{error}"))
        .command
    {
        Command::Serve(args) => *args,
        other => panic!("not serve: {other:?}"),
    }
}

#[test]
fn on_kubernetes_it_is_started_with_flags_that_it_takes_and_protected() {
    let text = text("kubernetes/entitlementd.yaml");
    let (_, arguments) = text.split_once("        args:\n").unwrap();
    let (arguments, _) = arguments.split_once("        ports:\n").unwrap();
    let arguments: Vec<_> =
        arguments.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect();
    let args = serve(&arguments);
    assert!(args.security.client_ca.is_some() && args.security.callers_file.is_some());
    assert!(!args.security.allows(Insecure::Data) && !args.security.allows(Insecure::Metrics));
    let grace: u64 = text
        .split("terminationGracePeriodSeconds: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let drain = args.limit.pre_drain.std() + args.limit.drain_timeout.std();
    assert!(drain.as_secs() + 5 <= grace, "it is killed before it has drained");
}

#[test]
fn under_systemd_it_is_started_with_flags_that_it_takes() {
    let text = text("systemd/entitlementd.service");
    let command = text
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/entitlementd "))
        .unwrap();
    serve(&command.split(' ').collect::<Vec<_>>());
    assert!(text.contains("ExecReload=/bin/kill -HUP $MAINPID"), "{text}");
}
