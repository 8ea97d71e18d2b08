//! What the metrics say of the database: the connections that it refuses, its clock, and since when
//! it has proven nothing.

use std::time::Duration;

use super::SHOWN;
use crate::{
    few_connections::limited_to,
    harness::{
        Database, Server, postgres,
        proxy::Proxy,
        server::{NOW, check_request},
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_database_refuses_are_counted_and_loads_get_none() {
    let (database, role) = limited_to(8).await;
    let flags = [&SHOWN[..], &["--changes", "off"]].concat();
    let mut server = Server::start_with(database, &flags).await;
    let refused = "database_connections_refused_total";
    assert_eq!(server.metrics().await.of(refused), 0.0, "as many as it wants");
    let end_all = format!(
        "ALTER ROLE {role} CONNECTION LIMIT 0;
         SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{role}'"
    );
    server.database.execute(&end_all).await;
    server.check_request(check_request(1, "finance")).await.unwrap_err();
    let metrics = server.metrics().await;
    assert!(metrics.of(refused) >= 1.0, "{}", metrics.page);
    // Others are not asked for at once, and whoever waits for one is not told that the database is slow.
    let of = |outcome| metrics.of(&format!("load_duration_seconds_count{{outcome=\"{outcome}\"}}"));
    assert!(of("no_connection") >= 1.0, "{}", metrics.page);
    assert_eq!((of("ok"), of("timed_out")), (0.0, 0.0));
}

/// By how many seconds the database's clock is ahead of the one that a test begins with.
async fn ahead_of_the_tests(database: &Database) -> f64 {
    let clock = "SELECT EXTRACT(epoch FROM clock_timestamp())::float8 AS clock";
    let clock: f64 = database.one(clock).await.try_get("", "clock").unwrap();
    let now = u32::try_from(NOW.timestamp()).unwrap();
    clock - f64::from(now)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_databases_clock_is_compared_with_the_servers_however_changes_are_heard_of() {
    for mode in ["auto", "poll", "off"] {
        let flags = [&SHOWN[..], &["--changes", mode, "--poll-interval", "20ms"]].concat();
        let server = Server::start_with(Database::postgres().await, &flags).await;
        let skew = ahead_of_the_tests(&server.database).await;
        // The test's clock stands still, and the database's goes on.
        let is_about =
            |seconds: f64| move |skew: f64| (seconds - 60.0..seconds + 120.0).contains(&skew);
        let is = |such: &dyn Fn(f64) -> bool, metrics: &crate::harness::http::Metrics| {
            such(metrics.of("clock_skew_seconds"))
        };
        server.until_metrics(|metrics| is(&is_about(skew), metrics)).await;
        server.advance(3_600);
        server.until_metrics(|metrics| is(&is_about(skew - 3_600.0), metrics)).await;
        // Negative where the database is behind.
        server.advance(i64::from(u32::MAX));
        server.until_metrics(|metrics| metrics.of("clock_skew_seconds") < -3_600.0).await;
    }
    let server = Server::start_with(Database::sqlite().await, &SHOWN).await;
    server.advance(3_600);
    server.until_metrics(|metrics| metrics.of("feed_state{state=\"polling\"}") == 1.0).await;
    assert_eq!(server.metrics().await.of("clock_skew_seconds"), 0.0, "it has no other clock");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_age_of_the_last_proof_grows_while_the_database_is_silent_whatever_the_time_of_day() {
    let database = Database::postgres().await;
    let proxy = Proxy::slow_to(postgres::shared().port(), Duration::ZERO).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", proxy.port(), database.name);
    let server = Server::start_with(database.by_way_of(url).await, &SHOWN).await;
    let age = "feed_proof_age_seconds";
    server.until_metrics(|metrics| metrics.of(age) < 1.0).await;
    proxy.black_hole();
    server.until_metrics(|metrics| metrics.of(age) > 2.0).await;
    assert_eq!(server.metrics().await.of("feed_lag_seconds"), 0.0, "the time of day stands still");
    proxy.let_through();
    server.until_metrics(|metrics| metrics.of(age) < 1.0).await;
    // And a clock that is set says nothing of it.
    server.advance(3_600);
    assert!(server.metrics().await.of(age) < 60.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_was_proven_yet_its_age_is_the_servers_and_without_a_feed_it_is_0() {
    let database = Database::postgres().await;
    let proxy = Proxy::slow_to(postgres::shared().port(), Duration::ZERO).await;
    proxy.black_hole();
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", proxy.port(), database.name);
    let server = Server::start_unready(database.by_way_of(url).await, &SHOWN).await;
    server.until_metrics(|metrics| metrics.of("feed_proof_age_seconds") > 1.0).await;

    let flags = [&SHOWN[..], &["--changes", "off"]].concat();
    let without = Server::start_unready(server.database, &flags).await;
    without.until_metrics(|metrics| metrics.of("feed_state{state=\"unheard\"}") == 1.0).await;
    assert_eq!(without.metrics().await.of("feed_proof_age_seconds"), 0.0);
    proxy.let_through();
    without.until_metrics(|metrics| metrics.of("feed_state{state=\"off\"}") == 1.0).await;
    assert_eq!(without.metrics().await.of("feed_proof_age_seconds"), 0.0);
}
