//! Callers of either version, and servers of the other.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use entitlement_client::{Config, Entitlements, OnOutage};
use serde_json::{Value, json};

use super::{flags, old_database, previous::WITHOUT_EDGES};
use crate::{
    client::tenant,
    harness::{
        Database, Row, id,
        process::{self, Process},
    },
    readme::grpcurl,
};

const SERVICE: &str = "entitlement.v1.EntitlementService";
/// Longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The protos of the two versions.
fn protos() -> [(&'static str, PathBuf); 2] {
    [("old", WITHOUT_EDGES.protos()), ("new", Path::new(env!("CARGO_MANIFEST_DIR")).join("proto"))]
}

/// A server of each version in front of a database that this one has migrated, with their addresses.
async fn both() -> (Database, [(&'static str, Process, String); 2]) {
    let database = old_database(WITHOUT_EDGES).await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    process::migrate(&database.url);
    let servers = [
        ("old", WITHOUT_EDGES.serve(&flags(&database))),
        ("new", Process::serve(&flags(&database))),
    ];
    let servers = servers.map(|(name, mut server)| {
        let address = server.address();
        (name, server, address)
    });
    for (_, _, address) in &servers {
        process::until_serving(address).await;
    }
    (database, servers)
}

/// A call by protos that are told to it, and not by what the server says of itself.
fn call(protos: &Path, address: &str, method: &str, request: &str) -> Command {
    let mut command = Command::new(grpcurl());
    command.args(["-plaintext", "-emit-defaults", "-import-path", protos.to_str().unwrap()]);
    command.args(["-proto", "entitlement/v1/entitlement_service.proto", "-d", request]);
    command.args([address, &format!("{SERVICE}/{method}")]);
    command
}

/// What a server answers, but for what depends on when it was asked.
fn answer(protos: &Path, address: &str, method: &str, request: &str) -> Value {
    let output = call(protos, address, method, request).output().unwrap();
    assert!(output.status.success(), "{method}: {}", String::from_utf8_lossy(&output.stderr));
    let mut answer = serde_json::from_slice(&output.stdout).unwrap();
    without_time(&mut answer);
    answer
}

/// Fields that the version before does not know. Nobody has asked for what they hold.
const NEW: [&str; 7] =
    ["features", "limits", "limitEnforcement", "featureDecision", "feature", "limit", "found"];

fn without_time(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // The version before does not say on which catalogue an answer rests.
            let differ = ["asOf", "maxAge", "at", "catalogueRevision"];
            fields.retain(|name, _| !differ.contains(&name.as_str()));
            for name in NEW {
                let held = fields.remove(name);
                let unspecified = json!("LIMIT_ENFORCEMENT_UNSPECIFIED");
                let nothing = [json!([]), json!(null), json!(""), unspecified];
                assert!(held.is_none_or(|held| nothing.contains(&held)), "{name}");
            }
            fields.values_mut().for_each(without_time);
        }
        Value::Array(values) => values.iter_mut().for_each(without_time),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_either_version_are_answered_alike_by_servers_of_either() {
    let (_database, servers) = both().await;
    let own = id(1);
    let questions = [
        ("CheckModule", format!(r#"{{"tenant_id": "{own}", "module_code": "finance"}}"#)),
        ("CheckModule", format!(r#"{{"tenant_id": "{own}", "module_code": "hrms"}}"#)),
        (
            "BatchCheckModules",
            format!(r#"{{"tenant_id": "{own}", "module_codes": ["finance", "hrms"]}}"#),
        ),
        ("ListEnabledModules", format!(r#"{{"tenant_id": "{own}"}}"#)),
        ("ResolveTenant", format!(r#"{{"tenant_id": "{own}"}}"#)),
        (
            "Authorize",
            format!(r#"{{"tenant_id": "{own}", "any_of_module_codes": ["hrms", "finance"]}}"#),
        ),
        ("ExplainModule", format!(r#"{{"tenant": "{own}", "module_code": "hrms"}}"#)),
        ("ListTenantIds", "{}".to_owned()),
    ];
    for (method, request) in &questions {
        let mut answers = BTreeMap::new();
        for (of_caller, protos) in protos() {
            for (of_server, _, address) in &servers {
                let answer = answer(&protos, address, method, request);
                answers.insert((of_caller, of_server), answer);
            }
        }
        let first = &answers[&("old", &"old")];
        assert!(first.as_object().is_some_and(|fields| !fields.is_empty()), "{method}: {first}");
        for (who, answer) in &answers {
            assert_eq!(answer, first, "{method} {request}: {who:?}");
        }
    }
}

/// A stream of changes in another process, ended when it is dropped.
struct Watching(Child, std::sync::mpsc::Receiver<String>);

impl Watching {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Self(child, told)
    }

    fn wait_for(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut told = String::new();
        while !told.contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.1.recv_timeout(left);
            told.push_str(&line.unwrap_or_else(|_| panic!("no {words:?} in {told:?}")));
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_of_either_version_are_told_by_servers_of_either() {
    let (database, servers) = both().await;
    for (of_caller, protos) in protos() {
        for (of_server, _, address) in &servers {
            println!("watcher: {of_caller}, server: {of_server}");
            let request = format!(r#"{{"tenant_ids": ["{}"], "announce_end": true}}"#, id(1));
            let watching = Watching::start(call(&protos, address, "WatchChanges", &request));
            watching.wait_for("\"opened\"");
            for status in ["suspended", "active"] {
                database.set_status(1, status).await;
                watching.wait_for("\"tenantChanged\"");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_versions_library_holds_answers_of_servers_of_either_and_hears_of_each_change() {
    let (database, servers) = both().await;
    for (of_server, _, address) in &servers {
        let config = Config::new(address.clone(), OnOutage::Deny);
        let client = Entitlements::connect(config).unwrap();
        client.watching().await;
        for (status, allowed) in [("active", true), ("suspended", false), ("active", true)] {
            database.set_status(1, status).await;
            let started = Instant::now();
            loop {
                let answer = client.check(tenant(1), "finance").await.unwrap();
                let is_held = client.check_held(tenant(1), "finance").is_some();
                if answer.allowed() == allowed && is_held && !answer.is_stale() {
                    break;
                }
                assert!(started.elapsed() < PATIENCE, "{of_server}: still {answer:?}");
                tokio::task::yield_now().await;
            }
        }
    }
}
