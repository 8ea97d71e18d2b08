//! What is paid once: a cold check against the statement it sends, and the time from exec to
//! SERVING.
//!
//! BENCH_THREADS changes how many threads loads run on.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    reason = "a benchmark that fails ends"
)]

#[expect(dead_code, reason = "this benchmark needs a part")]
mod common;

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use common::{postgres, process, quartiles};
use entitlementd::{
    cache::{AfterChange, Cache, CacheSettings},
    clock::Clock,
    domain::TenantId,
    store::{ChangeLog, ConnectOptions, Durations, Pooler, Store},
};
use sqlx::{Connection, PgConnection};

const TENANTS: u32 = 2_000;
const STARTS: usize = 21;

fn main() {
    println!("machine: {}\n", common::machine());
    // As many as the program has in the background.
    let threads =
        std::env::var("BENCH_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(cold_checks());
    starts();
}

/// A cold check and its statement by itself, in turn, each for a tenant that was not asked for
/// before.
async fn cold_checks() {
    let cluster = postgres::Cluster::start(&[]);
    let name = cluster.migrated_database().await;
    let url = cluster.url(&name);
    common::fill_postgres(&url, 2 * TENANTS).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();

    let patience = Duration::from_secs(5);
    let durations =
        Durations { acquire: patience, connect: patience, start: patience, statement: None };
    let options = ConnectOptions {
        url: &url,
        ca: None,
        pooler: Pooler::None,
        max_connections: 10,
        keeps_shares: false,
        durations,
        create: false,
    };
    let store = Store::open(&options, ChangeLog::Wanted).await.unwrap();
    let settings = CacheSettings {
        ttl: TimeDelta::seconds(300),
        negative_ttl: TimeDelta::seconds(10),
        max_stale: TimeDelta::hours(1),
        capacity: 100_000,
        max_loads: 8,
        max_bypass_reads: 4,
        after_change: AfterChange::Reload,
        load_timeout: Duration::from_secs(5),
    };
    let cache = Cache::new(store.into(), settings, tokio::runtime::Handle::current());
    let statement = statement_of(&cluster, &cache).await;

    let mut ratios = Vec::new();
    let (mut alone, mut cold) = (Vec::new(), Vec::new());
    for number in 1..TENANTS {
        let id = |number: u32| TenantId::parse(&common::id(number)).unwrap();
        let started = Instant::now();
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
            .bind(id(2 * number).uuid())
            .fetch_all(&mut connection)
            .await
            .unwrap();
        alone.push(started.elapsed().as_nanos() as f64 / 1000.0);
        assert_eq!(rows.len(), 10);
        let started = Instant::now();
        let known = cache.get(id(2 * number + 1), Clock::System.now()).await.unwrap();
        cold.push(started.elapsed().as_nanos() as f64 / 1000.0);
        assert!(known.facts.is_some());
        ratios.push(cold[cold.len() - 1] / alone[alone.len() - 1]);
    }
    let [low, median, high] = quartiles(&ratios);
    println!("{} pairs on PostgreSQL over TCP on loopback, median:", ratios.len());
    println!("  the statement by itself   {:>8.0} µs", quartiles(&alone)[1]);
    println!("  a cold look-up            {:>8.0} µs", quartiles(&cold)[1]);
    println!("  ratio (quartiles)         {median:>8.2} ({low:.2} to {high:.2})\n");
}

/// The very statement that a load sends, from the server's log.
async fn statement_of(cluster: &postgres::Cluster, cache: &Cache<Store>) -> String {
    cache.get(TenantId::parse(&common::id(0)).unwrap(), Clock::System.now()).await.unwrap();
    let log = cluster.log();
    let begin = log.find("SELECT t.*, r.*").expect("the load's statement in the log");
    log[begin..].lines().next().unwrap().to_owned()
}

/// From exec to SERVING, on a SQLite database that has been migrated.
fn starts() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    process::migrate(&url);
    let mut millis = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        let mut server =
            process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
        server.wait_for("\"ready\"");
        millis.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    let [low, median, high] = quartiles(&millis);
    println!("exec to SERVING on SQLite, {STARTS} starts: {median:.0} ms ({low:.0} to {high:.0})");
}
