//! What is shipped for Prometheus and Grafana, over real servers under load.

mod load;
pub mod rules;

use std::collections::BTreeSet;

use serde_json::Value;

use self::load::Instances;
use crate::{
    dashboard,
    harness::prometheus::{Prometheus, Sample},
};

/// Queries of the dashboard that rightly give nothing: there is no certificate.
const EMPTY: [&str; 1] = [
    r#"(entitlementd_tls_certificate_not_after_seconds{job=~"entitlementd", instance=~".*"} > 0) - time()"#,
];

/// What the load makes more of: its rates are above 0.
const MOVED: [&str; 16] = [
    "job:entitlementd_checks:rate5m",
    "job:entitlementd_checks_failed:rate5m",
    "entitlementd_rpc_duration_seconds_count",
    "entitlementd_rpc_duration_seconds_bucket",
    "entitlementd_decisions_total",
    "entitlementd_gateway_requests_total",
    "entitlementd_caller_refusals_total",
    "entitlementd_cache_hits_total",
    "entitlementd_cache_misses_total",
    "entitlementd_cache_loads_total",
    "entitlementd_cache_load_statements_total",
    "entitlementd_load_duration_seconds_count",
    "entitlementd_load_duration_seconds_bucket",
    "entitlementd_changes_total",
    "entitlementd_decision_log_written_total",
    "process_cpu_seconds_total",
];

/// A machine that is busy with tests may be slow: its latency says nothing about the alerts.
fn may_be_slow(alert: &Value) -> bool {
    alert["labels"]["slo"] == "latency"
}

fn has_number(samples: &[Sample]) -> bool {
    samples.iter().any(|sample| !sample.value.is_nan())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_has_an_answer_and_no_alert_wakes_anybody_over_servers_that_work() {
    let mut instances = Instances::start().await;
    let prometheus = Prometheus::start(&instances.metrics()).await;
    // Enough for rates, and for rules that build on others.
    let seen = r#"count(count_over_time(up{job="entitlementd"}[5m]) > 12) == 2
        and count(job:entitlementd_error_budget:left) == 3"#;
    instances.work_until(seen, &prometheus).await;
    no_alert_is_raised(&prometheus).await;
    rules_are_evaluated(&prometheus).await;

    let failed = r#"sum(rate(entitlementd_load_duration_seconds_count{outcome!="ok"}[5m])) > 0
        and on () job:entitlementd_checks_failed:rate5m > 0
        and on () count(sum by (proxy) (rate(entitlementd_gateway_requests_total{code="503"}[5m])) > 0) == 2
        and on () entitlementd_condition_cause{cause="slow"} == 1"#;
    let _locked = instances.fail_until(failed, &prometheus).await;
    dashboard_is_answered(&prometheus).await;
}

async fn no_alert_is_raised(prometheus: &Prometheus) {
    let alerts = prometheus.rules("alerting").await;
    assert!(alerts.len() > 30, "{alerts:?}");
    for alert in alerts.iter().filter(|alert| !may_be_slow(alert)) {
        let raised = prometheus.query(alert["query"].as_str().unwrap()).await;
        assert!(raised.is_empty(), "{}: {raised:?}", alert["name"]);
    }
}

async fn rules_are_evaluated(prometheus: &Prometheus) {
    for kind in ["recording", "alerting"] {
        for rule in prometheus.rules(kind).await {
            let said = (rule["health"].as_str(), rule["lastError"].as_str().unwrap_or_default());
            assert_eq!(said, (Some("ok"), ""), "{rule}");
        }
    }
    for rule in prometheus.rules("recording").await {
        let name = rule["name"].as_str().unwrap();
        assert!(has_number(&prometheus.query(name).await), "{name}");
    }
    // Its bound is one of the histogram's: without such a bucket, all would be slow.
    let fast = "job:entitlementd_checks_slow:rate5m < job:entitlementd_checks_timed:rate5m";
    assert!(prometheus.finds(fast).await);
}

async fn dashboard_is_answered(prometheus: &Prometheus) {
    let mut empty = BTreeSet::new();
    for expression in dashboard::expressions() {
        let expression = expression
            .replace("$__rate_interval", "1m")
            .replace("$job", "entitlementd")
            .replace("$instance", ".*");
        assert!(!expression.contains('$'), "{expression}");
        let samples = prometheus.query(&expression).await;
        if !has_number(&samples) {
            empty.insert(expression);
        } else if MOVED.iter().any(|name| expression.contains(name)) {
            assert!(samples.iter().any(|sample| sample.value > 0.0), "{expression}: {samples:?}");
        }
    }
    assert_eq!(empty, EMPTY.map(str::to_owned).into());
}
