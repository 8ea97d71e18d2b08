//! What operators run: its flags are ones that the program takes.

mod edge;

use std::path::Path;

use clap::Parser;
use entitlementd::config::{Cli, Command, EdgeArgs, Hold, Insecure, ServeArgs};

/// Where an edge listens, and the libraries look.
const SOCKET: &str = "/run/entitlementd/edge.sock";
/// What is run with an edge on Kubernetes: one on each node, and one in each pod of a service.
const EDGES: [&str; 2] =
    ["kubernetes/edge/daemonset/daemonset.yaml", "kubernetes/edge/sidecar/deployment.yaml"];

fn text(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file))
        .unwrap()
}

fn command(arguments: &[impl AsRef<str>]) -> Command {
    let arguments = arguments.iter().map(AsRef::as_ref);
    Cli::try_parse_from(["entitlementd"].into_iter().chain(arguments))
        .unwrap_or_else(|error| panic!("{error}"))
        .command
}

fn serve(arguments: &[impl AsRef<str>]) -> ServeArgs {
    match command(arguments) {
        Command::Serve(args) => *args,
        other => panic!("not serve: {other:?}"),
    }
}

fn edge(arguments: &[impl AsRef<str>]) -> EdgeArgs {
    match command(arguments) {
        Command::Edge(args) => *args,
        other => panic!("not edge: {other:?}"),
    }
}

/// It holds all tenants, outlives a restart, and listens where services look.
fn is_an_edge_as_it_should_be(args: &EdgeArgs) {
    assert_eq!(args.instance.listen.to_string(), format!("unix:{SOCKET}?mode=0660"));
    assert_eq!(args.upstream.hold, Hold::All);
    assert!(args.upstream.upstream.iter().all(|url| url.as_str().starts_with("https://")));
    assert!(args.upstream.upstream_ca_file.is_some());
    assert!(!args.instance.security.allows(Insecure::Upstream));
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
    for manifest in ["kubernetes/base/deployment.yaml"].iter().chain(&EDGES) {
        let text = text(manifest);
        let files = arguments(&text).into_iter().filter_map(|flag| flag.split_once("=/"));
        let folders: Vec<_> = files.map(|(_, file)| file.rsplit_once('/').unwrap().0).collect();
        assert!(folders.len() >= 6, "{manifest}: {folders:?}");
        for folder in folders {
            let is_mounted =
                [",", " }"].iter().any(|end| text.contains(&format!("mountPath: /{folder}{end}")));
            assert!(is_mounted, "{manifest}: {folder}");
        }
    }
}

#[test]
fn on_kubernetes_an_edge_is_started_with_flags_that_it_takes_and_protected() {
    for manifest in EDGES {
        let text = text(manifest);
        let args = edge(&arguments(&text));
        is_an_edge_as_it_should_be(&args);
        assert!(args.upstream.upstream_cert.is_some() && args.upstream.upstream_key.is_some());
        // Others reach the metrics, and nothing else.
        let security = &args.instance.security;
        assert!(security.tls_cert.is_some() && security.client_ca.is_some());
        assert!(!security.allows(Insecure::Metrics));
        // What it keeps is in a folder that it makes itself, for nobody else.
        let state = args.instance.cache.state_dir.unwrap();
        let volume = state.parent().unwrap().display().to_string();
        for folder in [&*volume, "/run/entitlementd"] {
            assert!(text.contains(&format!("mountPath: {folder} }}")), "{manifest}: {folder}");
        }
        let image = word_after(&text, "image: ");
        assert_eq!(image, word_after(&self::text("kubernetes/base/deployment.yaml"), "image: "));
        let limit = args.instance.limit;
        let drain = limit.pre_drain.std() + limit.drain_timeout.std();
        let grace = text.split("terminationGracePeriodSeconds: ").nth(1);
        // In somebody's pod it is that of the service; Kubernetes gives 30 s.
        let grace = grace.map_or(30, |rest| rest.lines().next().unwrap().parse().unwrap());
        assert!(drain.as_secs() + 5 <= grace, "it is killed before it has drained");
    }
}

#[test]
fn on_a_node_the_edge_is_given_the_folders_that_it_writes_to() {
    let text = text(EDGES[0]);
    let line = text.lines().find(|line| line.contains("command: [install, -d")).unwrap();
    let user = word_after(&text, "runAsUser: ");
    assert!(line.contains(&format!("-o, \"{user}\", -g, \"{user}\"")), "{line}");
    for folder in ["/run/entitlementd", "/var/lib/entitlementd"] {
        assert!(line.contains(folder), "{line}");
        let mounts = text.matches(&format!("mountPath: {folder} }}")).count();
        assert_eq!(mounts, 2, "{folder}");
    }
}

#[test]
fn every_library_and_envoy_look_where_the_edge_listens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [
        "clients/rust/src/environment.rs",
        "clients/python/src/entitlement_client/_environment.py",
        "clients/examples/go/entitlements/endpoint.go",
        "clients/examples/typescript/src/endpoint.ts",
        "deploy/envoy/edge.yaml",
        "deploy/kubernetes/edge/envoy/envoy.yaml",
    ] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let is_named =
            text.contains(&format!("\"{SOCKET}\"")) || text.contains(&format!("path: {SOCKET} "));
        assert!(is_named, "{file}");
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

/// The words that a unit starts the program with, by the beginning of the line.
fn started<'a>(unit: &'a str, before: &str) -> Vec<&'a str> {
    let start = format!("{before}ExecStart=/usr/local/bin/entitlementd ");
    unit.lines().find_map(|line| line.strip_prefix(&*start)).unwrap().split(' ').collect()
}

#[test]
fn under_systemd_it_is_started_with_flags_that_it_takes() {
    let text = text("systemd/entitlementd.service");
    serve(&started(&text, ""));
    assert!(text.contains("ExecReload=/bin/kill -HUP $MAINPID"), "{text}");
}

#[test]
fn under_systemd_an_edge_is_started_with_flags_that_it_takes_and_the_credentials_that_it_loads() {
    let text = text("systemd/entitlementd-edge.service");
    // As the unit is, and as it says that it may be with a token.
    for before in ["", "#   "] {
        let mut words = started(&text, before);
        for word in &words {
            let Some(name) = word.strip_prefix("${CREDENTIALS_DIRECTORY}/") else { continue };
            let loads = format!("\n{before}LoadCredential={name}:/etc/entitlementd/");
            assert!(text.contains(&loads), "{loads}");
        }
        words.push("--upstream=https://core-1.example:50051");
        let args = edge(&words);
        is_an_edge_as_it_should_be(&args);
        let has_certificate = args.upstream.upstream_cert.is_some();
        assert!(has_certificate != args.upstream.upstream_token_file.is_some());
    }
    assert!(text.contains("\nRuntimeDirectory=entitlementd\n"), "the folder of the socket");
    assert!(text.contains("\nEnvironment=ENTITLEMENTD_STATE_DIR=%S/entitlementd-edge/state\n"));
    assert!(text.contains("\nStateDirectory=entitlementd-edge\n"));
}

#[test]
fn under_systemd_an_edge_is_confined_as_an_instance_is() {
    let confined = |file: &str| {
        let text = text(&format!("systemd/{file}.service"));
        text.split_once("\nUMask=").unwrap().1.to_owned()
    };
    assert_eq!(confined("entitlementd-edge"), confined("entitlementd"));
}
