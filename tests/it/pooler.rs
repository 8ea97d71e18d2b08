//! Through a PgBouncer everything works that works without one.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::{CheckModuleRequest, DecisionReason};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use tokio::task::JoinSet;

use crate::{
    change_log::revision,
    harness::{Database, Row, Server, pooler::Pooler, postgres, process, server::check_request},
};

/// Fewer connections than there are servers, so that they get each other's.
const FEW: &str = "default_pool_size = 2";

/// An empty database, and a PgBouncer before it. The connection goes past it.
async fn empty(settings: &[&str]) -> (Pooler, Database) {
    let database = Database::empty_postgres().await;
    (Pooler::to(postgres::shared().port(), settings), database)
}

/// Migrates through a PgBouncer, and starts servers that go through it.
async fn serve(pooler: &Pooler, database: &Database, count: usize, flags: &[&str]) -> Vec<Server> {
    let url = pooler.url(&database.name);
    let kind = flags.iter().find(|flag| ["transaction", "session"].contains(flag)).unwrap();
    for _ in 0..2 {
        let migrated =
            process::run(&["migrate", "--database-pooler", kind, "--database-url", &url]);
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    }
    let mut servers = Vec::new();
    for _ in 0..count {
        let database = database.by_way_of(url.clone()).await;
        servers.push(Server::start_with(database, flags).await);
    }
    servers
}

/// Servers that listen to this database.
async fn listeners(database: &Database) -> usize {
    let listening = "SELECT pid FROM pg_stat_activity
                     WHERE datname = current_database() AND query LIKE 'SELECT state.history%'
                     AND application_name = 'entitlementd feed'";
    let listening = Statement::from_string(DbBackend::Postgres, listening);
    database.connection.query_all_raw(listening).await.unwrap().len()
}

/// Changes are seen by every server, and read back from any of them.
async fn everything_works(servers: &mut [Server], database: &Database) {
    use DecisionReason::{Enabled, TenantNotFound, TenantSuspended};
    for tenant in 0..10 {
        for server in &mut *servers {
            assert_eq!(server.check(tenant, "finance").await.reason(), TenantNotFound);
        }
        database.mk_subscribed(tenant, "finance", Row::default()).await;
        for server in &mut *servers {
            server.until(tenant, "finance", Enabled).await;
        }
        database.set_status(tenant, "suspended").await;
        let min_revision = Some(revision(database, tenant).await.cast_unsigned());
        for server in &mut *servers {
            let request = CheckModuleRequest { min_revision, ..check_request(tenant, "finance") };
            assert_eq!(server.check_request(request).await.unwrap().reason(), TenantSuspended);
            assert!(
                server.resolve("", &format!("tenant-{tenant}.erp.example"), "").await.is_err(),
                "it is suspended"
            );
            server.until(tenant, "finance", TenantSuspended).await;
        }
    }
    database.execute("UPDATE plans SET is_active = false").await;
    database.mk_tenant(10, "ten", "active").await;
    for server in servers {
        server.until(10, "finance", DecisionReason::NotSubscribed).await;
        let started = Instant::now();
        while !server.check(10, "finance").await.plan_slugs.is_empty() {
            assert!(started.elapsed() < Duration::from_secs(5), "the catalogue was read again");
        }
        assert!(server.resolve("", "ten.erp.example", "").await.is_ok());
    }
}

