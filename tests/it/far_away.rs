//! A database that is far away: each answer takes long, and is right.

use std::time::{Duration, Instant};

use crate::harness::{Database, Row, Server, postgres, process::Process, proxy::Proxy};

/// What a server is ready after.
const ROUND_TRIPS: usize = 10;

/// What a busy machine takes beside waiting.
const WORK: Duration = Duration::from_secs(2);

/// The shared cluster, with so much more time for each answer.
async fn slowed_by(delay: Duration) -> Proxy {
    Proxy::slow_to(postgres::shared().port(), delay).await
}

fn url(proxy: &Proxy, database: &Database) -> String {
    format!("postgres://postgres@127.0.0.1:{}/{}", proxy.port(), database.name)
}

async fn is_ready_after_ten_round_trips(delay: Duration, mode: &str) {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let proxy = slowed_by(delay).await;
    let far = database.by_way_of(url(&proxy, &database)).await;
    let began = Instant::now();
    let flags = ["--metrics-listen", "127.0.0.1:0", "--changes", mode];
    let mut server = Server::start_with(far, &flags).await;
    let (counted, took) = (proxy.round_trips(), began.elapsed());
    assert!(counted <= ROUND_TRIPS, "{delay:?}, {mode}: {counted} round trips");
    let at_most = delay * u32::try_from(ROUND_TRIPS).unwrap() + WORK;
    assert!(took < at_most, "{delay:?}, {mode}: {took:?}");
    server.until_readyz(200, "ready").await;
    let answer = server.check(1, "finance").await;
    assert!(answer.allowed && !answer.freshness.unwrap().stale, "{delay:?}, {mode}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_ready_after_ten_round_trips_of_50_ms() {
    is_ready_after_ten_round_trips(Duration::from_millis(50), "auto").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_ready_after_ten_round_trips_of_200_ms() {
    is_ready_after_ten_round_trips(Duration::from_millis(200), "auto").await;
    is_ready_after_ten_round_trips(Duration::from_millis(200), "poll").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_ready_after_ten_round_trips_of_500_ms() {
    is_ready_after_ten_round_trips(Duration::from_millis(500), "auto").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_what_a_start_waits_for_and_what_was_waited_for_in_vain() {
    let database = Database::postgres().await;
    let proxy = slowed_by(Duration::ZERO).await;
    proxy.black_hole();
    let url = url(&proxy, &database);
    let limit = ["--database-connect-timeout", "1500ms"];
    let flags = [&["--listen", "127.0.0.1:0", "--database-url", &url][..], &limit].concat();
    let mut server = Process::serve(&flags);
    let line = server.wait_for("waiting for a connection to the database");
    assert!(line.contains("1 s so far and 1.5s at most"), "{line}");
    let line = server.wait_for("not ready");
    assert!(line.contains("no answer for 1.5s while it was opened"), "{line}");
    proxy.let_through();
    server.wait_for("\"ready\"");
}
