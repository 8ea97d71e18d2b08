//! What is counted, as Prometheus sees it.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::{AuthorizeRequest, BatchCheckModulesRequest, ExplainModuleRequest};
use tonic::Code;

mod connections;
mod database;
mod exemplars;
mod loads;
mod process;

use crate::harness::{
    Database, Row, Server,
    database::{lock_tenants, wait_until_blocked},
    http::{self, Metrics},
    id,
    server::{check_request, connect},
};

/// Shows its metrics.
pub const SHOWN: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

impl Server {
    pub async fn metrics(&self) -> Metrics {
        Metrics::read(self.running.metrics_address.unwrap()).await
    }

    /// Reads the metrics until they are such.
    pub async fn until_metrics(&self, such: impl Fn(&Metrics) -> bool) {
        let started = Instant::now();
        loop {
            let metrics = self.metrics().await;
            if such(&metrics) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{}", metrics.page);
        }
    }
}

/// A server that hears of no change, and holds what it has read.
async fn start(database: Database) -> Server {
    Server::start_with(database, &[&SHOWN[..], &["--changes", "off"]].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_counted_by_method_and_code() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut server = start(database).await;
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        let ok = r#"rpc_duration_seconds_count{method="CheckModule",code="OK"}"#;
        assert_eq!(server.metrics().await.of(ok), 0.0, "there before the first");
        for _ in 0..3 {
            server.check(1, "finance").await;
        }
        server.check_request(check_request(1, "")).await.unwrap_err();
        server.resolve(&id(2), "", "").await.unwrap_err();

        let metrics = server.metrics().await;
        assert_eq!(metrics.of(ok), 3.0);
        assert_eq!(
            metrics
                .of(r#"rpc_duration_seconds_count{method="CheckModule",code="INVALID_ARGUMENT"}"#),
            1.0
        );
        assert_eq!(
            metrics.of(r#"rpc_duration_seconds_count{method="ResolveTenant",code="NOT_FOUND"}"#),
            1.0
        );
        assert_eq!(
            metrics.of(r#"rpc_duration_seconds_bucket{le="+Inf",method="CheckModule",code="OK"}"#),
            3.0
        );
        let sum = metrics.of(r#"rpc_duration_seconds_sum{method="CheckModule",code="OK"}"#);
        assert!(sum > 0.0 && sum < 30.0, "{sum}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_that_do_not_exist_are_one_series() {
    let server = start(Database::sqlite().await).await;
    let mut grpc = tonic::client::Grpc::new(connect(&server.running.address).await);
    for number in 0..20 {
        for path in [
            format!("/entitlement.v1.EntitlementService/Nonsense{number}"),
            format!("/nowhere{number}/Nonsense"),
        ] {
            grpc.ready().await.unwrap();
            let codec = tonic_prost::ProstCodec::<(), ()>::default();
            let status = grpc
                .unary(tonic::Request::new(()), path.parse().unwrap(), codec)
                .await
                .unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented);
        }
    }
    let metrics = server.metrics().await;
    assert_eq!(
        metrics.of(r#"rpc_duration_seconds_count{method="other",code="UNIMPLEMENTED"}"#),
        40.0
    );
    assert!(!metrics.page.to_lowercase().contains("nonsense"), "{}", metrics.page);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_its_caller_gave_up_is_cancelled_and_not_ok() {
    let server = start(Database::postgres().await).await;
    let lock = lock_tenants(&server.database).await;
    let mut client = server.client.clone();
    // Again where the server's patience ends before this test comes to look.
    let asking = tokio::spawn(async move {
        loop {
            _ = client.check_module(check_request(1, "finance")).await;
        }
    });
    wait_until_blocked(&lock).await;
    asking.abort();
    let cancelled =
        r#"entitlementd_rpc_duration_seconds_count{method="CheckModule",code="CANCELLED"} 1"#;
    server.until_metrics(|metrics| metrics.page.contains(cancelled)).await;
    assert_eq!(
        server.metrics().await.of(r#"rpc_duration_seconds_count{method="CheckModule",code="OK"}"#),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_decision_that_is_given_counts_once_by_its_reason() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut server = start(database).await;
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        let metrics = server.metrics().await;
        let reasons = metrics
            .page
            .lines()
            .filter(|line| line.starts_with("entitlementd_decisions_total{"))
            .count();
        assert_eq!(reasons, 13, "each is there before it is given");

        server.check(1, "finance").await;
        server.check(1, "hrms").await;
        let module_codes = ["finance", "hrms", "nothing"].map(str::to_owned).to_vec();
        let batch =
            BatchCheckModulesRequest { tenant_id: id(1), module_codes, ..Default::default() };
        server.client.batch_check_modules(batch).await.unwrap();
        for any_of_module_codes in [
            vec!["hrms".to_owned(), "finance".to_owned()],
            vec!["hrms".to_owned(), "nothing".to_owned()],
        ] {
            let authorize =
                AuthorizeRequest { tenant_id: id(1), any_of_module_codes, ..Default::default() };
            server.client.authorize(authorize).await.unwrap();
        }
        let explain =
            ExplainModuleRequest { tenant: id(1), module_code: "finance".into(), at: None };
        server.client.explain_module(explain).await.unwrap();

        let metrics = server.metrics().await;
        for (reason, count) in [
            ("ENABLED", 3.0),
            ("NOT_SUBSCRIBED", 3.0),
            ("MODULE_NOT_FOUND", 1.0),
            ("TRIAL_ENDED", 0.0),
        ] {
            assert_eq!(
                metrics.of(&format!("decisions_total{{reason=\"{reason}\"}}")),
                count,
                "{reason}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_a_hit_and_what_is_loaded_a_miss() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut server = start(database).await;
        for tenant in 1..=3 {
            server.database.mk_subscribed(tenant, "finance", Row::default()).await;
        }
        for tenant in [1, 1, 2, 1, 3, 2] {
            server.check(tenant, "finance").await;
        }
        // The facts alone do not answer this one; it is one look-up all the same.
        server.check(1, "hrms").await;
        let metrics = server.metrics().await;
        assert_eq!((metrics.of("cache_misses_total"), metrics.of("cache_hits_total")), (3.0, 4.0));
        assert_eq!(
            (metrics.of("cache_loads_total"), metrics.of("cache_load_errors_total")),
            (3.0, 0.0)
        );
        assert_eq!((metrics.of("cache_entries"), metrics.of("cache_waiting_loads")), (3.0, 0.0));
        assert_eq!(metrics.of("cache_stale_answers_total"), 0.0);
        assert_eq!(metrics.of(r#"feed_state{state="off"}"#), 1.0);
        assert_eq!(
            (metrics.of("pool_max_connections"), metrics.of("divergences_total")),
            (16.0, 0.0)
        );
        // A connection goes back to the pool a moment after its answer has come.
        server
            .until_metrics(|metrics| metrics.of(r#"pool_connections{state="idle"}"#) >= 1.0)
            .await;
        server
            .until_metrics(|metrics| metrics.of(r#"pool_connections{state="in_use"}"#) == 0.0)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_counted_as_they_are_heard() {
    let database = Database::postgres().await;
    let mut server = Server::start_with(database, &SHOWN).await;
    assert_eq!(server.metrics().await.of(r#"feed_state{state="listening"}"#), 1.0);
    let before = server.metrics().await.of("changes_total");
    server.database.mk_subscribed(1, "finance", Row::default()).await;
    server.until_metrics(|metrics| metrics.of("changes_total") > before).await;
    server.check(1, "finance").await;
    let resets = server.metrics().await.of("resets_total");
    server.database.execute("TRUNCATE tenant_subscriptions").await;
    server.until_metrics(|metrics| metrics.of("resets_total") > resets).await;
    server.advance(3);
    // It may have given a sign of life since.
    assert!(server.metrics().await.of("feed_lag_seconds") <= 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tenant_and_no_module_is_named() {
    let mut server = start(Database::sqlite().await).await;
    server.database.mk_tenant(1, "acme", "active").await;
    server.database.mk_subscription(1, "finance", Row::default()).await;
    server.check(1, "finance").await;
    server.check(2, "hrms").await;
    server.resolve("", "acme.erp.example", "").await.unwrap();
    server.resolve(&id(3), "acme.erp.example", "").await.unwrap_err();
    let page = server.metrics().await.page;
    for word in ["00000000-0000-4000", "acme", "finance", "hrms", "tenant_id"] {
        assert!(!page.contains(word), "{word}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_series_is_there_twice() {
    let metrics = start(Database::sqlite().await).await.metrics().await;
    let lines = metrics.page.lines().filter(|line| !line.starts_with('#'));
    let mut series: Vec<&str> = lines.map(|line| line.rsplit_once(' ').unwrap().0).collect();
    series.sort_unstable();
    let twice: Vec<_> = series.windows(2).filter(|two| two[0] == two[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_gets_the_format_that_it_asks_for() {
    let server = start(Database::sqlite().await).await;
    let address = server.running.metrics_address.unwrap();
    let plain = http::get(address, "/metrics").await;
    assert!(
        plain.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        plain.head
    );
    assert!(plain.body.contains(
        "# TYPE entitlementd_cache_hits_total counter\nentitlementd_cache_hits_total 0\n"
    ));
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
    let open = http::send(
        address,
        &format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n"),
    )
    .await;
    assert!(
        open.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        open.head
    );
    assert!(
        open.body
            .contains("# TYPE entitlementd_cache_hits counter\nentitlementd_cache_hits_total 0\n")
    );
    assert!(open.body.ends_with("\n# EOF\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_unless_an_address_is_given() {
    let server = Server::start(Database::sqlite().await).await;
    assert_eq!(server.running.metrics_address, None);
}
