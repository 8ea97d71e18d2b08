//! How long loads take, and what becomes of them.

use super::SHOWN;
use crate::harness::{
    Database, Row, Server,
    database::{lock_tenants, wait_until_blocked},
    server::check_request,
};

fn series(outcome: &str) -> String {
    format!("load_duration_seconds_count{{outcome=\"{outcome}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_is_answered_is_timed_and_what_is_held_is_not() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let flags = [&SHOWN[..], &["--changes", "off"]].concat();
        let mut server = Server::start_with(database, &flags).await;
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        for outcome in ["ok", "failed", "timed_out", "no_connection"] {
            assert_eq!(server.metrics().await.of(&series(outcome)), 0.0, "there before the first");
        }
        server.check(1, "finance").await;
        server.check(1, "finance").await;
        server.check_past_the_cache(1, "finance").await;
        let metrics = server.metrics().await;
        assert_eq!(metrics.of(&series("ok")), 2.0);
        assert_eq!(metrics.of(&series("ok")), metrics.of("cache_load_statements_total"));
        let seconds = metrics.of("load_duration_seconds_sum{outcome=\"ok\"}");
        assert!(seconds > 0.0 && seconds < 3.0, "{seconds}");
        let all = "load_duration_seconds_bucket{le=\"+Inf\",outcome=\"ok\"}";
        assert_eq!(metrics.of(all), 2.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_the_database_does_not_answer_in_time_has_timed_out() {
    let flags = [&SHOWN[..], &["--changes", "off"]].concat();
    let server = Server::start_with(Database::postgres().await, &flags).await;
    let lock = lock_tenants(&server.database).await;
    let mut client = server.client.clone();
    let asking =
        tokio::spawn(async move { client.check_module(check_request(1, "finance")).await });
    wait_until_blocked(&lock).await;
    asking.await.unwrap().unwrap_err();
    let metrics = server.metrics().await;
    assert_eq!(metrics.of(&series("timed_out")), 1.0);
    // A load may take 1.5 s.
    let seconds = metrics.of("load_duration_seconds_sum{outcome=\"timed_out\"}");
    assert!((1.4..4.0).contains(&seconds), "{seconds}");
    for outcome in ["ok", "failed", "no_connection"] {
        assert_eq!(metrics.of(&series(outcome)), 0.0, "{outcome}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_the_database_refuses_has_failed() {
    let flags = [&SHOWN[..], &["--changes", "off"]].concat();
    let mut server = Server::start_with(Database::postgres().await, &flags).await;
    server.database.execute("ALTER TABLE tenants RENAME TO tenants_elsewhere").await;
    server.check_request(check_request(1, "finance")).await.unwrap_err();
    // The server may have looked again by itself since.
    let metrics = server.metrics().await;
    assert!(metrics.of(&series("failed")) >= 1.0, "{}", metrics.page);
    for outcome in ["timed_out", "no_connection"] {
        assert_eq!(metrics.of(&series(outcome)), 0.0, "{outcome}");
    }
}
