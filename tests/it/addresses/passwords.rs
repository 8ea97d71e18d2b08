//! Passwords that are changed, and databases that move.

use std::time::{Duration, Instant};

use entitlementd::{
    domain,
    proto::v1::{DecisionReason, SetTenantStatusRequest, TenantStatus},
};

use tokio::sync::Mutex;

use super::{Followed, Load, Role, database_on, listening::LISTENS, serve, until_it_is};
use crate::{
    admin::Admin,
    harness::{
        Row,
        database::{lock_tenants, wait_until_blocked},
        id,
        postgres::Cluster,
        process::{Process, connect},
        until_so,
    },
};

/// By then a file that has changed was read, and what is in it is used.
const SOON: Duration = Duration::from_secs(4);

/// Changes the password in the file and in the database, in this order or the other.
async fn a_password_is_changed(file_first: bool, flags: &[&str]) {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 40).await;
    let role = Role::new(&cluster, &database, "serving", "s3cret-1").await;
    let url = Followed::with(&role.url("s3cret-1"));
    let mut server = serve(&database, &url, flags).await;
    let load = Load::on(&server.client, 30);
    load.goes_on().await;
    let old = role.connections().await;
    if file_first {
        url.put(&role.url("s3cret-2"));
        load.goes_on().await;
        role.set_password("s3cret-2").await;
    } else {
        role.set_password("s3cret-2").await;
        load.goes_on().await;
        url.put(&role.url("s3cret-2"));
    }
    role.until_gone(&old).await;
    load.goes_on().await;
    load.end().await;

    server.database.set_status(35, "suspended").await;
    until_it_is(&mut server, 35, DecisionReason::TenantSuspended).await;
    server.database.set_status(35, "active").await;
    until_it_is(&mut server, 35, DecisionReason::Enabled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_changed_in_the_database_first_fails_no_check() {
    a_password_is_changed(false, &["--changes", "listen"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_changed_in_the_file_first_fails_no_check() {
    a_password_is_changed(true, &["--changes", "listen"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_followed_where_all_connections_are_in_use() {
    a_password_is_changed(false, &["--database-max-connections", "2"]).await;
    a_password_is_changed(true, &["--database-max-connections", "1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_followed_where_the_database_gives_no_connection_more() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 10).await;
    let role = Role::new(&cluster, &database, "serving", "s3cret-1").await;
    database.execute("ALTER ROLE serving CONNECTION LIMIT 3").await;
    let url = Followed::with(&role.url("s3cret-1"));
    let server = serve(&database, &url, &[]).await;
    let load = Load::on(&server.client, 10);
    until_so("there are no more", async || role.count("true").await == 3).await;
    let old = role.connections().await;
    role.set_password("s3cret-2").await;
    url.put(&role.url("s3cret-2"));
    role.until_gone(&old).await;
    load.goes_on().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_the_file_has_the_password_nobody_waits_for_the_next_attempt() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 2).await;
    let role = Role::new(&cluster, &database, "serving", "s3cret-1").await;
    let url = Followed::with(&role.url("s3cret-1"));
    let mut server = serve(&database, &url, &["--changes", "listen"]).await;
    assert!(server.check(1, "finance").await.allowed);
    role.set_password("s3cret-2").await;
    let all = role.connections().await;
    cluster
        .execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN ({all})"
        ))
        .await;
    let server = Mutex::new(&mut server);
    let is_stale = async || {
        let mut server = server.lock().await;
        let answer = server.check(1, "finance").await;
        assert!(answer.allowed);
        answer.freshness.unwrap().stale
    };
    until_so("it is stale", &is_stale).await;
    // By now it tries to listen less and less often.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(is_stale().await);
    url.put(&role.url("s3cret-2"));
    let put = Instant::now();
    until_so("it is as good as ever", async || !is_stale().await && role.count(LISTENS).await == 1)
        .await;
    assert!(put.elapsed() < SOON, "{:?}", put.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_with_a_wrong_password_is_ready_once_the_file_has_the_right_one() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 1).await;
    let role = Role::new(&cluster, &database, "serving", "s3cret-1").await;
    let url = Followed::with(&role.url("s3cret-0"));
    let mut server =
        Process::serve(&["--listen", "127.0.0.1:0", "--database-url-file", &url.name()]);
    server.wait_for("password authentication failed for user");
    url.put(&role.url("s3cret-1"));
    server.wait_for("listening to changes");
    assert!(!server.logged.contains("s3cret"), "{}", server.logged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reads_the_address_at_once_and_drops_nobody() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 10).await;
    let role = Role::new(&cluster, &database, "serving", "s3cret-1").await;
    let url = Followed::with(&role.url("s3cret-1"));
    let mut server =
        Process::serve(&["--listen", "127.0.0.1:0", "--database-url-file", &url.name()]);
    let address = server.address();
    server.wait_for("\"ready\"");
    let load = Load::on(&connect(&address).await, 10);
    for password in ["s3cret-2", "s3cret-3"] {
        load.goes_on().await;
        let old = role.connections().await;
        role.set_password(password).await;
        url.put(&role.url(password));
        server.signal("HUP");
        server.wait_for("--database-url-file has changed, and is in effect from now on");
        role.until_gone(&old).await;
    }
    server.signal("HUP");
    load.goes_on().await;
    load.end().await;
    assert!(!server.logged.contains("s3cret-2"), "{}", server.logged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_moves_to_another_server_is_read_again() {
    let [before, after] = [Cluster::start(&[]), Cluster::start(&[])];
    let [old, new] = [database_on(&before, 4).await, database_on(&after, 3).await];
    new.set_status(1, "suspended").await;
    let url = Followed::with(&old.url);
    let mut server = serve(&old, &url, &["--changes", "listen"]).await;
    for tenant in 0..4 {
        assert!(server.check(tenant, "finance").await.allowed);
    }
    url.put(&new.url);
    // What is held is of the old one, whose revisions are others.
    until_it_is(&mut server, 1, DecisionReason::TenantSuspended).await;
    until_it_is(&mut server, 3, DecisionReason::TenantNotFound).await;
    until_it_is(&mut server, 2, DecisionReason::Enabled).await;
    new.set_status(2, "suspended").await;
    until_it_is(&mut server, 2, DecisionReason::TenantSuspended).await;
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'entitlementd%'";
    until_so("nobody is left at the old one", async || before.ask::<i64>(count).await == 0).await;
    before.stop();
    new.mk_subscribed(9, "finance", Row::default()).await;
    until_it_is(&mut server, 9, DecisionReason::Enabled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_an_administrator_that_is_under_way_is_committed_where_it_began() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 2).await;
    let before = Role::new(&cluster, &database, "before", "secret").await;
    let after = Role::new(&cluster, &database, "after", "secret").await;
    let url = Followed::with(&before.url("secret"));
    let flags = ["--database-url-file", &url.name(), "--changes", "listen"];
    let mut admin = Admin::of(database.again().await, &flags).await;
    let lock = lock_tenants(&database).await;
    let change = SetTenantStatusRequest {
        tenant: id(1),
        status: TenantStatus::Suspended.into(),
        reason: "a test".to_owned(),
        ..Default::default()
    };
    let change = admin.by(domain::Role::Operator, change);
    let mut client = admin.client.clone();
    let changing = tokio::spawn(async move { client.set_tenant_status(change).await });
    wait_until_blocked(&lock).await;
    url.put(&after.url("secret"));
    until_so("only the change is left there", async || before.count("true").await == 1).await;
    assert!(after.count("true").await > 0);
    lock.commit().await.unwrap();
    changing.await.unwrap().unwrap();
    until_it_is(&mut admin.server, 1, DecisionReason::TenantSuspended).await;
    until_so("that one is closed too", async || before.count("true").await == 0).await;
}
