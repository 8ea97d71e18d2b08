//! The connection that listens fails, and the database does not.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::DecisionReason;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{
    load::{Effect, Fault, RECOVERED},
    world::{LISTENS, World, new_database},
};
use crate::harness::{Database, Server, postgres::Cluster, proxy::Proxy};

/// Servers that listen at the moment, and have read the log on the same connection.
async fn listeners(database: &Database) -> usize {
    let listening = "SELECT pid FROM pg_stat_activity WHERE application_name = 'entitlementd feed'
                     AND datname = current_database() AND state = 'idle' AND query LIKE 'SELECT state.history%'";
    let listening = Statement::from_string(DbBackend::Postgres, listening);
    database.connection.query_all_raw(listening).await.unwrap().len()
}

async fn until_both_listen(database: &Database) {
    let deadline = Instant::now() + RECOVERED;
    while listeners(database).await < 2 {
        assert!(Instant::now() < deadline, "they listen again soon");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn the_other(round: u32) -> DecisionReason {
    if round.is_multiple_of(2) { DecisionReason::TenantSuspended } else { DecisionReason::Enabled }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_while_the_listening_connection_is_ended_is_not_missed_and_it_listens_again_at_once()
 {
    let cluster = Cluster::start(&[]);
    let database = new_database(&cluster).await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        servers.push(Server::start_with(database.again().await, LISTENS).await);
    }
    let mut world = World::of(database, servers).await;
    let load = world.load();
    let began = Instant::now();
    for round in 0..10 {
        until_both_listen(&world.database).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'entitlementd feed'";
        world.database.execute(end).await;
        world.set(4, the_other(round)).await;
        world.until_all_know(4, Instant::now() + RECOVERED).await;
    }
    world
        .recovers_under(load, Fault { began, ended: Instant::now(), effect: Effect::MayBeStale })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_listening_cannot_begin_changes_are_polled_without_a_gap() {
    let cluster = Cluster::start(&[]);
    let database = new_database(&cluster).await;
    let [network, silence] = [Proxy::to(cluster.port()).await, Proxy::to(cluster.port()).await];
    silence.black_hole();
    let url =
        |proxy: &Proxy| format!("postgres://postgres@127.0.0.1:{}/{}", proxy.port(), database.name);
    let flags = [
        "--listen-database-url",
        &url(&silence),
        "--poll-interval",
        "20ms",
        "--revalidate-max-rate",
        "0",
    ];
    let server = Server::start_with(database.by_way_of(url(&network)).await, &flags).await;
    let mut world = World::of(database, vec![server]).await;
    network.black_hole();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    network.let_through();
    for tenant in [4, 5] {
        world.until_all_know(tenant, Instant::now() + RECOVERED).await;
    }
    // It tries to listen again now, for as long as this takes.
    for round in 0..30 {
        world.set(4, the_other(round)).await;
        world.until_all_know(4, Instant::now() + Duration::from_millis(700)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
