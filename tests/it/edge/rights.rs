//! Who may be sent facts, and whose.

use std::io::Write;

use entitlementd::proto::replication::{
    FollowFactsRequest, GetFactsRequest, ListTenantKeysRequest, TenantKey, found_facts::Outcome,
    replication_service_client::ReplicationServiceClient, tenant_key::Key,
};
use tempfile::NamedTempFile;
use tonic::{Code, Request};

use super::core;
use crate::{
    callers::write_callers,
    harness::{Database, NOW, Row, Server, id, reason_of, server::connect, until_so},
    metrics::SHOWN,
};

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Their names are their tokens.
fn callers_of(edge: &str) -> [(&'static str, String); 3] {
    let plant = format!("services = [\"replication\"]\ntenants = [\"{}\"]", id(1));
    [
        ("edge", format!("services = [\"replication\"]\n{edge}")),
        ("plant", plant),
        ("orders", "services = [\"entitlement\"]".to_owned()),
    ]
}

fn callers() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    write(&file, "");
    file
}

fn write(file: &NamedTempFile, edge: &str) {
    let all = callers_of(edge);
    write_callers(file, &all.each_ref().map(|(token, rest)| (*token, rest.as_str())));
}

async fn core_that_knows(callers: &NamedTempFile) -> Server {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.mk_subscribed(2, "finance", Row::default()).await;
    let path = callers.path().to_str().unwrap();
    Server::start_with(database, &[&SHOWN[..], &["--callers-file", path]].concat()).await
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_are_sent_to_callers_with_that_right_and_to_no_other() {
    let callers = callers();
    let core = core_that_knows(&callers).await;
    let mut client = ReplicationServiceClient::new(connect(&core.running.address).await);
    for (token, code) in [("orders", Code::PermissionDenied), ("nobody", Code::Unauthenticated)] {
        let refused = client.get_facts(with_token(GetFactsRequest::default(), token)).await;
        assert_eq!(refused.unwrap_err().code(), code, "{token}");
        let requests = futures_util::stream::iter([FollowFactsRequest::default()]);
        let refused = client.follow_facts(with_token(requests, token)).await;
        assert_eq!(refused.unwrap_err().code(), code, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_of_some_tenants_is_sent_these_and_no_others() {
    let callers = callers();
    let core = core_that_knows(&callers).await;
    let token = file("plant\n");
    let flags = ["--upstream-token-file", token.path().to_str().unwrap(), "--hold", "all"];
    let mut edge = core.edge(&[&SHOWN[..], &flags].concat()).await;
    edge.until_metrics(|metrics| metrics.of("cache_entries") == 1.0).await;
    edge.is_granted_unmarked(1).await;
    core.database.set_status(2, "suspended").await;
    core.database.set_status(1, "suspended").await;
    let reason = entitlementd::proto::v1::DecisionReason::TenantSuspended;
    edge.until_reason(1, entitlementd::proto::v1::DecisionReason::Enabled, reason).await;
    assert_eq!(edge.metrics().await.of("cache_entries"), 1.0);

    let mut client = ReplicationServiceClient::new(connect(&core.running.address).await);
    let key = |key| TenantKey { key: Some(key) };
    let by_id = |tenant: u32| {
        let id = uuid::Uuid::parse_str(&id(tenant)).unwrap();
        key(Key::Id(id.into_bytes().to_vec()))
    };
    let ask = |tenants| with_token(GetFactsRequest { tenants, min_revision: 0 }, "plant");
    let by_subdomain = key(Key::Subdomain("tenant-2".to_owned()));
    let asked = ask(vec![by_id(1), by_id(2), by_subdomain, by_id(999)]);
    let found = client.get_facts(asked).await.unwrap().into_inner().found;
    let [own, others @ ..] = &*found else { panic!("{found:?}") };
    assert!(matches!(own.outcome, Some(Outcome::Facts(_))), "{own:?}");
    for other in others {
        let Some(Outcome::AbsentTenant(absent)) = &other.outcome else { panic!("{other:?}") };
        assert_eq!(absent.as_of.unwrap().seconds, NOW.timestamp(), "as one that there is not");
    }
    let listed = client.list_tenant_keys(with_token(ListTenantKeysRequest {}, "plant")).await;
    let page = listed.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!(page.tenants, [by_id(1), key(Key::Subdomain("tenant-1".to_owned()))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_are_taken_from_an_edge_or_given_to_it_are_held_as_before_no_longer() {
    use entitlementd::proto::v1::DecisionReason::{Enabled, TenantNotFound};
    let callers = callers();
    let core = core_that_knows(&callers).await;
    let token = file("edge");
    let flags = ["--upstream-token-file", token.path().to_str().unwrap(), "--hold", "all"];
    let mut edge = core.edge(&[&SHOWN[..], &flags].concat()).await;
    edge.until_metrics(|metrics| metrics.of("cache_entries") == 2.0).await;
    edge.is_granted_unmarked(2).await;
    write(&callers, &format!("tenants = [\"{}\"]", id(1)));
    core.running.reload();
    until_so("tenant 2 is not its business any more", async || {
        edge.reason_and_mark(2).await == (TenantNotFound, false)
    })
    .await;
    edge.is_granted_unmarked(1).await;
    write(&callers, "");
    core.running.reload();
    edge.until_reason(2, TenantNotFound, Enabled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_without_the_right_is_not_ready_and_says_so() {
    let callers = callers();
    let core = core_that_knows(&callers).await;
    let token = file("orders");
    let flags = ["--upstream-token-file", token.path().to_str().unwrap()];
    let mut edge = core.unready_edge(&[core.port()], &[&SHOWN[..], &flags].concat()).await;
    edge.until_readyz(503, "unready: the upstream ").await;
    edge.is_unavailable(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_none_are_invalid() {
    let core = core().await;
    let mut client = ReplicationServiceClient::new(connect(&core.running.address).await);
    let key = |key| TenantKey { key };
    for tenants in [
        vec![key(None)],
        vec![key(Some(Key::Id(vec![1; 15])))],
        vec![key(Some(Key::Subdomain("not a label".to_owned())))],
        vec![key(Some(Key::Subdomain("a".to_owned()))); 1_001],
    ] {
        let status = client.get_facts(GetFactsRequest { tenants, min_revision: 0 }).await;
        let status = status.unwrap_err();
        assert_eq!((status.code(), &*reason_of(&status)), (Code::InvalidArgument, "INVALID_FIELD"));
    }
}
