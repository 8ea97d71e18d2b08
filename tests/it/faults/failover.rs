//! Another server takes over, and has not got everything that the first one had committed.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::DecisionReason;

use super::{
    load::{Effect, Fault, RECOVERED},
    world::{KNOWN, World},
};
use crate::harness::{Database, postgres::Cluster, proxy::Proxy};

/// Loads of one tenant that a cluster has been sent by servers.
async fn loads(cluster: &Cluster) -> usize {
    // Asking for something makes sure that what was done before is in the log.
    assert_eq!(cluster.ask::<i32>("SELECT 1").await, 1);
    cluster.log().lines().filter(|line| line.contains("AS \"tenants.database_schema\"")).count()
}

async fn a_failover_forgets_what_was_never_replicated(silently: bool) {
    let mut primary = Cluster::start(&[]);
    let network = Proxy::to(primary.port()).await;
    let mut world = World::through(&primary, network.port()).await;
    let standby = Cluster::standby_of(&primary, &[]);
    standby.catch_up(&primary).await;
    standby.stop_following().await;
    for tenant in [4, 5] {
        // Committed, announced and answered, and yet it will never have been.
        world.set(tenant, DecisionReason::TenantSuspended).await;
        world.until_all_know(tenant, Instant::now() + RECOVERED).await;
    }

    let load = world.load();
    let began = Instant::now();
    if silently {
        // Its machine is gone: nobody tells those who are connected.
        network.strand();
    } else {
        primary.kill_hard();
    }
    for tenant in [4, 5] {
        world.begin(tenant, DecisionReason::Enabled);
    }
    standby.promote().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ended = Instant::now();
    network.point_at(standby.port());
    network.let_through();
    for tenant in [4, 5] {
        world.end(tenant);
    }
    world.database = Database::on(&standby, world.database.name.clone()).await;
    for tenant in KNOWN {
        world.until_all_know(tenant, ended + RECOVERED).await;
    }
    world.recovers(ended).await;

    let before = loads(&standby).await;
    assert!(before >= 2 * KNOWN.len(), "each server has read everything again");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(loads(&standby).await, before, "and not over and over");
    load.end(&world.truth, Fault { began, ended, effect: Effect::Stale }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_forgets_what_was_never_replicated_and_fails_no_known_tenant() {
    a_failover_forgets_what_was_never_replicated(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_leaves_connections_open_for_ever_is_over_as_soon() {
    a_failover_forgets_what_was_never_replicated(true).await;
}
