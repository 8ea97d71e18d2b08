//! `/readyz` and `/livez`, for those who start and stop servers, and for those who mean no good.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use entitlementd::{clock::Clock, server};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    harness::{
        Database, Row, Server,
        http::{self, read_to_end},
        postgres::{self, Cluster},
        process::{self, Process},
        server::serve_args,
    },
    metrics::SHOWN,
};

/// Longer than any news takes.
const PATIENCE: Duration = Duration::from_secs(20);

impl Server {
    fn probes(&self) -> SocketAddr {
        self.running.metrics_address.unwrap()
    }

    pub async fn readyz(&self) -> http::Reply {
        http::get(self.probes(), "/readyz").await
    }

    /// Asks until it says this, with that status.
    pub async fn until_readyz(&self, status: u16, words: &str) {
        let started = Instant::now();
        loop {
            let reply = http::get(self.probes(), "/readyz").await;
            if reply.status == status && reply.body.starts_with(words) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{words:?}: {reply:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Health follows within a moment.
    async fn until_health(&self, wanted: ServingStatus) {
        let started = Instant::now();
        while self.health("").await != wanted {
            assert!(started.elapsed() < PATIENCE, "{wanted:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_goes_from_ready_to_degraded_to_unready_and_back() {
    let mut cluster = Cluster::start(&[]);
    let name = cluster.empty_database().await;
    process::migrate(&cluster.url(&name));
    let flags = [&SHOWN[..], &["--changes", "poll", "--poll-interval", "20ms"]].concat();
    let database = Database::on(&cluster, name).await;
    // Before the server: news that comes during a load would keep the tenant from being held.
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut server = Server::start_with(database, &flags).await;
    assert!(server.check(1, "finance").await.allowed);
    server.until_readyz(200, "ready").await;

    cluster.kill_hard();
    server
        .until_readyz(200, "degraded: the database has not answered since 2026-11-23T12:00:00.000Z")
        .await;
    server.until_health(ServingStatus::Serving).await;
    let answer = server.check(1, "finance").await;
    assert!(answer.allowed && answer.freshness.unwrap().stale);
    let metrics = server.metrics().await;
    assert_eq!(metrics.of("cache_stale_answers_total"), 1.0);
    assert_eq!(metrics.of(r#"condition{condition="degraded"}"#), 1.0);
    assert_eq!(metrics.of(r#"feed_state{state="unheard"}"#), 1.0);

    server.advance(3600);
    server
        .until_readyz(503, "unready: the database has not answered for longer than --max-stale")
        .await;
    server.until_health(ServingStatus::NotServing).await;
    assert_eq!(server.metrics().await.of("feed_lag_seconds"), 3600.0);
    assert_eq!(
        http::get(server.probes(), "/livez").await.status,
        200,
        "starting it again would not help"
    );

    cluster.restart();
    server.until_readyz(200, "ready").await;
    server.until_health(ServingStatus::Serving).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_database_has_answered_it_is_unready_and_alive() {
    let url = format!("postgres://postgres:s3cret@127.0.0.1:{}/nowhere", postgres::free_port());
    let running = server::start(serve_args(&url, &SHOWN), Clock::System).await.unwrap();
    let probes = running.metrics_address.unwrap();
    let reply = http::get(probes, "/readyz").await;
    assert!(reply.status == 503 && reply.body.starts_with("unready: the database "), "{reply:?}");
    assert_eq!(http::get(probes, "/livez").await.status, 200);
    let mut silent = TcpStream::connect(probes).await.unwrap();
    let started = Instant::now();
    running.stop().await.unwrap();
    read_to_end(&mut silent).await;
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "its connections end with it: {:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_is_unready_with_what_to_run() {
    let server = Server::start_unready(Database::empty_postgres().await, &SHOWN).await;
    server
        .until_readyz(503, "unready: the database's schema is behind; run: entitlementd migrate")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_triggers_are_told_and_so_is_their_return() {
    let server = Server::start_with(Database::postgres().await, &SHOWN).await;
    server.until_readyz(200, "ready").await;
    server
        .database
        .execute("ALTER TABLE tenants DISABLE TRIGGER entitlement_tenants_changed")
        .await;
    server.until_readyz(200, "degraded: triggers of the change log are missing").await;
    assert_eq!(server.metrics().await.of(r#"feed_state{state="unarmed"}"#), 1.0);
    server
        .database
        .execute("ALTER TABLE tenants ENABLE ALWAYS TRIGGER entitlement_tenants_changed")
        .await;
    server.until_readyz(200, "ready").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_is_degraded_where_listening_was_wanted_and_else_it_is_not() {
    let nobody = format!("postgres://postgres@127.0.0.1:{}/nowhere", postgres::free_port());
    for (flags, words) in [
        (vec!["--listen-database-url", &nobody], "degraded: changes are polled"),
        (
            vec!["--changes", "listen", "--database-pooler", "transaction"],
            "degraded: changes are polled",
        ),
        (vec!["--database-pooler", "transaction"], "ready"),
        (vec!["--changes", "poll"], "ready"),
        (vec!["--changes", "off"], "ready"),
    ] {
        let flags = [&SHOWN[..], &["--poll-interval", "20ms"], &flags].concat();
        let server = Server::start_with(Database::postgres().await, &flags).await;
        server.until_readyz(200, words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopping_is_unready_while_it_still_answers() {
    let flags = ["--demo", "--listen", "127.0.0.1:0", "--pre-drain", "1h"];
    let mut server = Process::serve(&[&flags[..], &SHOWN].concat());
    let line: serde_json::Value =
        serde_json::from_str(&server.wait_for("metrics and probes")).unwrap();
    let probes: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
    server.wait_for("\"ready\"");
    server.signal("TERM");
    server.wait_for("stopping");
    let started = Instant::now();
    while http::get(probes, "/readyz").await.body != "unready: it is stopping\ncause: stopping" {
        assert!(started.elapsed() < PATIENCE);
    }
    assert_eq!(http::get(probes, "/livez").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_there_is_answered_and_only_to_get_and_head() {
    let server = Server::start_with(Database::sqlite().await, &SHOWN).await;
    let ask = async |method: &str, path: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        http::send(server.probes(), &request).await
    };
    for path in ["/", "/metrics/", "/livez/x", "/readyz.json", "/../metrics"] {
        assert_eq!(ask("GET", path).await.status, 404, "{path}");
    }
    for path in ["/metrics", "/livez", "/readyz", "/readyz?verbose=1"] {
        assert_eq!(ask("GET", path).await.status, 200, "{path}");
        let head = ask("HEAD", path).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"] {
            let refused = ask(method, path).await;
            assert_eq!(refused.status, 405, "{method} {path}");
            assert!(refused.head.contains("allow: get, head"), "{}", refused.head);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_heads_many_headers_and_nonsense_are_refused() {
    let server = Server::start_with(Database::sqlite().await, &SHOWN).await;
    let huge = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    assert_eq!(http::send(server.probes(), &huge).await.status, 431);
    let many = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(http::send(server.probes(), &many).await.status, 431);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    assert!([414, 431].contains(&http::send(server.probes(), &long).await.status));
    assert_eq!(http::send(server.probes(), "SSH-2.0-OpenSSH_9\r\n\r\n").await.status, 400);
    let body = format!(
        "POST /livez HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n{}",
        "x".repeat(1 << 16)
    );
    assert_eq!(http::send(server.probes(), &body).await.status, 405, "a body is not waited for");
    assert_eq!(http::get(server.probes(), "/livez").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_slow_with_its_head_is_cut_off() {
    let server = Server::start_with(Database::sqlite().await, &SHOWN).await;
    let started = Instant::now();
    let mut silent = TcpStream::connect(server.probes()).await.unwrap();
    let mut slow = TcpStream::connect(server.probes()).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost").await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
    read_to_end(&mut slow).await;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_open_many_connections_keep_no_probe_out() {
    let server = Server::start_with(Database::sqlite().await, &SHOWN).await;
    let mut many = Vec::new();
    for _ in 0..500 {
        many.push(TcpStream::connect(server.probes()).await.unwrap());
    }
    let started = Instant::now();
    assert_eq!(http::get(server.probes(), "/livez").await.status, 200);
    for stream in &mut many[..400] {
        assert_eq!(read_to_end(stream).await, "", "the oldest go first");
    }
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "none of them had to be waited for: {:?}",
        started.elapsed()
    );
}
