//! Traced requests as examples of what is in a bucket.

use tonic::Request;

use super::SHOWN;
use crate::harness::{Database, Row, Server, http, server::check_request};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A check whose caller has a trace, sampled or not.
fn traced(tenant: u32, flags: &str) -> Request<entitlementd::proto::v1::CheckModuleRequest> {
    let mut request = Request::new(check_request(tenant, "finance"));
    let parent = format!("00-{TRACE}-b7ad6b7169203331-{flags}");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request
}

async fn page(server: &Server, accept: &str) -> String {
    let address = server.running.metrics_address.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n");
    http::send(address, &request).await.body
}

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_traced_request_of_a_bucket_is_named_and_others_are_not() {
    let database = Database::sqlite().await;
    let mut server = Server::start_with(database, &SHOWN).await;
    server.database.mk_subscribed(1, "finance", Row::default()).await;
    server.client.check_module(traced(1, "00")).await.unwrap();
    server.client.check_module(check_request(1, "finance")).await.unwrap();
    assert!(!page(&server, OPEN_METRICS).await.contains("trace_id"), "none was sampled");

    server.client.check_module(traced(1, "01")).await.unwrap();
    let open = page(&server, OPEN_METRICS).await;
    let named: Vec<&str> = open.lines().filter(|line| line.contains("trace_id")).collect();
    let [line] = named[..] else { panic!("{named:?}") };
    let (bucket, exemplar) = line.split_once(" # ").unwrap();
    assert!(bucket.starts_with("entitlementd_rpc_duration_seconds_bucket{le=\""), "{line}");
    assert!(bucket.contains("method=\"CheckModule\",code=\"OK\"} "), "{line}");
    let labels = format!("{{trace_id=\"{TRACE}\"}} ");
    let (seconds, at) = exemplar.strip_prefix(&labels).unwrap().split_once(' ').unwrap();
    let bound = bucket.split('"').nth(1).unwrap();
    let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
    assert!(seconds.parse::<f64>().unwrap() <= bound, "{line}");
    assert_eq!(at, "1795435200.000", "when it arrived, by the server's clock");

    let text = page(&server, "text/plain").await;
    assert!(!text.contains("trace_id") && !text.contains(" # "), "the text format has none");
}
