//! A database that gives fewer connections than are wanted, and a server that may take only a few.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use entitlementd::{
    domain::Role,
    proto::v1::{
        DecisionReason, SetTenantStatusRequest, TenantStatus,
        entitlement_service_client::EntitlementServiceClient,
    },
};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    admin::Admin,
    harness::{
        Database, Row, Server,
        database::lock_tenants,
        id,
        process::Process,
        server::{check_request, connect},
    },
};

const TENANTS: u32 = 64;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A database with so many tenants that may use finance, and its role that serves, which is given so
/// many connections. The test's own connection is another role's.
pub async fn limited_to(connections: u32) -> (Database, String) {
    let database = Database::postgres().await;
    for tenant in 0..TENANTS {
        database.mk_subscribed(tenant, "finance", Row::default()).await;
    }
    let role = format!("few_{}", database.name);
    database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN CONNECTION LIMIT {connections}; GRANT entitlementd_admin TO {role};
             GRANT entitlementd_server TO {role};
             GRANT ALL ON tenants, modules, plans, tenant_subscriptions, feature_flags, billing_history, usage_metrics
             TO {role}"
        ))
        .await;
    let url = database.url.replace("postgres@", &format!("{role}@"));
    let limited = database.by_way_of(url).await;
    (limited, role)
}

/// Asks for all tenants at once, over one connection of the client's.
async fn ask_for_all(channel: Channel) {
    let mut asking = JoinSet::new();
    for tenant in 0..TENANTS {
        let mut client = EntitlementServiceClient::new(channel.clone());
        asking.spawn(async move {
            let answer = client.check_module(check_request(tenant, "finance")).await;
            (tenant, answer)
        });
    }
    for (tenant, answer) in asking.join_all().await {
        let answer = answer.unwrap_or_else(|status| panic!("tenant {tenant}: {status:?}"));
        let answer = answer.into_inner();
        assert!(answer.allowed && !answer.freshness.unwrap().stale, "tenant {tenant}");
    }
}

/// Counts a role's connections as fast as it goes, until it is dropped or asked for the most.
struct Watch {
    ends: Arc<AtomicBool>,
    counting: tokio::task::JoinHandle<i64>,
}

impl Watch {
    async fn over(database: &Database, role: &str) -> Self {
        let url = database.url.replace(&format!("{role}@"), "postgres@");
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let (role, ends) = (role.to_owned(), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&ends);
        let counting = tokio::spawn(async move {
            let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1";
            let mut most = 0;
            while !end.load(Ordering::Relaxed) {
                let now = sqlx::query_scalar(count).bind(&role).fetch_one(&mut connection);
                most = most.max(now.await.unwrap());
            }
            most
        });
        Self { ends, counting }
    }

    async fn most(self) -> i64 {
        self.ends.store(true, Ordering::Relaxed);
        self.counting.await.unwrap()
    }
}

/// Whatever is granted, everybody is answered, and changes are heard of.
async fn serves_with(connections: u32) {
    let (database, role) = limited_to(connections).await;
    let mut server = Server::start_fed(database).await;
    ask_for_all(connect(&server.running.address).await).await;
    server.database.set_status(3, "suspended").await;
    until_it_is(&mut server, 3, DecisionReason::TenantSuspended).await;
    server.database.set_status(3, "active").await;
    until_it_is(&mut server, 3, DecisionReason::Enabled).await;
    let count = format!("SELECT count(*) AS count FROM pg_stat_activity WHERE usename = '{role}'");
    let held: i64 = server.database.one(&count).await.try_get("", "count").unwrap();
    assert!((1..=i64::from(connections)).contains(&held), "{held} of {connections}");
}

async fn until_it_is(server: &mut Server, tenant: u32, wanted: DecisionReason) {
    let started = Instant::now();
    while server.check(tenant, "finance").await.reason() != wanted {
        assert!(started.elapsed() < PATIENCE, "{wanted:?} was never heard of");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_five_connections_64_tenants_that_are_asked_for_at_once_are_answered() {
    serves_with(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_four_connections_64_tenants_that_are_asked_for_at_once_are_answered() {
    serves_with(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_connections_64_tenants_that_are_asked_for_at_once_are_answered() {
    serves_with(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_connection_64_tenants_that_are_asked_for_at_once_are_answered() {
    serves_with(1).await;
}

/// Takes no more than it may, and does everything with those.
async fn takes_at_most(connections: u32) {
    let (database, role) = limited_to(100).await;
    let watch = Watch::over(&database, &role).await;
    let most = connections.to_string();
    let flags =
        ["--database-max-connections", &most, "--changes", "auto", "--poll-interval", "20ms"];
    let mut admin = Admin::of(database, &flags).await;
    for _ in 0..3 {
        ask_for_all(connect(&admin.server.running.address).await).await;
        for (status, reason) in [
            (TenantStatus::Suspended, DecisionReason::TenantSuspended),
            (TenantStatus::Active, DecisionReason::Enabled),
        ] {
            let change = SetTenantStatusRequest {
                tenant: id(5),
                status: status.into(),
                reason: "a test".to_owned(),
                ..Default::default()
            };
            let change = admin.by(Role::Operator, change);
            admin.client.set_tenant_status(change).await.unwrap();
            until_it_is(&mut admin.server, 5, reason).await;
        }
        // Everything is read again.
        admin.server.database.execute("UPDATE tenants SET name = name || '!'").await;
    }
    let seen = watch.most().await;
    assert!((1..=i64::from(connections)).contains(&seen), "{seen} of {connections}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_connections_at_most_are_three_in_all() {
    takes_at_most(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_at_most_is_one_in_all() {
    takes_at_most(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_is_answered_by_the_connections_that_exist_while_others_are_refused() {
    let (database, role) = limited_to(100).await;
    let server = Server::start_fed(database).await;
    server.database.execute(&format!("ALTER ROLE {role} CONNECTION LIMIT 0")).await;
    ask_for_all(connect(&server.running.address).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_the_words_of_the_database_that_refuses_a_connection() {
    let (database, role) = limited_to(4).await;
    let mut server = Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &database.url]);
    let started: serde_json::Value =
        serde_json::from_str(&server.wait_for("listening on")).unwrap();
    assert_eq!(started["database_connections"], 16, "{started}");
    let address = started["address"].as_str().unwrap();
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    server.wait_for("\"ready\"");

    // Loads that hang need more and more connections.
    let lock = lock_tenants(&database).await;
    let mut asking = JoinSet::new();
    for caller in 0..TENANTS {
        asking.spawn(keep_asking(channel.clone(), 1_000_000 * caller));
    }
    let line = server.wait_for("too many connections for role");
    assert!(line.contains("gives this server 4 of 16 connections"), "{line}");
    assert!(line.contains(&role) && !server.logged.contains("timed out"), "{}", server.logged);
    database.execute(&format!("ALTER ROLE {role} CONNECTION LIMIT 100")).await;
    lock.rollback().await.unwrap();
    server.wait_for("the database gives this server more connections: ");
    asking.shutdown().await;
    ask_for_all(channel).await;
}

/// Asks for one tenant after the other that nobody has asked for, whatever comes of it.
async fn keep_asking(channel: Channel, from: u32) {
    let mut client = EntitlementServiceClient::new(channel);
    for tenant in from.. {
        _ = client.check_module(check_request(tenant, "finance")).await;
    }
}
