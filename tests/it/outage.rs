//! When the database cannot be asked.

use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{
    Database, Row, Server,
    database::lock_tenants,
    id,
    postgres::{self, Cluster},
    process::{self, Process},
    reason_of,
    server::check_request,
    until_so,
};

fn is_unavailable(status: &Status) {
    assert_eq!(
        (status.code(), reason_of(status).as_str()),
        (Code::Unavailable, "STORE_UNAVAILABLE")
    );
    let retry = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!(!retry.is_zero());
    assert!(
        !status.message().contains("sql") && !status.message().contains("connect"),
        "{}",
        status.message()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_answered_and_what_is_not_is_unavailable_within_two_seconds() {
    let cluster = Cluster::start(&[]);
    let name = cluster.empty_database().await;
    process::migrate(&cluster.url(&name));
    let mut server = Server::start(Database::on(&cluster, name).await).await;
    server.database.mk_subscribed(1, "finance", Row::default()).await;
    assert!(server.check(1, "finance").await.allowed);
    cluster.stop();

    assert!(server.check(1, "finance").await.allowed);
    assert_eq!(
        server.check(1, "hrms").await.plan_slugs,
        ["enterprise"],
        "the catalogue is held too"
    );
    let started = Instant::now();
    is_unavailable(&server.check_request(check_request(2, "finance")).await.unwrap_err());
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    is_unavailable(&server.resolve(&id(2), "", "").await.unwrap_err());
    is_unavailable(&server.resolve("", "nobody.erp.example", "").await.unwrap_err());
    server.advance(300);
    let stale = server.check(1, "finance").await;
    assert!(stale.allowed && stale.freshness.unwrap().stale, "known tenants are not locked out");
    server.advance(3300);
    is_unavailable(&server.check_request(check_request(1, "finance")).await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_without_its_database_and_waits_for_it() {
    let port = postgres::free_port();
    let url = format!("postgres://postgres:s3cret@127.0.0.1:{port}/nowhere");
    let mut server = Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
    server.wait_for("not ready");
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(5)), 0);
    assert!(!server.logged.contains("s3cret"), "{}", server.logged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_database_ended_fail_no_request() {
    let mut server = Server::start(Database::postgres().await).await;
    for number in 0..20 {
        server.database.mk_subscribed(number, "finance", Row::default()).await;
    }
    for number in 0..10 {
        assert!(server.check(number, "finance").await.allowed);
    }
    let end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'entitlementd' AND datname = current_database()";
    server.database.connection.execute_unprepared(end_all).await.unwrap();
    for number in 10..20 {
        assert!(server.check(number, "finance").await.allowed, "tenant {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_full_of_connections_that_the_database_ended_fails_no_request() {
    let database = Database::postgres().await;
    for number in 0..30 {
        database.mk_subscribed(number, "finance", Row::default()).await;
    }
    let mut server = Server::start(database).await;
    let (lock, other) = (lock_tenants(&server.database).await, server.database.again().await);
    let ours = "FROM pg_stat_activity WHERE application_name = 'entitlementd' AND datname = current_database()";
    let busy = format!("SELECT count(*) {ours} AND wait_event_type = 'Lock'");
    let mut asking = Vec::new();
    for number in 0..6 {
        let mut client = server.client.clone();
        asking.push(tokio::spawn(async move {
            client.check_module(check_request(number, "finance")).await
        }));
        // One that comes later would be read together with it.
        until_so("another connection is in use", async || {
            other.one(&busy).await.try_get_by_index::<i64>(0).unwrap() > i64::from(number)
        })
        .await;
    }
    lock.rollback().await.unwrap();
    for one in asking {
        one.await.unwrap().unwrap();
    }
    other.execute(&format!("SELECT pg_terminate_backend(pid) {ours}")).await;
    for number in 20..30 {
        assert!(server.check(number, "finance").await.allowed, "tenant {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_is_named_in_the_log_and_not_to_the_caller() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.execute("UPDATE tenant_subscriptions SET starts_at = 'tomorrow'").await;
    let mut server = Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &database.url]);
    let address = server.address();
    let channel = tonic::transport::Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client =
        entitlementd::proto::v1::entitlement_service_client::EntitlementServiceClient::new(channel);
    let status = client.check_module(check_request(1, "finance")).await.unwrap_err();
    assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Internal, "STORE_UNREADABLE"));
    assert!(!status.message().contains("tomorrow"));
    let line = server.wait_for("cannot be read");
    assert!(line.contains("tenant_subscriptions.starts_at of the row "), "{line}");
}
