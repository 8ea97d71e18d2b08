//! What the log of changes adds to the ERP's own update of a subscription, part by part, on a
//! cluster that flushes every commit to disk.
//!
//! Rounds alternate; what counts is the ratio within a round. BENCH_ROUNDS, BENCH_MILLIS (of a
//! round) and BENCH_WRITERS (one number) change what is run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    reason = "a benchmark that fails ends"
)]

#[expect(dead_code, reason = "this benchmark needs a part")]
mod common;

use std::{
    env,
    io::Write,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use common::{postgres, process, quartiles};
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection, types::Uuid};

const TENANTS: u32 = 2_000;
const WRITERS: [u32; 2] = [1, 16];
/// Before the first round.
const WARM_UP: Duration = Duration::from_millis(500);
/// Of the program, where there is everything for them to hear of changes.
const INSTANCES: usize = 3;

/// As the ERP's own cluster would be; the harness says otherwise, and the last word counts.
const DURABLE: [&str; 4] =
    ["fsync=on", "synchronous_commit=on", "full_page_writes=on", "log_statement=none"];

/// What a writer does again and again.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    /// One statement that commits by itself: nothing else is paid for.
    Statement(&'static str),
    /// One transaction, a round trip for each part: begin, what is read of the tenant, the update,
    /// commit.
    Transaction(&'static [&'static str], &'static str),
}

/// The least that a session of SQLAlchemy sends, and so the ERP.
const LEAST: Work = Work::Transaction(&[], MATTERS);
/// A subscription cancelled, or given back, as the ERP's own route does it: the tenant, whether it
/// may manage modules, the rows that are meant, and the update.
const ROUTE: Work = Work::Transaction(&[TENANT, GATE, ROWS], CANCEL);

const TENANT: &str =
    "SELECT id, name, subdomain, database_schema, status FROM tenants WHERE id = $1";
const GATE: &str = "SELECT s.id FROM tenant_subscriptions s JOIN modules m ON m.id = s.module_id
     WHERE s.tenant_id = $1 AND m.code = 'system_admin' AND s.status = 'active' AND (s.expires_at IS NULL OR s.expires_at > now())";
const ROWS: &str = "SELECT s.id, s.status, s.expires_at, s.auto_renew, m.code, m.is_base_module
     FROM tenant_subscriptions s JOIN modules m ON m.id = s.module_id WHERE s.tenant_id = $1";
const CANCEL: &str = "UPDATE tenant_subscriptions SET status = $1, expires_at = $2, auto_renew = false, updated_at = now() WHERE id = $3";

/// Each in a transaction of its own.
const MATTERS: &str = "UPDATE tenant_subscriptions SET status = $1, expires_at = $2, updated_at = now() WHERE id = $3";
const MATTERS_NOT: &str = "UPDATE tenant_subscriptions
     SET billing_cycle = $1, price_paid = extract(second FROM $2::timestamptz), updated_at = now() WHERE id = $3";

/// What a database has of the log.
struct Part {
    name: &'static str,
    /// What is taken from the whole; `None`: the database never had a log.
    without: Option<&'static str>,
    work: Work,
}

/// The first of those with the same work is what the others are compared with.
const PARTS: [Part; 11] = [
    Part { name: "no log", without: None, work: Work::Statement(MATTERS) },
    Part {
        name: "triggers disabled",
        without: Some("ALTER TABLE tenant_subscriptions DISABLE TRIGGER USER"),
        work: Work::Statement(MATTERS),
    },
    Part {
        name: "a trigger that does nothing",
        without: Some(
            "CREATE OR REPLACE FUNCTION entitlement_tenant_subscriptions_changed() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN RETURN NULL; END'",
        ),
        work: Work::Statement(MATTERS),
    },
    Part {
        name: "appending only",
        without: Some("DROP TRIGGER entitlement_announce ON entitlement_changes"),
        work: Work::Statement(MATTERS),
    },
    Part { name: "everything", without: Some(""), work: Work::Statement(MATTERS) },
    Part { name: "begin, update, commit, no log", without: None, work: LEAST },
    Part { name: "begin, update, commit, everything", without: Some(""), work: LEAST },
    Part { name: "the ERP's transaction, no log", without: None, work: ROUTE },
    Part { name: "the ERP's transaction, everything", without: Some(""), work: ROUTE },
    Part { name: "no change that matters, no log", without: None, work: Work::Statement(MATTERS_NOT) },
    Part { name: "no change that matters, everything", without: Some(""), work: Work::Statement(MATTERS_NOT) },
];

