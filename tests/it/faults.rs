//! What may befall the database, under load: no check of a known tenant fails, none is wrongly
//! granted or denied, and everything is as before within 2 s of the database's return.

mod absence;
mod exhaustion;
mod failover;
mod frozen;
mod lagging;
mod listening;
mod load;
mod world;

use std::time::{Duration, Instant};

use entitlementd::proto::v1::DecisionReason;

use self::{
    load::{Effect, Fault},
    world::World,
};
use crate::harness::{postgres::Cluster, proxy::Proxy};

/// Long enough for whatever notices by a heartbeat.
const OUTAGE: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_and_started_again_fails_no_known_tenant() {
    let mut cluster = Cluster::start(&[]);
    let world = World::on(&cluster).await;
    let load = world.load();
    let began = Instant::now();
    cluster.kill_hard();
    tokio::time::sleep(OUTAGE).await;
    cluster.restart();
    world.recovers_under(load, Fault { began, ended: Instant::now(), effect: Effect::Stale }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_and_goes_on_fails_no_known_tenant() {
    let mut cluster = Cluster::start(&[]);
    let world = World::on(&cluster).await;
    let load = world.load();
    let began = Instant::now();
    cluster.hang();
    tokio::time::sleep(OUTAGE).await;
    let ended = Instant::now();
    cluster.resume();
    world.recovers_under(load, Fault { began, ended, effect: Effect::Stale }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_makes_answers_stale_and_none_fail() {
    let cluster = Cluster::start(&[]);
    let proxy = Proxy::to(cluster.port()).await;
    let world = World::through(&cluster, proxy.port()).await;
    let load = world.load();
    let began = Instant::now();
    proxy.black_hole();
    world.set(4, DecisionReason::TenantSuspended).await;
    tokio::time::sleep(OUTAGE).await;
    world.set(5, DecisionReason::TenantSuspended).await;
    world.set(6, DecisionReason::Enabled).await;
    let ended = Instant::now();
    proxy.let_through();
    world.recovers_under(load, Fault { began, ended, effect: Effect::Stale }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_network_forgets_are_replaced() {
    let cluster = Cluster::start(&[]);
    let proxy = Proxy::to(cluster.port()).await;
    let world = World::through(&cluster, proxy.port()).await;
    let load = world.load();
    let began = Instant::now();
    proxy.strand();
    proxy.let_through();
    world.set(4, DecisionReason::TenantSuspended).await;
    // The database is there all the time. It takes the servers so long to notice that it does not
    // hear them.
    let ended = began + Duration::from_millis(1500);
    tokio::time::sleep_until(ended.into()).await;
    world.recovers_under(load, Fault { began, ended, effect: Effect::MayBeStale }).await;
}
