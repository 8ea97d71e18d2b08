//! What an edge has missed is sent, and nothing else is read again.

use entitlementd::{
    proto::{replication::GetFactsRequest, v1::DecisionReason},
    store::{LoadTenant, Source, TenantKey},
};

use super::core;
use crate::{
    harness::{NOW, Server, id, proxy::Proxy, until_so},
    metrics::SHOWN,
};

impl Server {
    async fn resets(&self) -> f64 {
        self.metrics().await.of("resets_total")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_missed_is_sent_when_the_same_core_is_followed_again() {
    use DecisionReason::{Enabled, TenantSuspended};
    let core = core().await;
    let network = Proxy::to(core.port()).await;
    let mut edge = core.unready_edge(&[network.port()], &SHOWN).await;
    edge.wait_until_ready().await;
    edge.is_granted_unmarked(1).await;
    edge.is_granted_unmarked(2).await;
    let (resets, loads) = (edge.resets().await, edge.metrics().await.of("cache_loads_total"));
    network.strand();
    core.database.set_status(1, "suspended").await;
    // Who has changed is not asked for before that is over: in between it would be loaded.
    until_so("it is marked", async || edge.reason_and_mark(2).await == (Enabled, true)).await;
    network.let_through();
    until_so("it is not marked", async || edge.reason_and_mark(2).await == (Enabled, false)).await;
    assert_eq!(edge.reason_and_mark(1).await, (TenantSuspended, false));
    assert_eq!(edge.resets().await, resets);
    assert_eq!(edge.metrics().await.of("cache_loads_total"), loads, "what has changed was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_missed_is_sent_by_another_core_of_the_same_database() {
    use DecisionReason::{Enabled, TenantSuspended};
    let core = core().await;
    let other = Server::start_with(core.database.again().await, &SHOWN).await;
    let network = Proxy::to(core.port()).await;
    let mut edge = core.unready_edge(&[network.port()], &SHOWN).await;
    edge.wait_until_ready().await;
    edge.is_granted_unmarked(1).await;
    edge.is_granted_unmarked(2).await;
    let resets = edge.resets().await;
    network.strand();
    core.database.set_status(1, "suspended").await;
    network.point_at(other.port());
    network.let_through();
    edge.until_reason(1, Enabled, TenantSuspended).await;
    edge.is_granted_unmarked(2).await;
    assert_eq!(edge.resets().await, resets);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_changes_that_were_missed_are_sent_in_less_than_a_mebibyte() {
    let core = core().await;
    core.database
        .execute(
            "INSERT INTO tenants (id, name, subdomain, database_schema)
             SELECT ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'A company of some name ' || i,
                    'company-' || i, 'tenant_company_' || i
             FROM generate_series(1001, 2000) i;
             INSERT INTO tenant_subscriptions (id, tenant_id, module_id, starts_at)
             SELECT gen_random_uuid(), t.id, m.id, now()
             FROM tenants t, (SELECT id FROM modules ORDER BY code LIMIT 10) m WHERE t.subdomain LIKE 'company-%'",
        )
        .await;
    let network = Proxy::to(core.port()).await;
    let flags = [&SHOWN[..], &["--hold", "all"]].concat();
    let mut edge = core.unready_edge(&[network.port()], &flags).await;
    edge.wait_until_ready().await;
    edge.until_metrics(|metrics| metrics.of("cache_entries") == 1002.0).await;
    let resets = edge.resets().await;
    network.strand();
    for number in 1001..=2000 {
        let change = format!(
            "UPDATE tenants SET name = 'Another name' WHERE subdomain = 'company-{number}'"
        );
        core.database.execute(&change).await;
    }
    core.database.set_status(1, "suspended").await;
    let before = network.bytes();
    network.let_through();
    edge.until_reason(1, DecisionReason::Enabled, DecisionReason::TenantSuspended).await;
    for number in 1001..=2000 {
        let resolved =
            edge.resolve("", &format!("company-{number}.erp.example"), "").await.unwrap();
        let is_stale = resolved.freshness.unwrap().stale;
        assert_eq!((&*resolved.tenant.unwrap().name, is_stale), ("Another name", false));
    }
    let sent = network.bytes() - before;
    assert!(sent < 1 << 20, "{sent} bytes");
    assert_eq!(edge.resets().await, resets);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_core_answers_than_the_one_that_is_followed_is_marked_and_not_kept() {
    let core = core().await;
    let other = Server::start_with(core.database.again().await, &SHOWN).await;
    let network = Proxy::to(core.port()).await;
    let mut edge = core.unready_edge(&[network.port()], &SHOWN).await;
    edge.wait_until_ready().await;
    edge.is_granted_unmarked(1).await;
    // As behind one address of both: what is open goes on, and another connection leads elsewhere.
    let mut upstream = entitlementd::upstream::Upstream::default();
    let url = format!("http://127.0.0.1:{}", network.port());
    let nobody = entitlementd::upstream::Credentials::default();
    let client = entitlementd::upstream::connect(&url, &nobody, false).await.unwrap();
    let asked = client.clone().get_facts(GetFactsRequest::default()).await.unwrap();
    upstream.ask(client, asked.into_inner().instance);
    assert!(!is_of_another(&mut upstream).await);
    network.point_at(other.port());
    network.cut().await;
    assert!(is_of_another(&mut upstream).await);
}

/// Is what is asked for answered by another instance?
async fn is_of_another(upstream: &mut entitlementd::upstream::Upstream) -> bool {
    let key = TenantKey::parse(&id(2)).unwrap();
    let read = upstream.load_tenants(&[key], Source::Primary, NOW).await.unwrap();
    assert!(read.value[0].as_ref().unwrap().facts.is_some());
    read.is_from_standby
}
