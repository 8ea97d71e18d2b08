//! How fresh an answer is: a change that is committed by anyone flips every instance, and none too
//! early.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::{CheckModuleRequest, DecisionReason};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use tonic::Code;

use crate::{
    change_log::revision,
    harness::{Database, Row, Server, id, reason_of, server::check_request},
};

/// Longer than any change takes to travel.
const PATIENCE: Duration = Duration::from_secs(10);

impl Server {
    /// Asks until the answer is this one: news travels by itself.
    pub async fn until(&mut self, tenant: u32, module: &str, wanted: DecisionReason) {
        let started = Instant::now();
        loop {
            let reason = self.check(tenant, module).await.reason();
            if reason == wanted {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "still {reason:?}, not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Asks for an answer that is at least as fresh as what has been committed so far.
    async fn check_what_was_written(&mut self, tenant: u32, module: &str) -> DecisionReason {
        let min_revision = Some(revision(&self.database, tenant).await.cast_unsigned());
        let request = CheckModuleRequest { min_revision, ..check_request(tenant, module) };
        self.check_request(request).await.unwrap().reason()
    }
}

/// The same database, served by several servers.
async fn start_more(first: &Server, count: usize, flags: &[&str]) -> Vec<Server> {
    let mut more = Vec::new();
    for _ in 0..count {
        more.push(Server::start_with(first.database.again().await, flags).await);
    }
    more
}

async fn all_until(servers: &mut [Server], tenant: u32, module: &str, wanted: DecisionReason) {
    for server in servers {
        server.until(tenant, module, wanted).await;
    }
}

async fn every_change_flips_every_instance(flags: &[&str]) {
    use DecisionReason::{
        Enabled, NotSubscribed, SubscriptionSuspended, TenantNotFound, TenantSuspended,
    };
    let first = Server::start_with(Database::postgres().await, flags).await;
    let mut servers = start_more(&first, 2, flags).await;
    let database = first.database.again().await;
    servers.push(first);
    let [one, two] = [1, 2].map(|tenant| database.uuid(&id(tenant)));

    all_until(&mut servers, 1, "finance", TenantNotFound).await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    all_until(&mut servers, 1, "finance", Enabled).await;
    database.execute("UPDATE tenant_subscriptions SET status = 'suspended'").await;
    all_until(&mut servers, 1, "finance", SubscriptionSuspended).await;
    database.execute("UPDATE tenant_subscriptions SET status = 'active'").await;
    all_until(&mut servers, 1, "finance", Enabled).await;

    database.mk_tenant(2, "two", "active").await;
    all_until(&mut servers, 2, "finance", NotSubscribed).await;
    database.execute(&format!("UPDATE tenant_subscriptions SET tenant_id = {two}")).await;
    all_until(&mut servers, 1, "finance", NotSubscribed).await;
    all_until(&mut servers, 2, "finance", Enabled).await;

    database.execute("TRUNCATE tenant_subscriptions").await;
    all_until(&mut servers, 2, "finance", NotSubscribed).await;
    database.execute(&format!("DELETE FROM tenants WHERE id = {one}")).await;
    all_until(&mut servers, 1, "finance", TenantNotFound).await;

    let long = database.connection.begin().await.unwrap();
    long.execute_unprepared("UPDATE tenants SET status = 'suspended'").await.unwrap();
    // Others commit meanwhile, and their transactions have higher numbers.
    database.mk_tenant(3, "three", "active").await;
    all_until(&mut servers, 3, "finance", NotSubscribed).await;
    for server in &mut servers {
        assert_eq!(
            server.check(2, "finance").await.reason(),
            NotSubscribed,
            "nothing is committed yet"
        );
    }
    long.commit().await.unwrap();
    all_until(&mut servers, 2, "finance", TenantSuspended).await;

    let never = database.connection.begin().await.unwrap();
    never.execute_unprepared("UPDATE tenants SET status = 'active'").await.unwrap();
    never.rollback().await.unwrap();
    for server in &mut servers {
        assert_eq!(server.check_what_was_written(2, "finance").await, TenantSuspended);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_hand_flips_three_instances_that_listen() {
    every_change_flips_every_instance(&["--changes", "listen"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_another_writer_kept_from_being_told_is_found_in_the_log() {
    let first = Server::start_with(Database::postgres().await, &["--changes", "listen"]).await;
    let mut servers = start_more(&first, 1, &["--changes", "listen"]).await;
    let database = first.database.again().await;
    servers.push(first);
    for tenant in [1, 2] {
        database.mk_tenant(tenant, &format!("t{tenant}"), "active").await;
        all_until(&mut servers, tenant, "finance", DecisionReason::NotSubscribed).await;
    }
    let telling = database.connection.begin().await.unwrap();
    let almost = "SET CONSTRAINTS ALL IMMEDIATE; UPDATE tenants SET status = 'suspended' WHERE subdomain = 't1'";
    telling.execute_unprepared(almost).await.unwrap();
    database.execute("UPDATE tenants SET status = 'suspended' WHERE subdomain = 't2'").await;
    all_until(&mut servers, 2, "finance", DecisionReason::TenantSuspended).await;
    telling.rollback().await.unwrap();
    for server in &mut servers {
        assert_eq!(server.check(1, "finance").await.reason(), DecisionReason::NotSubscribed);
    }
}

/// The key of the lock that those who tell of changes hold.
const TELLING: i64 = 0x656e_7469_746c_6564 + 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hides_a_change_by_telling_of_it_before_it_is_there() {
    let mut server = Server::start_with(Database::postgres().await, &["--changes", "listen"]).await;
    let database = server.database.again().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    server.until(1, "finance", DecisionReason::Enabled).await;
    let writer = database.connection.begin().await.unwrap();
    writer.execute_unprepared("UPDATE tenants SET status = 'suspended'").await.unwrap();
    let number = "SELECT pg_current_xact_id()::text AS number";
    let number = Statement::from_string(DbBackend::Postgres, number);
    let number: String =
        writer.query_one_raw(number).await.unwrap().unwrap().try_get("", "number").unwrap();
    // Anybody who can log in may do this. It is held until the end of the test.
    let mallory = database.again().await.connection;
    let mallory = mallory.begin().await.unwrap();
    mallory.execute_unprepared(&format!("SELECT pg_advisory_lock({TELLING})")).await.unwrap();
    let notice = format!("NOTIFY entitlement_changes, 'tenant {number} {}'", id(1));
    database.execute(&notice).await;
    server.database.execute("UPDATE modules SET display_order = 1").await;
    writer.commit().await.unwrap();
    server.until(1, "finance", DecisionReason::TenantSuspended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_that_the_log_does_not_bear_out_make_nobody_forget_anything() {
    let flags = ["--changes", "listen", "--metrics-listen", "127.0.0.1:0"];
    let mut server = Server::start_with(Database::postgres().await, &flags).await;
    server.database.mk_subscribed(1, "finance", Row::default()).await;
    server.until(1, "finance", DecisionReason::Enabled).await;
    let flood = "DO $$ BEGIN FOR i IN 1..2000 LOOP
                 PERFORM pg_notify('entitlement_changes', concat((ARRAY['tenants', 'many', 'x', 'tenant'])[1 + i % 4], ' ', i)); COMMIT;
                 END LOOP; END $$";
    server.database.execute(flood).await;
    assert_eq!(server.check(1, "finance").await.reason(), DecisionReason::Enabled);
    // What is true comes through all the same, after them.
    server.database.set_status(1, "suspended").await;
    server.until(1, "finance", DecisionReason::TenantSuspended).await;
    let page = server.metrics().await;
    for name in ["cache_loads_total", "changes_total"] {
        // A handful are true: when the tenant was made, subscribed and suspended. 2 000 are not.
        assert!(page.of(name) < 20.0, "{name}: {}", page.of(name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_hand_flips_three_instances_that_poll() {
    every_change_flips_every_instance(&["--changes", "poll", "--poll-interval", "20ms"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_flips_an_instance_on_sqlite() {
    use DecisionReason::{Enabled, NotSubscribed, TenantNotFound, TenantSuspended};
    let mut server = Server::start_fed(Database::sqlite().await).await;
    server.until(1, "finance", TenantNotFound).await;
    server.database.mk_subscribed(1, "finance", Row::default()).await;
    server.until(1, "finance", Enabled).await;
    server.database.set_status(1, "suspended").await;
    server.until(1, "finance", TenantSuspended).await;
    server.database.set_status(1, "active").await;
    server.until(1, "finance", Enabled).await;
    server.database.execute("DELETE FROM tenant_subscriptions").await;
    server.until(1, "finance", NotSubscribed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_reads_its_own_write_on_every_instance() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        // The feed is far too slow to have any part in it.
        let flags = ["--changes", "poll", "--poll-interval", "1h"];
        let mut server = Server::start_with(database, &flags).await;
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        assert!(server.check(1, "finance").await.allowed);
        for status in ["suspended", "active", "suspended"] {
            server.database.set_status(1, status).await;
            let reason = server.check_what_was_written(1, "finance").await;
            assert_eq!(reason == DecisionReason::Enabled, status == "active", "{status}");
        }
        let tenant = server.database.uuid(&id(1));
        server.database.execute(&format!("DELETE FROM tenants WHERE id = {tenant}")).await;
        assert_eq!(
            server.check_what_was_written(1, "finance").await,
            DecisionReason::TenantNotFound
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_was_never_reached_is_unavailable() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut server = Server::start_fed(database).await;
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        let min_revision = Some(1 + revision(&server.database, 1).await.cast_unsigned());
        let request = CheckModuleRequest { min_revision, ..check_request(1, "finance") };
        let status = server.check_request(request).await.unwrap_err();
        assert_eq!(
            (status.code(), reason_of(&status).as_str()),
            (Code::Unavailable, "NOT_FRESH_ENOUGH")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_time_to_live_callers_are_answered_at_once_while_the_feed_is_live() {
    let database = Database::postgres().await;
    // Before the server starts: news of it may come after an answer that has it already, which is
    // then asked for again.
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut server = Server::start_fed(database).await;
    server.until(1, "finance", DecisionReason::Enabled).await;
    let lock = crate::harness::database::lock_tenants(&server.database).await;
    server.advance(1_000);
    let answer = server.check(1, "finance").await;
    assert!(
        answer.allowed && !answer.freshness.unwrap().stale,
        "no change was announced, so it holds"
    );
    lock.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_or_plan_that_changes_is_seen_without_waiting() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut server = Server::start_fed(database).await;
        server.database.mk_tenant(1, "one", "active").await;
        server.until(1, "finance", DecisionReason::NotSubscribed).await;
        assert_eq!(
            server.check(1, "finance").await.plan_slugs,
            ["growth", "professional", "enterprise"]
        );
        server.database.execute("UPDATE plans SET is_active = false WHERE slug = 'growth'").await;
        let started = Instant::now();
        while server.check(1, "finance").await.plan_slugs != ["professional", "enterprise"] {
            assert!(started.elapsed() < PATIENCE);
        }
        server.database.execute("UPDATE modules SET code = 'money' WHERE code = 'finance'").await;
        server.until(1, "finance", DecisionReason::ModuleNotFound).await;
        server.until(1, "money", DecisionReason::NotSubscribed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_tenant_is_found_by_its_subdomain_at_once() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut server = Server::start_fed(database).await;
        assert!(server.resolve("", "acme.erp.example", "").await.is_err());
        server.database.mk_tenant(1, "acme", "active").await;
        let started = Instant::now();
        while server.resolve("", "acme.erp.example", "").await.is_err() {
            assert!(started.elapsed() < PATIENCE);
        }
        server.database.execute("UPDATE tenants SET subdomain = 'renamed'").await;
        let started = Instant::now();
        while server.resolve("", "renamed.erp.example", "").await.is_err() {
            assert!(started.elapsed() < PATIENCE);
        }
        assert!(server.resolve("", "acme.erp.example", "").await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_only_read_is_enough_to_serve() {
    let database = Database::postgres().await;
    let role = format!("reader_{}", database.name);
    let tables = "tenants, modules, plans, tenant_subscriptions, feature_flags";
    let sql = format!(
        "CREATE ROLE {role} LOGIN; GRANT entitlementd_server TO {role}; GRANT SELECT ON {tables} TO {role}"
    );
    database.execute(&sql).await;
    let url = database.url.replace("postgres@", &format!("{role}@"));
    let mut server =
        Server::start_with(database.by_way_of(url).await, &["--changes", "listen"]).await;
    server.database.mk_subscribed(1, "finance", Row::default()).await;
    server.until(1, "finance", DecisionReason::Enabled).await;
    server.database.set_status(1, "suspended").await;
    server.until(1, "finance", DecisionReason::TenantSuspended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_tenant_keeps_its_revision_in_a_flood_of_unknown_ones() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut server = Server::start_fed(database).await;
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        let tenant = server.database.uuid(&id(1));
        server.database.execute(&format!("DELETE FROM tenants WHERE id = {tenant}")).await;
        let before = revision(&server.database, 1).await.cast_unsigned();
        assert!(before > 1);
        // From some number on, they are not looked up one by one.
        for unknown in 1_000..1_300 {
            server.check(unknown, "finance").await;
        }
        let gone = server.check(1, "finance").await;
        assert_eq!(gone.reason(), DecisionReason::TenantNotFound);
        assert_eq!(gone.freshness.unwrap().revision, before);
        let request =
            CheckModuleRequest { min_revision: Some(before), ..check_request(1, "finance") };
        assert_eq!(
            server.check_request(request).await.unwrap().freshness.unwrap().revision,
            before
        );
    }
}
