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

/// The arguments of the only container of a manifest.
fn arguments(manifest: &str) -> Vec<&str> {
    let (_, rest) = manifest.split_once("        args:\n").unwrap();
    let listed = rest.lines().take_while(|line| line.starts_with("        "));
    let words = listed.map(str::trim).filter(|line| !line.starts_with('#'));
    words.map_while(|line| line.strip_prefix("- ")).collect()
}

/// The first word after this one.
fn word_after<'a>(text: &'a str, before: &str) -> &'a str {
    text.split(before).nth(1).unwrap().split_whitespace().next().unwrap()
}

#[test]
fn on_kubernetes_it_is_started_with_flags_that_it_takes_and_protected() {
    let text = text("kubernetes/base/deployment.yaml");
    let args = serve(&arguments(&text));
    assert!(
        args.instance.security.client_ca.is_some() && args.instance.security.callers_file.is_some()
    );
    assert!(
        !args.instance.security.allows(Insecure::Data)
            && !args.instance.security.allows(Insecure::Metrics)
    );
    let grace: u64 = word_after(&text, "terminationGracePeriodSeconds: ").parse().unwrap();
    let drain = args.instance.limit.pre_drain.std() + args.instance.limit.drain_timeout.std();
    assert!(drain.as_secs() + 5 <= grace, "it is killed before it has drained");
}

#[test]
fn on_kubernetes_every_file_that_it_is_given_is_mounted() {
    let text = text("kubernetes/base/deployment.yaml");
    let files = arguments(&text).into_iter().filter_map(|flag| flag.split_once("=/"));
    let folders: Vec<_> = files.map(|(_, file)| file.rsplit_once('/').unwrap().0).collect();
    assert!(folders.len() >= 6, "{folders:?}");
    for folder in folders {
        assert!(text.contains(&format!("mountPath: /{folder},")), "{folder}");
    }
}

#[test]
fn on_kubernetes_the_database_is_migrated_by_a_role_of_its_own() {
    let (job, deployment) =
        (text("kubernetes/base/migration.yaml"), text("kubernetes/base/deployment.yaml"));
    let command = ["entitlementd"].into_iter().chain(arguments(&job));
    let parsed = Cli::try_parse_from(command).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(parsed.command, Command::Migrate(args) if !args.status));
    assert_eq!(word_after(&job, "        image: "), word_after(&deployment, "        image: "));
    assert!(!deployment.contains(word_after(&job, "secretName: ")), "{deployment}");
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
