//! What is counted of the requests that proxies ask about.

use tonic::Code;

use super::{Kind, Mesh, ROUTES, forward_auth::Asked, seeded};
use crate::{
    callers::callers,
    harness::{database::lock_tenants, http::Metrics, id},
    metrics::SHOWN,
    on_both_proxies,
};

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Envoy => "ext_authz",
            Self::Nginx => "forward_auth",
        }
    }
}

fn counted(metrics: &Metrics, proxy: &str, verdict: &str, reason: &str, code: u16) -> f64 {
    metrics.of(&format!(
        "gateway_requests_total{{proxy=\"{proxy}\",verdict=\"{verdict}\",reason=\"{reason}\",code=\"{code}\"}}"
    ))
}

/// All that proxies of this kind have asked about.
fn sum(metrics: &Metrics, proxy: &str) -> f64 {
    let of_it = format!("entitlementd_gateway_requests_total{{proxy=\"{proxy}\"");
    let series = metrics.samples.iter().filter(|(series, _)| series.starts_with(&of_it));
    series.map(|(_, count)| count).sum()
}

on_both_proxies! {
    async fn each_request_counts_once_by_verdict_reason_and_status(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &SHOWN).await;
        let own = id(1);
        let other = id(9);
        let [own, other] = [("x-tenant-id", own.as_str()), ("x-tenant-id", other.as_str())];
        let before = sum(&mesh.server.metrics().await, kind.word());
        for (target, tenant, status) in [
            ("/health", None, 200),
            ("/api/v1/orders/5", Some(own), 200),
            ("/api/v1/orders/5", Some(own), 200),
            ("/api/v1/orders/5/invoice", Some(own), 403),
            ("/api/v1/new/5", Some(own), 200),
            ("/api/v1/me", None, 401),
            ("/api/v1/me", Some(other), 404),
            ("/api/v1/unheard-of", Some(own), 403),
        ] {
            let headers: Vec<_> = tenant.into_iter().collect();
            assert_eq!(mesh.get(target, &headers).await.status, status, "{target}");
        }
        let metrics = mesh.server.metrics().await;
        for (verdict, reason, code, count) in [
            ("granted", "NONE", 200, 2.0),
            ("refused", "NOT_SUBSCRIBED", 403, 1.0),
            ("would_deny", "NOT_SUBSCRIBED", 200, 1.0),
            ("refused", "TENANT_NOT_FOUND", 401, 1.0),
            ("refused", "TENANT_NOT_FOUND", 404, 1.0),
            ("refused", "ROUTE_NOT_MAPPED", 403, 1.0),
            ("refused", "STORE_UNAVAILABLE", 503, 0.0),
        ] {
            assert_eq!(counted(&metrics, kind.word(), verdict, reason, code), count, "{reason} {code}");
        }
        // The harness may have asked whether the proxy is there.
        assert!(counted(&metrics, kind.word(), "public", "NONE", 200) >= 1.0);
        assert_eq!(sum(&metrics, kind.word()) - before, 8.0, "and nothing else");
        let proxies = ["ext_authz", "forward_auth"];
        let not_asked = proxies.into_iter().find(|proxy| *proxy != kind.word()).unwrap();
        assert_eq!(sum(&metrics, not_asked), 0.0);
        // And each was timed.
        let method = match kind {
            Kind::Envoy => "Check",
            Kind::Nginx => "ForwardAuth",
        };
        assert_eq!(answered(&metrics, method, "OK"), before + 8.0);
    }
}

fn answered(metrics: &Metrics, method: &str, code: &str) -> f64 {
    metrics.of(&format!("rpc_duration_seconds_count{{method=\"{method}\",code=\"{code}\"}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_auth_counts_what_it_turns_away_unjudged() {
    let asked = Asked::start(&SHOWN).await;
    assert_eq!(answered(&asked.metrics().await, "ForwardAuth", "OK"), 0.0, "there from the start");
    assert_eq!(asked.send(&[("x-forwarded-method", "GET")]).await.status, 400);
    let metrics = asked.metrics().await;
    assert_eq!(counted(&metrics, "forward_auth", "refused", "INVALID_FIELD", 400), 1.0);
    assert_eq!(answered(&metrics, "ForwardAuth", "INVALID_ARGUMENT"), 1.0);
    assert_eq!(sum(&metrics, "forward_auth"), 1.0);

    let file = callers(&[("other", "services = [\"entitlement\"]")]);
    let callers = ["--callers-file", file.path().to_str().unwrap()];
    let asked = Asked::start(&[&SHOWN[..], &callers].concat()).await;
    assert_eq!(asked.about("GET", "/health", &[]).await.status, 403);
    let other = [("x-entitlement-caller", "Bearer other")];
    assert_eq!(asked.about("GET", "/health", &other).await.status, 403);
    let metrics = asked.metrics().await;
    for (reason, code) in [
        ("CALLER_UNAUTHENTICATED", Code::Unauthenticated),
        ("CALLER_NOT_ALLOWED", Code::PermissionDenied),
    ] {
        assert_eq!(counted(&metrics, "forward_auth", "refused", reason, 403), 1.0, "{reason}");
        let code =
            if code == Code::Unauthenticated { "UNAUTHENTICATED" } else { "PERMISSION_DENIED" };
        assert_eq!(answered(&metrics, "ForwardAuth", code), 1.0, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_auth_that_takes_too_long_is_in_flight_until_it_is_refused() {
    let flags = [&SHOWN[..], &["--changes", "off", "--request-timeout", "1s"]].concat();
    let asked = Asked::start(&flags).await;
    let lock = lock_tenants(&asked.server.database).await;
    let own = id(1);
    let tenant = [("x-tenant-id", own.as_str())];
    let (reply, ()) = tokio::join!(
        asked.about("GET", "/api/v1/me", &tenant),
        asked.server.until_metrics(|metrics| metrics.of("requests_in_flight") == 1.0)
    );
    assert_eq!((reply.status, reply.reason().as_str()), (503, "DEADLINE_EXCEEDED"));
    drop(lock);
    let metrics = asked.metrics().await;
    assert_eq!(metrics.of("requests_in_flight"), 0.0);
    assert_eq!(counted(&metrics, "forward_auth", "refused", "DEADLINE_EXCEEDED", 503), 1.0);
    assert_eq!(answered(&metrics, "ForwardAuth", "DEADLINE_EXCEEDED"), 1.0);
    assert_eq!(sum(&metrics, "forward_auth"), 1.0);
}
