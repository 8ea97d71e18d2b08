//! A collector that is not there, or slow: what is told and counted.

use std::net::SocketAddr;

use super::*;
use crate::harness::{http::Metrics, keeper::until_so, postgres::free_port};

/// Spans are sent at once, one in a message, four wait, and nobody waits long for an answer.
const QUICK: [(&str, &str); 5] = [
    ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000"),
    ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
];

async fn lost(metrics: SocketAddr, reason: &str) -> f64 {
    Metrics::read(metrics).await.of(&format!("spans_lost_total{{reason=\"{reason}\"}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_is_a_warning_a_number_and_a_line_when_it_is_back() {
    let collector = Collector::default();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let url = format!("http://{address}");
    let quick = [&QUICK[..], &[("OTEL_EXPORTER_OTLP_TIMEOUT", "50")]].concat();
    let mut server = demo(&quick, &["--otlp-endpoint", &url]);
    let metrics = server.address_of("metrics and probes").parse().unwrap();
    let data = server.address();
    server.wait_for("\"ready\"");
    let mut client = EntitlementServiceClient::new(connect(&data.parse().unwrap()).await);
    client.check_module(traced(check("finance"), "00")).await.unwrap();
    assert_eq!(lost(metrics, "failed").await, 0.0);
    for count in 1..=3 {
        client.check_module(traced(check("finance"), "01")).await.unwrap();
        until_so("the span is lost", async || lost(metrics, "failed").await == f64::from(count))
            .await;
    }
    let told = server.wait_for("did not reach the collector");
    assert!(told.contains(&format!("at {url}/: ")) && told.contains("WARN"), "{told}");
    assert!(told.contains("1 spans"), "{told}");

    collector.start_at(address).await;
    until_so("a span reaches the collector", async || {
        client.check_module(traced(check("finance"), "01")).await.unwrap();
        !collector.named(CHECK).is_empty()
    })
    .await;
    let over = server.wait_for("spans reach the collector");
    assert!(over.contains("INFO") && over.contains("were lost"), "{over}");
    let lines = server.logged.lines().filter(|line| line.contains("did not reach"));
    assert_eq!(lines.count(), 1, "one a minute: {}", server.logged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slow_collector_costs_is_counted_exactly() {
    let collector = Collector::default();
    let url = collector.start().await;
    collector.open(false);
    let mut server = demo(&QUICK, &["--otlp-endpoint", &url]);
    let metrics = server.address_of("metrics and probes").parse().unwrap();
    let data = server.address();
    server.wait_for("\"ready\"");
    let mut client = EntitlementServiceClient::new(connect(&data.parse().unwrap()).await);
    // From here on the facts are in memory: a request is one span.
    client.check_module(traced(check("finance"), "00")).await.unwrap();
    client.check_module(traced(check("finance"), "01")).await.unwrap();
    until_so("the collector has the first", async || collector.messages() == 1).await;
    for _ in 0..10 {
        client.check_module(traced(check("finance"), "01")).await.unwrap();
    }
    until_so("four wait, and the rest is lost", async || lost(metrics, "behind").await == 6.0)
        .await;
    collector.open(true);
    until_so("what waited arrives", async || collector.named(CHECK).len() == 5).await;
    let told = server.wait_for("did not reach the collector");
    assert!(told.contains("6 spans") && told.contains("slower than spans come"), "{told}");
    server.wait_for("spans reach the collector");
    assert_eq!((lost(metrics, "behind").await, lost(metrics, "failed").await), (6.0, 0.0));
}
