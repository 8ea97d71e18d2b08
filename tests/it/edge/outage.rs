//! What an edge answers while nobody answers it.

use std::time::Duration;

use entitlementd::proto::v1::DecisionReason;
use tonic_health::pb::health_check_response::ServingStatus;

use super::core;
use crate::{
    harness::{Database, Row, Server, postgres, proxy::Proxy, until_so},
    metrics::SHOWN,
};

impl Server {
    pub async fn until_marked(&mut self, tenant: u32) {
        until_so("it is marked", async || {
            let answer = self.check(tenant, "finance").await;
            assert!(answer.allowed);
            answer.freshness.unwrap().stale
        })
        .await;
    }

    pub async fn until_unmarked(&mut self, tenant: u32) {
        until_so("it is not marked any more", async || {
            let answer = self.check(tenant, "finance").await;
            !answer.freshness.unwrap().stale
        })
        .await;
    }
}

/// An edge whose core is reached by a network that can be broken.
async fn edge_over(network: &Proxy, core: &Server, flags: &[&str]) -> Server {
    let edge = core.unready_edge(&[network.port()], &[&SHOWN[..], flags].concat()).await;
    edge.wait_until_ready().await;
    edge
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_core_an_edge_answers_who_is_held_marked_until_max_stale() {
    let core = core().await;
    let network = Proxy::to(core.port()).await;
    let mut edge = edge_over(&network, &core, &[]).await;
    edge.is_granted_unmarked(1).await;
    network.black_hole();
    edge.until_marked(1).await;
    edge.until_readyz(200, "degraded: the upstream has not answered since ").await;
    edge.is_unavailable(2).await;
    edge.advance(3_595);
    edge.is_granted_marked(1).await;
    edge.advance(6);
    edge.is_unavailable(1).await;
    edge.until_readyz(503, "unready: the upstream ").await;
    until_so("health follows", async || edge.health("").await == ServingStatus::NotServing).await;
    network.let_through();
    edge.wait_until_ready().await;
    edge.until_unmarked(1).await;
    edge.is_granted_unmarked(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_suspended_while_the_core_cannot_be_reached_is_never_granted_unmarked() {
    let mut core = core().await;
    let network = Proxy::to(core.port()).await;
    let mut edge = edge_over(&network, &core, &[]).await;
    edge.is_granted_unmarked(1).await;
    // For good: a heartbeat from before the suspension that comes late counts for some seconds from when it
    // was asked for, and the suspension comes right behind it.
    network.strand();
    edge.until_marked(1).await;
    core.database.set_status(1, "suspended").await;
    core.until_reason(1, DecisionReason::Enabled, DecisionReason::TenantSuspended).await;
    edge.is_granted_marked(1).await;
    network.let_through();
    edge.until_suspended(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_hangs_an_edge_marks_what_its_core_marks() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.mk_subscribed(2, "finance", Row::default()).await;
    let network = Proxy::to(postgres::shared().port()).await;
    let mut core = Server::start_with(database.behind(&network).await, &SHOWN).await;
    let mut edge = core.edge(&SHOWN).await;
    let mut later = core.edge(&SHOWN).await;
    edge.is_granted_unmarked(1).await;
    core.is_granted_unmarked(2).await;
    network.black_hole();
    edge.until_marked(1).await;
    core.until_marked(1).await;
    // Its core holds it, and cannot vouch for it.
    later.until_marked(2).await;
    edge.until_readyz(200, "degraded: the upstream has not answered since ").await;
    let (clock, upstreams) = (core.clock.clone(), [core.port()]);
    let newcomer = Server::start_edge(database.again().await, clock, &upstreams, &SHOWN).await;
    newcomer.until_readyz(200, "degraded: ").await;
    network.let_through();
    for edge in [&mut edge, &mut later] {
        edge.until_unmarked(1).await;
        edge.until_unmarked(2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_ends_its_connections_is_followed_again_before_anybody_notices() {
    let core = core().await;
    let network = Proxy::to(core.port()).await;
    let mut edge = edge_over(&network, &core, &[]).await;
    edge.is_granted_unmarked(1).await;
    for _ in 0..5 {
        network.cut().await;
        for _ in 0..20 {
            edge.is_granted_unmarked(1).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_starts_before_its_core_waits_for_it() {
    let core = core().await;
    let network = Proxy::to(core.port()).await;
    network.black_hole();
    let mut edge = core.unready_edge(&[network.port()], &SHOWN).await;
    edge.until_readyz(503, "unready: the upstream has not answered yet").await;
    edge.is_unavailable(1).await;
    network.let_through();
    edge.wait_until_ready().await;
    edge.is_granted_unmarked(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_cores_the_one_that_answers_is_asked() {
    let core = core().await;
    let other = Server::start_with(core.database.again().await, &SHOWN).await;
    let (one, two) = (Proxy::to(core.port()).await, Proxy::to(other.port()).await);
    let upstreams = [one.port(), two.port()];
    let mut edge = core.unready_edge(&upstreams, &SHOWN).await;
    edge.wait_until_ready().await;
    edge.is_granted_unmarked(1).await;
    for [away, back] in [[&one, &two], [&two, &one]] {
        back.let_through();
        away.black_hole();
        away.cut().await;
        until_so("the other is asked", async || {
            edge.check_request(crate::harness::server::check_request(2, "finance")).await.is_ok()
        })
        .await;
        edge.until_unmarked(2).await;
        edge.is_granted_unmarked(1).await;
    }
}