/// Reads past the cache, from all servers at the same time, and each one its own tenant.
async fn nobody_gets_anothers_answer(servers: &[Server], database: &Database) {
    for tenant in 100..120 {
        let status = if tenant % 2 == 0 { "active" } else { "cancelled" };
        database.mk_tenant(tenant, &format!("tenant-{tenant}"), status).await;
        database.mk_subscription(tenant, "hrms", Row::default()).await;
    }
    let mut callers = JoinSet::new();
    for server in servers {
        for tenant in 100..120 {
            let mut client = server.client.clone();
            callers.spawn(async move {
                for _ in 0..10 {
                    let request = CheckModuleRequest {
                        min_revision: Some(1),
                        ..check_request(tenant, "hrms")
                    };
                    let past = client
                        .check_module(check_request(tenant, "hrms"))
                        .await
                        .unwrap()
                        .into_inner();
                    let fresh = client.check_module(request).await.unwrap().into_inner();
                    assert_eq!(
                        [past.allowed, fresh.allowed],
                        [tenant % 2 == 0; 2],
                        "tenant {tenant}"
                    );
                }
            });
        }
    }
    callers.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_transaction_mode_it_listens_past_the_pooler() {
    let (pooler, database) = empty(&[FEW]).await;
    let direct = database.url.clone();
    // A poll would come far too late.
    let flags = [
        "--database-pooler",
        "transaction",
        "--listen-database-url",
        &direct,
        "--poll-interval",
        "1h",
    ];
    let mut servers = serve(&pooler, &database, 3, &flags).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while listeners(&database).await < 3 {
        assert!(Instant::now() < deadline, "all of them listen");
    }
    everything_works(&mut servers, &database).await;
    nobody_gets_anothers_answer(&servers, &database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_transaction_mode_without_a_way_past_the_pooler_it_polls() {
    let (pooler, database) = empty(&[FEW]).await;
    let flags = ["--database-pooler", "transaction", "--poll-interval", "50ms"];
    let mut servers = serve(&pooler, &database, 4, &flags).await;
    everything_works(&mut servers, &database).await;
    nobody_gets_anothers_answer(&servers, &database).await;
    assert_eq!(listeners(&database).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_session_mode_it_listens_through_the_pooler() {
    let (pooler, database) = empty(&["pool_mode = session", "default_pool_size = 60"]).await;
    let flags = ["--database-pooler", "session", "--poll-interval", "1h"];
    let mut servers = serve(&pooler, &database, 3, &flags).await;
    everything_works(&mut servers, &database).await;
    nobody_gets_anothers_answer(&servers, &database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_changed_through_it() {
    for (kind, settings) in [("transaction", FEW), ("session", "pool_mode = session")] {
        let (pooler, database) = empty(&[settings]).await;
        let url = pooler.url(&database.name);
        let through = |arguments: &[&str]| {
            let output = process::run(
                &[arguments, &["--database-pooler", kind, "--database-url", &url]].concat(),
            );
            assert!(
                output.status.success(),
                "{arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        };
        through(&["migrate"]);
        database.mk_tenant(1, "tenant-1", "active").await;
        for _ in 0..3 {
            through(&["tenant", "enable", "tenant-1", "finance"]);
            through(&["tenant", "disable", "tenant-1", "finance", "--preview"]);
            through(&["tenant", "disable", "tenant-1", "finance"]);
        }
        assert_eq!(through(&["tenant", "history", "tenant-1"]).matches("EnableModules").count(), 3);
    }
}

/// What servers' transactions have locked so that serializable ones of others may fail.
async fn predicate_locks(database: &Database) -> i64 {
    let locks = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                 WHERE mode = 'SIReadLock' AND application_name LIKE 'entitlementd%' AND datname = current_database()";
    database.one(locks).await.try_get_by_index(0).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_transactions_are_serializable_servers_make_none_of_others_fail() {
    for (kind, mode) in
        [("none", &[][..]), ("session", &["pool_mode = session"]), ("transaction", &[])]
    {
        let (pooler, database) = empty(mode).await;
        let serializable = "SET default_transaction_isolation = serializable";
        database.execute(&format!("ALTER DATABASE {} {serializable}", database.name)).await;
        let url = if kind == "none" { database.url.clone() } else { pooler.url(&database.name) };
        let flags = ["--database-pooler", kind, "--database-url", &url];
        let migrated = process::run(&[&["migrate"], &flags[..]].concat());
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        database.mk_subscribed(1, "finance", Row::default()).await;
        // While it lasts, locks of others that have ended are kept.
        let witness = database.connection.begin().await.unwrap();
        let begins = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM modules";
        witness.execute_unprepared(begins).await.unwrap();
        let by_way = database.by_way_of(url.clone()).await;
        let polls = ["--changes", "poll", "--poll-interval", "20ms"];
        let mut server = Server::start_with(by_way, &[&flags[..2], &polls].concat()).await;
        server.until(1, "finance", DecisionReason::Enabled).await;
        let others = database.again().await;
        others.execute("UPDATE tenants SET status = 'suspended'").await;
        server.until(1, "finance", DecisionReason::TenantSuspended).await;
        assert_eq!(predicate_locks(&others).await, 0, "{kind}");
        witness.rollback().await.unwrap();
    }
}
