//! What an edge has missed is sent, and nothing else is read again.

use entitlementd::proto::v1::DecisionReason;

use super::core;
use crate::{
    harness::{Server, proxy::Proxy},
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
    network.let_through();
    edge.until_reason(1, Enabled, TenantSuspended).await;
    edge.is_granted_unmarked(2).await;
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
