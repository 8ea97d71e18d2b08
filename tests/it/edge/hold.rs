//! An edge that holds every tenant.

use super::core;
use crate::{
    harness::{Row, Server, until_so},
    metrics::SHOWN,
};

impl Server {
    async fn until_held_are(&self, tenants: f64) {
        self.until_metrics(|metrics| metrics.of("cache_entries") == tenants).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tenant_is_held_before_anybody_asks_also_those_that_come_later() {
    let core = core().await;
    let mut edge = core.edge(&[&SHOWN[..], &["--hold", "all"]].concat()).await;
    edge.until_held_are(2.0).await;
    core.database.mk_subscribed(3, "finance", Row::default()).await;
    edge.until_held_are(3.0).await;
    core.running.stop().await.unwrap();
    for tenant in 1..=3 {
        assert!(edge.check(tenant, "finance").await.allowed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_default_a_tenant_is_held_once_somebody_has_asked_for_it() {
    let core = core().await;
    let mut edge = core.edge(&SHOWN).await;
    edge.is_granted_unmarked(1).await;
    core.database.mk_subscribed(3, "finance", Row::default()).await;
    until_so("the third tenant is known", async || edge.check(3, "finance").await.allowed).await;
    assert_eq!(edge.metrics().await.of("cache_entries"), 2.0);
}
