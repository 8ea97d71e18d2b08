//! Another server or database: nothing of the one before is served as if it were of this one.

use entitlementd::proto::v1::DecisionReason;
use sea_orm::{ConnectionTrait, TransactionTrait};

use super::{Followed, database_on, serve, until_it_is};
use crate::harness::{
    postgres::Cluster,
    process::{Process, connect},
    server::check_request,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_of_the_one_before_is_marked_until_the_log_of_the_next_was_read() {
    let [before, after] = [Cluster::start(&[]), Cluster::start(&[])];
    let [old, new] = [database_on(&before, 3).await, database_on(&after, 2).await];
    let url = Followed::with(&old.url);
    let flags = ["--listen", "127.0.0.1:0", "--database-url-file", &url.name()];
    let mut server = Process::serve(&flags);
    let mut client = connect(&server.address()).await;
    server.wait_for("listening to changes");
    let mut ask = async |tenant| {
        let answer = client.check_module(check_request(tenant, "finance")).await.unwrap();
        answer.into_inner()
    };
    for tenant in 0..3 {
        let answer = ask(tenant).await;
        assert!(answer.allowed && !answer.freshness.unwrap().stale, "{answer:?}");
    }
    new.set_status(1, "suspended").await;
    // Nobody can read on there; who has not read before reads no row.
    let lock = new.connection.begin().await.unwrap();
    lock.execute_unprepared("LOCK TABLE entitlement_changes, entitlement_folding").await.unwrap();
    url.put(&new.url);
    server.wait_for("--database-url-file has changed, and is in effect from now on");
    for tenant in 0..3 {
        let answer = ask(tenant).await;
        assert!(answer.freshness.unwrap().stale, "{answer:?}");
    }
    lock.rollback().await.unwrap();
    server.wait_for("the database was restarted, promoted or restored, or is another one");
    assert_eq!(ask(1).await.reason(), DecisionReason::TenantSuspended);
    assert_eq!(ask(2).await.reason(), DecisionReason::TenantNotFound);
}

/// Moves to another database, where no log says that it is another.
async fn it_is_read_again(drops_triggers: bool, flags: &[&str]) {
    let [before, after] = [Cluster::start(&[]), Cluster::start(&[])];
    let [old, new] = [database_on(&before, 3).await, database_on(&after, 2).await];
    if drops_triggers {
        for database in [&old, &new] {
            database.execute("ALTER TABLE tenants DISABLE TRIGGER USER").await;
        }
    }
    new.set_status(1, "suspended").await;
    let url = Followed::with(&old.url);
    let flags = [&["--cache-ttl", "1h", "--revalidate-max-rate", "0"], flags].concat();
    let mut server = serve(&old, &url, &flags).await;
    for tenant in 0..3 {
        assert!(server.check(tenant, "finance").await.allowed);
    }
    url.put(&new.url);
    until_it_is(&mut server, 1, DecisionReason::TenantSuspended).await;
    until_it_is(&mut server, 2, DecisionReason::TenantNotFound).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_read_again_where_no_log_is_read() {
    it_is_read_again(false, &["--changes", "off"]).await;
    it_is_read_again(true, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_refused_where_no_log_is_read() {
    let cluster = Cluster::start(&[]);
    let database = database_on(&cluster, 1).await;
    let standby = Cluster::standby_of(&cluster, &[]);
    standby.catch_up(&cluster).await;
    let url = Followed::with(&database.url);
    let name = url.name();
    let flags = ["--listen", "127.0.0.1:0", "--database-url-file", &name, "--changes", "off"];
    let mut server = Process::serve(&flags);
    server.wait_for("\"ready\"");
    url.put(&standby.url(&database.name));
    let line = server.wait_for("leads to a standby");
    assert!(line.contains("the previous contents stay in effect"), "{line}");
}
