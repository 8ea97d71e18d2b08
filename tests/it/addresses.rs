//! Passwords and addresses that change while a server runs.

mod another;
mod listening;
mod passwords;
mod replicas;
mod unreadable;
mod unusable;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use entitlementd::proto::v1::{
    CheckModuleRequest, DecisionReason, entitlement_service_client::EntitlementServiceClient,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::harness::{
    Database, Row, Server, postgres::Cluster, process, server::check_request, until_so,
};

/// A file that a server reads again.
struct Followed {
    folder: tempfile::TempDir,
}

impl Followed {
    fn with(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        file.put(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    fn name(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// Replaces it at once, as a careful writer does.
    fn put(&self, text: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, format!("{text}\n")).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    /// Writes it in place, as a careless one does: it is empty first.
    fn write_in_place(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }
}

/// A role that serves a database, and its password.
struct Role<'a> {
    cluster: &'a Cluster,
    database: &'a Database,
    name: String,
}

impl<'a> Role<'a> {
    async fn new(cluster: &'a Cluster, database: &'a Database, name: &str, password: &str) -> Self {
        database
            .execute(&format!(
                "CREATE ROLE {name} LOGIN PASSWORD '{password}';
                 GRANT entitlementd_admin, entitlementd_server TO {name};
                 GRANT ALL ON tenants, modules, plans, tenant_subscriptions, feature_flags, billing_history,
                 usage_metrics TO {name}"
            ))
            .await;
        cluster.require_password(name).await;
        Self { cluster, database, name: name.to_owned() }
    }

    async fn set_password(&self, password: &str) {
        let sql = format!("ALTER ROLE {} PASSWORD '{password}'", self.name);
        self.database.execute(&sql).await;
    }

    fn url(&self, password: &str) -> String {
        let url = self.cluster.url(&self.database.name);
        url.replace("postgres@", &format!("{}:{password}@", self.name))
    }

    async fn count(&self, condition: &str) -> i64 {
        let name = &self.name;
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{name}' AND {condition}"
        );
        self.cluster.ask(&sql).await
    }

    /// The connections that there are now.
    async fn connections(&self) -> String {
        let sql = format!(
            "SELECT COALESCE(string_agg(pid::text, ', '), '0') FROM pg_stat_activity WHERE usename = '{}'",
            self.name
        );
        self.cluster.ask(&sql).await
    }

    /// Waits until all of these are closed.
    async fn until_gone(&self, connections: &str) {
        let gone = format!("pid IN ({connections})");
        until_so("old connections are closed", async || self.count(&gone).await == 0).await;
    }
}

/// A cluster of the test's own, and a database with so many tenants that may use finance.
async fn database_on(cluster: &Cluster, tenants: u32) -> Database {
    let name = cluster.empty_database().await;
    process::migrate(&cluster.url(&name));
    let database = Database::on(cluster, name).await;
    for tenant in 0..tenants {
        database.mk_subscribed(tenant, "finance", Row::default()).await;
    }
    database
}

/// A server whose URL is in a file.
async fn serve(database: &Database, url: &Followed, flags: &[&str]) -> Server {
    let name = url.name();
    let flags = [&["--database-url-file", &name], flags].concat();
    Server::start_with(database.again().await, &flags).await
}

async fn until_it_is(server: &mut Server, tenant: u32, wanted: DecisionReason) {
    let server = tokio::sync::Mutex::new(server);
    until_so(&format!("the tenant {tenant} is {wanted:?}"), async || {
        server.lock().await.check(tenant, "finance").await.reason() == wanted
    })
    .await;
}

/// Callers who ask without a pause, in part past the cache.
struct Load {
    ends: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    callers: JoinSet<()>,
}

impl Load {
    /// Of tenants that may use finance throughout.
    fn on(client: &EntitlementServiceClient<Channel>, tenants: u32) -> Self {
        let (ends, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let (mut client, ends, asked) = (client.clone(), Arc::clone(&ends), Arc::clone(&asked));
            callers.spawn(async move {
                for round in caller.. {
                    if ends.load(Ordering::Relaxed) {
                        return;
                    }
                    let request = CheckModuleRequest {
                        min_revision: (round % 2 == 0).then_some(1),
                        ..check_request(round % tenants, "finance")
                    };
                    let answer = client.check_module(request).await.unwrap().into_inner();
                    assert!(answer.allowed, "{answer:?}");
                    assert!(!answer.freshness.unwrap().stale, "{answer:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { ends, asked, callers }
    }

    /// Waits until some more were answered.
    async fn goes_on(&self) {
        let before = self.asked.load(Ordering::Relaxed);
        until_so("more is asked", async || self.asked.load(Ordering::Relaxed) > before + 200).await;
    }

    /// Ends it. Fails if anything did.
    async fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        self.callers.join_all().await;
    }
}
