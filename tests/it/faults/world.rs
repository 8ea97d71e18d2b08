//! Two servers of one database, one that listens and one that polls, and tenants that both of them
//! know.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use entitlementd::proto::v1::DecisionReason;

use super::load::{Fault, Load, RECOVERED, Truth};
use crate::harness::{
    Database, Row, Server, history::History, postgres::Cluster, process, server::check_request,
};

/// Longer than any change takes to travel.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tenants that both servers know: half of them may use finance.
pub const KNOWN: [u32; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/// Audits would read tenants again, and hide a change that went unheard.
pub const LISTENS: &[&str] = &["--changes", "listen", "--revalidate-max-rate", "0"];
pub const POLLS: &[&str] =
    &["--changes", "poll", "--poll-interval", "200ms", "--revalidate-max-rate", "0"];

/// Servers, and what they should say.
pub struct World {
    pub servers: Vec<Server>,
    pub database: Database,
    pub truth: Truth,
}

/// A migrated database of a cluster that the test has to itself.
pub async fn new_database(cluster: &Cluster) -> Database {
    let name = cluster.empty_database().await;
    process::migrate(&cluster.url(&name));
    Database::on(cluster, name).await
}

impl World {
    /// One server that listens and one that polls.
    pub async fn on(cluster: &Cluster) -> Self {
        Self::through(cluster, cluster.port()).await
    }

    /// The same through a port that leads to the cluster.
    pub async fn through(cluster: &Cluster, port: u16) -> Self {
        let database = new_database(cluster).await;
        let url = format!("postgres://postgres@127.0.0.1:{port}/{}", database.name);
        let mut servers = Vec::new();
        for flags in [LISTENS, POLLS] {
            servers.push(Server::start_with(database.by_way_of(url.clone()).await, flags).await);
        }
        Self::of(database, servers).await
    }

    /// Makes the tenants, and asks each server for them.
    pub async fn of(database: Database, servers: Vec<Server>) -> Self {
        let mut truth = HashMap::new();
        for tenant in KNOWN {
            let (status, subscribed, reason) = match tenant % 4 {
                0 | 1 => ("active", true, DecisionReason::Enabled),
                2 => ("suspended", true, DecisionReason::TenantSuspended),
                _ => ("active", false, DecisionReason::NotSubscribed),
            };
            database.mk_tenant(tenant, &format!("tenant-{tenant}"), status).await;
            if subscribed {
                database.mk_subscription(tenant, "finance", Row::default()).await;
            }
            truth.insert(tenant, History::of(reason));
        }
        let mut world = Self { servers, database, truth: Arc::new(Mutex::new(truth)) };
        // What was loaded while news of it came was not kept: once all news has come, everything is
        // read again.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for tenant in KNOWN {
            world.until_all_know(tenant, Instant::now() + PATIENCE).await;
        }
        world
    }

    pub fn load(&self) -> Load {
        Load::start(&self.servers, &KNOWN)
    }

    /// Commits a change: from here on this tenant may use finance, or is suspended.
    pub async fn set(&self, tenant: u32, reason: DecisionReason) {
        let status = if reason == DecisionReason::Enabled { "active" } else { "suspended" };
        self.begin(tenant, reason);
        self.database.set_status(tenant, status).await;
        self.truth.lock().unwrap().get_mut(&tenant).unwrap().end();
    }

    /// From here on this may be the truth. It is ended with [`Self::end`].
    pub fn begin(&self, tenant: u32, reason: DecisionReason) {
        self.truth.lock().unwrap().get_mut(&tenant).unwrap().begin(reason);
    }

    pub fn end(&self, tenant: u32) {
        self.truth.lock().unwrap().get_mut(&tenant).unwrap().end();
    }

    /// Waits until every server gives the right answer, and stands by it.
    pub async fn until_all_know(&mut self, tenant: u32, deadline: Instant) {
        let wanted = *self.truth.lock().unwrap()[&tenant].last();
        for (number, server) in self.servers.iter_mut().enumerate() {
            loop {
                let answer = server.check_request(check_request(tenant, "finance")).await;
                if let Ok(answer) = &answer
                    && answer.reason() == wanted
                    && !answer.freshness.unwrap().stale
                {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "server {number}, tenant {tenant}: {answer:?}, not {wanted:?}"
                );
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// The database is back: in time, what was changed meanwhile and what is changed now is known,
    /// and nothing is stale.
    pub async fn recovers(&mut self, ended: Instant) {
        for (tenant, reason) in [(0, DecisionReason::TenantSuspended), (2, DecisionReason::Enabled)]
        {
            self.set(tenant, reason).await;
            self.until_all_know(tenant, ended + RECOVERED).await;
        }
        for tenant in KNOWN {
            self.until_all_know(tenant, ended + RECOVERED).await;
        }
        // Long enough for what would come back late.
        tokio::time::sleep(
            (ended + RECOVERED).saturating_duration_since(Instant::now()) + RECOVERED / 2,
        )
        .await;
    }

    /// The same, and every answer of the load was as it had to be.
    pub async fn recovers_under(mut self, load: Load, fault: Fault) {
        self.recovers(fault.ended).await;
        load.end(&self.truth, fault).await;
    }
}
