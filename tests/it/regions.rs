//! A core that sits on a replica, whose primary is elsewhere.

mod away;
mod cut_off;
mod late;
mod promoted;
mod settings;
mod writes;

use std::time::{Duration, Instant};

use entitlementd::proto::v1::{CheckModuleResponse, DecisionReason};

use crate::{
    admin::Admin,
    harness::{
        Database, Row, Server,
        http::{Metrics, get},
        postgres::Cluster,
        proxy::Proxy,
        server::check_request,
        until_so,
    },
    replicas::{loads, mk_pair},
};

/// How old what is not marked may be: that is relied on for 3.55 s from when the primary was asked, and
/// this machine is busy.
const BOUND: Duration = Duration::from_secs(4);
/// In one region's time: the log is polled, and nothing is read again that would hide a change.
const POLLS: [&str; 6] =
    ["--poll-interval", "100ms", "--revalidate-max-rate", "0", "--metrics-listen", "127.0.0.1:0"];

/// What shows that the log of changes is looked after.
const FOLD: &str = "entitlement_fold_step()";

/// A primary, its replica, and the way from the core to the primary.
struct Region {
    primary: Cluster,
    replica: Cluster,
    way: Proxy,
    /// The primary's, for the test.
    database: Database,
}

impl Region {
    /// With so many tenants that may use finance.
    async fn with(tenants: u32) -> Self {
        let ([primary, replica], database) = mk_pair(tenants).await;
        let way = Proxy::to(primary.port()).await;
        Self { primary, replica, way, database }
    }

    fn primary_url(&self) -> String {
        self.database.url_behind(&self.way)
    }

    /// The database for a core: the connection of the test's own stays with the primary.
    async fn of_core(&self) -> Database {
        self.database.by_way_of(self.replica.url(&self.database.name)).await
    }

    async fn core(&self, flags: &[&str]) -> Server {
        let server = self.unready_core(flags).await;
        server.wait_until_ready().await;
        server
    }

    async fn unready_core(&self, flags: &[&str]) -> Server {
        let primary = self.primary_url();
        let ours = ["--primary-database-url", &primary];
        Server::start_unready(self.of_core().await, &[&ours[..], &POLLS, flags].concat()).await
    }

    /// The same with administrators.
    async fn administered_core(&self) -> Admin {
        let primary = self.primary_url();
        let ours = ["--primary-database-url", &primary, "--changes", "poll"];
        Admin::of(self.of_core().await, &[&ours[..], &POLLS].concat()).await
    }

    /// Nothing was tried at the replica that a standby refuses.
    fn is_only_read(&self) {
        let refused: Vec<String> = self
            .replica
            .log()
            .lines()
            .filter(|line| line.starts_with(&self.database.name) && line.contains("ERROR:"))
            .map(str::to_owned)
            .collect();
        assert!(refused.is_empty(), "{refused:?}");
    }
}

fn is_stale(answer: &CheckModuleResponse) -> bool {
    answer.freshness.unwrap().stale
}

/// What `/readyz` says.
async fn readiness(server: &Server) -> String {
    get(server.running.metrics_address.unwrap(), "/readyz").await.body
}

/// Waits until it says this.
async fn until_it_says(server: &Server, words: &str) {
    until_so(&format!("{words:?} is said"), async || readiness(server).await.contains(words)).await;
}

/// Waits until a tenant is known to be suspended, unmarked, whatever is answered until then.
async fn until_known(server: &mut Server, tenant: u32) {
    let server = tokio::sync::Mutex::new(server);
    until_so("the suspension is known", async || {
        let answer = server.lock().await.check_request(check_request(tenant, "finance")).await;
        answer.is_ok_and(|it| it.reason() == DecisionReason::TenantSuspended && !is_stale(&it))
    })
    .await;
}

/// Waits until answers are not marked.
async fn until_current(server: &mut Server, tenant: u32) {
    let server = tokio::sync::Mutex::new(server);
    until_so("answers are not marked", async || {
        let answer = server.lock().await.check_request(check_request(tenant, "finance")).await;
        answer.is_ok_and(|it| !is_stale(&it))
    })
    .await;
}

/// Grants that are not marked end within the bound of the revocation, and marked answers follow.
async fn until_marked(server: &mut Server, tenant: u32, revoked: Instant) {
    loop {
        let asked = Instant::now();
        let answer = server.check(tenant, "finance").await;
        if is_stale(&answer) {
            return;
        }
        let after = asked.saturating_duration_since(revoked);
        assert!(after < BOUND, "{answer:?} after {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_are_answered_from_the_replica_and_changes_come_with_its_own_log() {
    let region = Region::with(20).await;
    let mut core = region.core(&[]).await;
    let before = [loads(&region.primary).await, loads(&region.replica).await];
    for tenant in 0..20 {
        let answer = core.check(tenant, "finance").await;
        assert!(answer.allowed && !is_stale(&answer), "{answer:?}");
    }
    assert_eq!(core.check(99, "finance").await.reason(), DecisionReason::TenantNotFound);
    let after = [loads(&region.primary).await, loads(&region.replica).await];
    assert_eq!([after[0] - before[0], after[1] - before[1]], [0, 21]);

    region.database.set_status(3, "suspended").await;
    until_known(&mut core, 3).await;
    region.database.mk_subscribed(99, "finance", Row::default()).await;
    core.until(99, "finance", DecisionReason::Enabled).await;
    assert_eq!(loads(&region.primary).await, before[0], "the primary is left in peace");
    until_so("the log is folded at the primary", async || region.primary.log().contains(FOLD))
        .await;
    region.is_only_read();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_last_page_is_empty_makes_nothing_look_old() {
    let region = Region::with(1).await;
    let mut core = region.core(&[]).await;
    // The core writes there for the first time some seconds after its start.
    until_so("the log is folded", async || region.primary.log().contains(FOLD)).await;
    region.primary.execute("CREATE TABLE written ()").await;
    region.primary.execute("SELECT pg_switch_wal()").await;
    let address = core.running.metrics_address.unwrap();
    let switched = Instant::now();
    // What ends on its own in the primary's log comes after some 15 s.
    while switched.elapsed() < BOUND + Duration::from_secs(1) {
        assert!(!is_stale(&core.check(0, "finance").await));
        assert!(Metrics::read(address).await.of("feed_lag_seconds") <= BOUND.as_secs_f64());
    }
}
