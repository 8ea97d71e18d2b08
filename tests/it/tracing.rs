//! Traces, as a collector gets them.

mod collector;
mod decisions;
mod losses;
mod variables;

use std::time::Duration;

use entitlementd::proto::v1::{
    CheckModuleRequest, ResolveTenantRequest, entitlement_service_client::EntitlementServiceClient,
};
use tonic::Request;

use self::collector::Collector;
use crate::harness::{
    id,
    process::{Process, program},
    server::connect,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const CHECK: &str = "entitlement.v1.EntitlementService/CheckModule";

/// A demo server with these variables and flags.
fn demo(variables: &[(&str, &str)], flags: &[&str]) -> Process {
    let mut command = program();
    command.envs(variables.iter().copied());
    let any = "127.0.0.1:0";
    let own = ["--demo", "--listen", any, "--metrics-listen", any, "--forward-auth-listen", any];
    Process::start(command, "json", &[&own, flags].concat())
}

fn check(module: &str) -> CheckModuleRequest {
    CheckModuleRequest { tenant_id: id(1), module_code: module.to_owned(), ..Default::default() }
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

fn traced<T>(message: T, flags: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("traceparent", format!("00-{TRACE}-{PARENT}-{flags}").parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_trace_goes_on_through_the_rpc_the_load_and_its_statement_and_into_the_log() {
    let collector = Collector::default();
    let url = collector.start().await;
    // Of refusals that come at once, all but the first are logged as `debug`.
    let level = "info,entitlementd=debug";
    let flags = [
        "--demo",
        "--listen",
        "127.0.0.1:0",
        "--otlp-endpoint",
        &url,
        "--trace-one-in",
        "0",
        "--log-level",
        level,
    ];
    let mut server = Process::serve(&flags);
    let address = server.address();
    server.wait_for("\"ready\"");
    let mut client = EntitlementServiceClient::new(connect(&address.parse().unwrap()).await);
    let check = |module: &str| CheckModuleRequest {
        tenant_id: id(1),
        module_code: module.into(),
        ..Default::default()
    };
    client.check_module(traced(check("finance"), "01")).await.unwrap();
    // Not sampled by its caller, and not by this server.
    client.check_module(traced(check("hrms"), "00")).await.unwrap();
    client.check_module(check("hrms")).await.unwrap();
    let bad = ResolveTenantRequest { bearer_token: "nonsense".into(), ..Default::default() };
    client.resolve_tenant(traced(bad.clone(), "01")).await.unwrap_err();
    client.resolve_tenant(traced(bad, "00")).await.unwrap_err();
    drop(client);
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(30)), 0);

    let checks = collector.named("entitlement.v1.EntitlementService/CheckModule");
    assert_eq!(checks.len(), 1, "{checks:?}");
    assert_eq!(
        (hex(&checks[0].trace_id).as_str(), hex(&checks[0].parent_span_id).as_str()),
        (TRACE, PARENT)
    );
    let loads = collector.named("load");
    assert_eq!(loads.len(), 1, "{loads:?}");
    assert_eq!(
        (hex(&loads[0].trace_id).as_str(), &loads[0].parent_span_id),
        (TRACE, &checks[0].span_id)
    );
    let statements = collector.named("query");
    assert!(!statements.is_empty());
    for statement in statements {
        assert_eq!(
            (hex(&statement.trace_id).as_str(), &statement.parent_span_id),
            (TRACE, &loads[0].span_id)
        );
        assert!(statement.attributes.iter().any(|attribute| attribute.key == "db.query.text"));
    }
    // Both refusals are in the log under the trace's id.
    let lines = server
        .logged
        .lines()
        .filter(|line| line.contains("ResolveTenant refused") && line.contains(TRACE));
    assert_eq!(lines.count(), 2, "{}", server.logged);
    assert!(
        server
            .logged
            .lines()
            .any(|line| line.contains("a bearer token was refused") && line.contains(TRACE))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_a_trace_begin_one_and_a_collector_that_is_gone_holds_nothing_up() {
    let collector = Collector::default();
    let url = collector.start().await;
    for (endpoint, wanted) in [(url.as_str(), 1), ("http://127.0.0.1:9", 1)] {
        let decisions = tempfile::NamedTempFile::new().unwrap();
        let flags = [
            "--demo",
            "--listen",
            "127.0.0.1:0",
            "--otlp-endpoint",
            endpoint,
            "--trace-one-in",
            "1",
            "--decision-log",
            decisions.path().to_str().unwrap(),
        ];
        let mut server = Process::serve(&flags);
        let address = server.address();
        server.wait_for("\"ready\"");
        let mut client = EntitlementServiceClient::new(connect(&address.parse().unwrap()).await);
        let check = CheckModuleRequest {
            tenant_id: id(1),
            module_code: "no-such-module".into(),
            ..Default::default()
        };
        client.check_module(check).await.unwrap();
        drop(client);
        server.signal("TERM");
        assert_eq!(server.wait(Duration::from_secs(30)), 0, "{}", server.logged);
        let checks = collector.named("entitlement.v1.EntitlementService/CheckModule");
        assert_eq!(checks.len(), wanted);
        assert!(checks[0].parent_span_id.is_empty());
        if endpoint == url {
            let logged = std::fs::read_to_string(decisions.path()).unwrap();
            let logged: serde_json::Value = serde_json::from_str(&logged).unwrap();
            assert_eq!(logged["trace_id"], hex(&checks[0].trace_id));
        }
    }
}
