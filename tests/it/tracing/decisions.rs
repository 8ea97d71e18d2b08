//! What spans say of what was decided.

use entitlementd::proto::{
    envoy::{CheckRequest, service::auth::v3::authorization_client::AuthorizationClient},
    v1::{AuthorizeRequest, BatchCheckModulesRequest},
};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::{collector::text, *};
use crate::harness::mesh::{envoy_asks, send_to};

const ROUTES: &str = r#"
    [[route]]
    path = "/orders/{id}"
    module = "oms_fulfillment"

    [[route]]
    path = "/invoices/**"
    module = "finance"
"#;

/// What was decided, why, and by which rule.
fn said(span: &Span) -> [Option<String>; 3] {
    ["entitlement.decision", "entitlement.reason", "http.route"]
        .map(|name| text(&span.attributes, name))
}

fn words(decision: &str, reason: &str, route: &str) -> [Option<String>; 3] {
    [decision, reason, route].map(|word| Some(word.to_owned()).filter(|word| !word.is_empty()))
}

fn about(path: &str) -> CheckRequest {
    envoy_asks(path, [("x-tenant-id", id(1))], None)
}

/// Asks in every way, and ends the server.
async fn ask(server: &mut Process) {
    let proxies = server.address_of("proxies are answered").parse().unwrap();
    let data = server.address();
    server.wait_for("\"ready\"");
    let channel = connect(&data.parse().unwrap()).await;
    let mut client = EntitlementServiceClient::new(channel.clone());
    for module in ["oms_fulfillment", "finance"] {
        client.check_module(check(module)).await.unwrap();
    }
    for codes in [&["oms_fulfillment", "d2c_storefront"][..], &["finance", "oms_fulfillment"]] {
        let module_codes = codes.iter().map(|code| (*code).to_owned()).collect();
        let batch =
            BatchCheckModulesRequest { tenant_id: id(1), module_codes, ..Default::default() };
        client.batch_check_modules(batch).await.unwrap();
    }
    let authorize = AuthorizeRequest {
        tenant_id: id(1),
        any_of_module_codes: vec!["finance".into(), "oms_fulfillment".into()],
        ..Default::default()
    };
    client.authorize(authorize).await.unwrap();
    let mut envoy = AuthorizationClient::new(channel);
    for path in ["/orders/5?token=hunter2", "/invoices/7", "/elsewhere/hunter2"] {
        envoy.check(about(path)).await.unwrap();
        let own = id(1);
        let headers = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", path),
            ("x-tenant-id", own.as_str()),
        ];
        send_to(proxies, "GET", "/auth", &headers).await;
    }
    send_to(proxies, "GET", "/auth", &[("x-forwarded-uri", "/orders/5")]).await;
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(30)), 0, "{}", server.logged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_carry_decision_reason_and_route() {
    let collector = Collector::default();
    let url = collector.start().await;
    let routes = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(routes.path(), ROUTES).unwrap();
    let file = routes.path().to_str().unwrap();
    let flags = ["--otlp-endpoint", &url, "--trace-one-in", "1", "--routes", file];
    let mut server = demo(&[], &flags);
    ask(&mut server).await;

    let of = |name: &str| collector.named(name).iter().map(said).collect::<Vec<_>>();
    let service = |method: &str| of(&format!("entitlement.v1.EntitlementService/{method}"));
    let granted = words("granted", "ENABLED", "");
    assert_eq!(service("CheckModule"), [granted.clone(), words("denied", "NOT_SUBSCRIBED", "")]);
    assert_eq!(
        service("BatchCheckModules"),
        [granted.clone(), words("mixed", "ENABLED,NOT_SUBSCRIBED", "")]
    );
    assert_eq!(service("Authorize"), [granted]);
    let proxied = [
        words("granted", "ENABLED", "/orders/{id}"),
        words("refused", "NOT_SUBSCRIBED", "/invoices/**"),
        words("refused", "ROUTE_NOT_MAPPED", ""),
    ];
    assert_eq!(of("envoy.service.auth.v3.Authorization/Check"), proxied);
    let unreadable = words("refused", "INVALID_FIELD", "");
    assert_eq!(of("forward-auth"), [&proxied[..], &[unreadable]].concat());
    for span in collector.named("forward-auth") {
        assert_eq!(text(&span.attributes, "rpc.system"), None);
    }
    for span in collector.named("load") {
        assert_eq!(said(&span), words("", "", ""));
    }
}
