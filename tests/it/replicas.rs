//! Loads go to a replica where that is as good as the primary, and nowhere else.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::DecisionReason;

use crate::harness::{Database, Row, Server, postgres::Cluster, process};

/// A server looks after its replicas twice a second: by then it has.
const NOTICED: Duration = Duration::from_millis(1500);
/// Longer than any change takes to travel.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every load of a tenant contains, and nothing else that servers send.
const LOAD: &str = "AS \"tenants.database_schema\"";

/// Loads that a cluster has been sent.
pub async fn loads(cluster: &Cluster) -> usize {
    // Asking for something makes sure that what was done before is in the log.
    assert_eq!(cluster.ask::<i32>("SELECT 1").await, 1);
    cluster.log().lines().filter(|line| line.contains(LOAD)).count()
}

/// A primary with so many tenants that may use finance, its replica, and the primary's database.
pub async fn mk_pair(tenants: u32) -> ([Cluster; 2], Database) {
    let primary = Cluster::start(&[]);
    let name = primary.empty_database().await;
    process::migrate(&primary.url(&name));
    let database = Database::on(&primary, name).await;
    for tenant in 0..tenants {
        database.mk_subscribed(tenant, "finance", Row::default()).await;
    }
    let replica = Cluster::standby_of(&primary, &[]);
    replica.catch_up(&primary).await;
    ([primary, replica], database)
}

/// A primary with so many tenants, its replica, and a server that knows both.
struct Pair {
    primary: Cluster,
    replica: Cluster,
    server: Server,
}

impl Pair {
    async fn with(tenants: u32) -> Self {
        let ([primary, replica], database) = mk_pair(tenants).await;
        let url = replica.url(&database.name);
        let flags =
            ["--replica-database-url", &url, "--revalidate-max-rate", "0", "--changes", "listen"];
        let server = Server::start_with(database, &flags).await;
        let mut pair = Self { primary, replica, server };
        pair.until_the_replica_is_used(tenants).await;
        pair
    }

    /// Asks for new tenants that are then known, until one was loaded from the replica.
    async fn until_the_replica_is_used(&mut self, first: u32) {
        let deadline = Instant::now() + PATIENCE;
        let before = loads(&self.replica).await;
        for tenant in first.. {
            assert!(Instant::now() < deadline, "the replica is never used");
            self.server.check(tenant, "finance").await;
            if loads(&self.replica).await > before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Loads that each of the two is sent when these tenants are asked for.
    async fn loads_of(&mut self, tenants: std::ops::Range<u32>) -> [usize; 2] {
        let before = [loads(&self.primary).await, loads(&self.replica).await];
        for tenant in tenants {
            assert!(self.server.check(tenant, "finance").await.allowed, "tenant {tenant}");
        }
        [loads(&self.primary).await - before[0], loads(&self.replica).await - before[1]]
    }

    /// Commits a change and waits until it is answered, from wherever.
    async fn suspend(&mut self, tenant: u32) {
        self.server.database.set_status(tenant, "suspended").await;
        self.server.until(tenant, "finance", DecisionReason::TenantSuspended).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_has_caught_up_takes_all_loads() {
    let mut pair = Pair::with(20).await;
    assert_eq!(pair.loads_of(0..20).await, [0, 20]);
    assert_eq!(pair.loads_of(0..20).await, [0, 0], "they are held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_changed_is_loaded_from_the_primary_until_the_replica_has_it() {
    let mut pair = Pair::with(20).await;
    assert_eq!(pair.loads_of(0..5).await, [0, 5]);
    pair.replica.pause_replay().await;
    let before = loads(&pair.replica).await;
    for tenant in 0..3 {
        let changed = Instant::now();
        pair.suspend(tenant).await;
        assert!(changed.elapsed() < NOTICED, "at once");
        for _ in 0..20 {
            assert!(!pair.server.check(tenant, "finance").await.allowed, "it does not come back");
        }
    }
    assert_eq!(
        loads(&pair.replica).await,
        before,
        "the replica was not asked for what has changed"
    );
    assert_eq!(pair.loads_of(5..10).await, [0, 5], "but for what has not");
    tokio::time::sleep(NOTICED).await;
    assert_eq!(pair.loads_of(10..12).await, [0, 2], "for as long as that is so");

    pair.replica.resume_replay().await;
    pair.replica.catch_up(&pair.primary).await;
    tokio::time::sleep(NOTICED).await;
    let before = loads(&pair.primary).await;
    // News of every tenant: what is loaded from here on must come from one that holds it.
    pair.server.database.execute("UPDATE tenants SET name = 'Renamed'").await;
    pair.replica.catch_up(&pair.primary).await;
    tokio::time::sleep(NOTICED).await;
    assert_eq!(pair.loads_of(12..20).await, [0, 8]);
    assert_eq!(loads(&pair.primary).await, before, "the primary is left in peace again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_or_hangs_fails_no_check() {
    let mut pair = Pair::with(40).await;
    pair.replica.kill_hard();
    let before = loads(&pair.primary).await;
    for tenant in 0..10 {
        let asked = Instant::now();
        assert!(pair.server.check(tenant, "finance").await.allowed);
        assert!(asked.elapsed() < NOTICED, "{:?}", asked.elapsed());
    }
    assert_eq!(loads(&pair.primary).await - before, 10);
    pair.replica.restart();
    pair.until_the_replica_is_used(1_000).await;

    pair.replica.hang();
    let before = loads(&pair.primary).await;
    for tenant in 10..20 {
        let asked = Instant::now();
        assert!(pair.server.check(tenant, "finance").await.allowed);
        assert!(asked.elapsed() < NOTICED, "{:?}", asked.elapsed());
    }
    assert_eq!(loads(&pair.primary).await - before, 10);
    pair.replica.resume();
    pair.until_the_replica_is_used(2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_is_not_used_as_one() {
    let mut pair = Pair::with(30).await;
    pair.replica.promote().await;
    let name = pair.server.database.name.clone();
    let promoted = Database::on(&pair.replica, name).await;
    // From here on it is a world of its own.
    promoted.execute("UPDATE tenants SET status = 'suspended'").await;
    assert_eq!(pair.loads_of(0..10).await[0], 10, "not even at first");
    tokio::time::sleep(NOTICED).await;
    assert_eq!(pair.loads_of(10..30).await, [20, 0]);
}