/// What one round came to.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    latency_micros: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let setting = |name: &str, default: u64| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let rounds = setting("BENCH_ROUNDS", 41) as usize;
    let duration = Duration::from_millis(setting("BENCH_MILLIS", 500));
    let only = setting("BENCH_WRITERS", 0) as u32;

    let cluster = postgres::Cluster::start(&DURABLE);
    let mut databases: Vec<Database> = Vec::new();
    for part in &PARTS {
        databases.push(Database::make(&cluster, part).await);
    }
    println!("machine: {}; PostgreSQL on the same cores", common::machine());
    println!(
        "{TENANTS} tenants x 10 subscriptions, {INSTANCES} instances; {rounds} rounds of {duration:?} each"
    );
    for writers in WRITERS.into_iter().filter(|writers| only == 0 || only == *writers) {
        let mut figures = vec![Vec::new(); databases.len()];
        let mut flushes = Vec::new();
        for round in 0..rounds {
            flushes.push(flush_micros());
            for place in 0..databases.len() {
                // Who goes first changes from round to round.
                let which = (place + round) % databases.len();
                figures[which].push(databases[which].round(writers, duration).await);
            }
        }
        let [low, median, high] = quartiles(&flushes);
        println!(
            "\n{writers} writers; a flush of 8 KiB by itself: {median:.0} µs ({low:.0} to {high:.0})"
        );
        print(&figures);
    }
}

/// A filled database, those who write to it, and those who hear of it.
struct Database {
    work: Work,
    /// They stay from round to round: what a new one does first takes longer where there are
    /// triggers.
    writers: Vec<PgConnection>,
    _instances: Vec<process::Process>,
}

impl Database {
    async fn make(cluster: &postgres::Cluster, part: &Part) -> Self {
        let url = cluster.url(&cluster.empty_database().await);
        let changes = if part.without.is_some() { "auto" } else { "off" };
        let made = process::run(&["migrate", "--changes", changes, "--database-url", &url]);
        assert!(made.status.success(), "migrate: {}", String::from_utf8_lossy(&made.stderr));
        common::fill_postgres(&url, TENANTS).await;
        let without = AssertSqlSafe(part.without.unwrap_or_default());
        sqlx::raw_sql(without)
            .execute(&mut PgConnection::connect(&url).await.unwrap())
            .await
            .unwrap();
        let instances = if part.without == Some("") { INSTANCES } else { 0 };
        let instances = (0..instances).map(|_| start_instance(&url)).collect();
        let most = WRITERS.into_iter().max().unwrap();
        let mut writers = Vec::new();
        for _ in 0..most {
            writers.push(PgConnection::connect(&url).await.unwrap());
        }
        let mut database = Self { work: part.work, writers, _instances: instances };
        database.round(most, WARM_UP).await;
        database
    }

    /// Each writer has rows of its own, and goes through them until the time is up.
    async fn round(&mut self, writers: u32, duration: Duration) -> Figures {
        let started = Instant::now();
        let until = started + duration;
        let (own, work) = (TENANTS / writers, self.work);
        let write =
            |(connection, writer)| write(connection, work, writer * own..(writer + 1) * own, until);
        let micros: Vec<f64> =
            join_all(self.writers.iter_mut().zip(0..writers).map(write)).await.concat();
        let per_second = micros.len() as f64 / started.elapsed().as_secs_f64();
        Figures { per_second, latency_micros: quartiles(&micros)[1] }
    }
}

fn start_instance(url: &str) -> process::Process {
    let flags = ["--listen", "127.0.0.1:0", "--database-url", url];
    let mut instance = process::Process::serve(&flags);
    instance.wait_for("\"ready\"");
    instance
}

/// Gives the time that each transaction took.
async fn write(
    connection: &mut PgConnection,
    work: Work,
    own: std::ops::Range<u32>,
    until: Instant,
) -> Vec<f64> {
    let rows_of = |tenant| {
        (0..10).map(move |module| (common::id(tenant), common::subscription(tenant, module)))
    };
    let parsed = |(tenant, row): (String, String)| (tenant.parse().unwrap(), row.parse().unwrap());
    let rows: Vec<(Uuid, Uuid)> = own.flat_map(rows_of).map(parsed).collect();
    let mut micros = Vec::new();
    // The seventh after the seventh: neighbours in the index are not written one after the other.
    for (number, (tenant, row)) in rows.iter().cycle().step_by(7).enumerate() {
        let began = Instant::now();
        if began >= until {
            break;
        }
        let status = if (number / rows.len()).is_multiple_of(2) { "suspended" } else { "active" };
        let expires: DateTime<Utc> = DateTime::from_timestamp(1_900_000_000, 0).unwrap();
        let expires = expires + TimeDelta::milliseconds(number as i64);
        match work {
            Work::Statement(sql) => {
                _ = sqlx::query(sql)
                    .bind(status)
                    .bind(expires)
                    .bind(row)
                    .execute(&mut *connection)
                    .await
                    .unwrap();
            }
            Work::Transaction(reads, update) => {
                let mut txn = connection.begin().await.unwrap();
                for sql in reads {
                    sqlx::query(*sql).bind(tenant).fetch_all(&mut *txn).await.unwrap();
                }
                sqlx::query(update)
                    .bind(status)
                    .bind(expires)
                    .bind(row)
                    .execute(&mut *txn)
                    .await
                    .unwrap();
                txn.commit().await.unwrap();
            }
        }
        micros.push(began.elapsed().as_nanos() as f64 / 1000.0);
    }
    micros
}

/// How long the disk takes, without which no figure here can be read: the median of ten.
fn flush_micros() -> f64 {
    let mut file = tempfile::Builder::new().tempfile_in("/tmp").unwrap();
    file.write_all(&[0; 1 << 16]).unwrap();
    file.as_file().sync_all().unwrap();
    let micros = (0..10u64).map(|number| {
        let started = Instant::now();
        file.as_file().write_all_at(&[1; 8192], number % 8 * 8192).unwrap();
        file.as_file().sync_data().unwrap();
        started.elapsed().as_nanos() as f64 / 1000.0
    });
    quartiles(&micros.collect::<Vec<_>>())[1]
}

fn print(figures: &[Vec<Figures>]) {
    println!(
        "{:<36}{:>16}{:>12}   time per transaction (quartiles)",
        "", "transactions/s", "median ms"
    );
    for (place, part) in PARTS.iter().enumerate() {
        let first = PARTS.iter().position(|first| first.work == part.work).unwrap();
        let of = |of: fn(&Figures) -> f64| {
            quartiles(&figures[place].iter().map(of).collect::<Vec<_>>())[1]
        };
        let pairs = figures[first].iter().zip(&figures[place]);
        let ratios: Vec<f64> =
            pairs.map(|(first, this)| first.per_second / this.per_second).collect();
        let [low, median, high] = quartiles(&ratios);
        println!(
            "{:<36}{:>16.0}{:>12.3}   {median:.2} ({low:.2} to {high:.2})",
            part.name,
            of(|figures| figures.per_second),
            of(|figures| figures.latency_micros) / 1000.0,
        );
    }
}
