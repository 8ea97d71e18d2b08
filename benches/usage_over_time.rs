//! What was used already, beside plain INSERTs of the same rows in batches of the same size, in turns in
//! one run with fsync on; checks while that goes on; and a year by day over ten modules.
//!
//! BENCH_ROUNDS and BENCH_MILLIS (of a round) change how much is run.

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
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use common::{postgres, process, quartiles};
use entitlementd::proto::v1::{
    CheckModuleRequest, QueryUsageRequest, RecordUsageRequest, ReserveUsageRequest, UsageEvent,
    UsageGranularity, UsageOutcome, entitlement_service_client::EntitlementServiceClient,
    usage_service_client::UsageServiceClient,
};
use futures_util::stream::poll_fn;
use sqlx::{Connection, PgConnection, PgPool, postgres::PgPoolOptions, types::Uuid};
use tokio::sync::mpsc;
use tonic::{Streaming, transport::Channel};

const TENANTS: u32 = 24;
const BATCH: usize = 500;
const STREAMS: usize = 2;
const METER: &str = "transactions_monthly";
const MODULES: [&str; 10] = common::MODULES;

/// One statement for a batch, as anybody would write it: into a table that has the columns of an
/// event, and whose key keeps repetitions out.
const INSERT: &str = "
    INSERT INTO plain_events (tenant_id, meter, key, module_code, amount, at)
    SELECT *, now() FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[])
    ON CONFLICT DO NOTHING";

fn main() {
    let setting = |name: &str, default: u64| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, millis) = (setting("BENCH_ROUNDS", 7), setting("BENCH_MILLIS", 3_000));
    let cluster = postgres::Cluster::start(&["log_statement=none", "fsync=on"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("machine: {}; everything on these", common::machine());
    println!(
        "{rounds} rounds of {millis} ms, {STREAMS} streams and connections, {BATCH} events each time\n"
    );
    runtime.block_on(measure(&cluster, rounds, Duration::from_millis(millis)));
}

async fn measure(cluster: &postgres::Cluster, rounds: u64, span: Duration) {
    let url = cluster.url(&cluster.migrated_database().await);
    common::fill_postgres(&url, TENANTS).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let table = "
        CREATE TABLE plain_events (tenant_id uuid, meter text, key text, module_code text, amount bigint,
            at timestamptz, PRIMARY KEY (tenant_id, meter, key))";
    sqlx::raw_sql(table).execute(&mut connection).await.unwrap();
    let mut server = process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
    let address = server.address();
    server.wait_for("\"ready\"");
    let channel =
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    begin(&channel).await;
    let pool = PgPoolOptions::new().max_connections(STREAMS as u32).connect(&url).await.unwrap();
    recordings(&channel, &pool, rounds, span).await;
    checks(&channel, rounds, span).await;
    year(&channel, &mut connection).await;
}

/// Whoever uses something has asked before whether it may, and the month is not the first.
async fn begin(channel: &Channel) {
    check_p99(channel, Duration::from_millis(500)).await;
    let mut client = UsageServiceClient::new(channel.clone());
    for number in 0..TENANTS {
        let request = ReserveUsageRequest {
            tenant_id: common::id(number),
            meter: METER.to_owned(),
            key: "first".to_owned(),
            amount: 1,
            ..Default::default()
        };
        assert!(client.reserve_usage(request).await.unwrap().into_inner().granted);
    }
}

async fn recordings(channel: &Channel, pool: &PgPool, rounds: u64, span: Duration) {
    let next = AtomicU64::new(0);
    let (mut ratios, mut rates) = (Vec::new(), [Vec::new(), Vec::new()]);
    for round in 0..rounds {
        let [ours, plain] = if round % 2 == 0 {
            let ours = record(channel, &next, span).await;
            [ours, insert(pool, &next, span).await]
        } else {
            let plain = insert(pool, &next, span).await;
            [record(channel, &next, span).await, plain]
        };
        ratios.push(ours / plain);
        rates[0].push(ours);
        rates[1].push(plain);
    }
    let [low, median, high] = quartiles(&ratios);
    let [ours, plain] = rates.map(|rates| quartiles(&rates)[1]);
    println!(
        "RecordUsage: {ours:.0} events/s against {plain:.0} rows/s: {median:.2} ({low:.2} to {high:.2})"
    );
}

/// A stream that records.
struct Recorder {
    messages: mpsc::Sender<RecordUsageRequest>,
    answers: Streaming<entitlementd::proto::v1::RecordUsageResponse>,
}

impl Recorder {
    async fn open(channel: &Channel) -> Self {
        let (messages, mut received) = mpsc::channel(1);
        let messages_in = poll_fn(move |context| received.poll_recv(context));
        let mut client = UsageServiceClient::new(channel.clone());
        let answers = client.record_usage(messages_in).await.unwrap().into_inner();
        Self { messages, answers }
    }

    async fn record(&mut self, first: u64) {
        let events = (0..BATCH as u64).map(|number| event(first + number)).collect();
        let message = RecordUsageRequest { events, ..Default::default() };
        self.messages.send(message).await.unwrap();
        let answer = self.answers.message().await.unwrap().unwrap();
        assert!(answer.outcomes().all(|outcome| outcome == UsageOutcome::Counted));
    }
}

fn event(number: u64) -> UsageEvent {
    UsageEvent {
        key: format!("e-{number}"),
        tenant_id: common::id((number % u64::from(TENANTS)) as u32),
        meter: METER.to_owned(),
        amount: 1,
        module_code: MODULES[number as usize % MODULES.len()].to_owned(),
        ..Default::default()
    }
}

/// Events a second.
async fn record(channel: &Channel, next: &AtomicU64, span: Duration) -> f64 {
    let began = Instant::now();
    let streams = (0..STREAMS).map(|_| async {
        let mut recorder = Recorder::open(channel).await;
        let mut batches = 0;
        while began.elapsed() < span {
            recorder.record(next.fetch_add(BATCH as u64, Ordering::Relaxed)).await;
            batches += 1;
        }
        batches
    });
    let batches: usize = futures_util::future::join_all(streams).await.into_iter().sum();
    (batches * BATCH) as f64 / began.elapsed().as_secs_f64()
}

/// Rows a second.
async fn insert(pool: &PgPool, next: &AtomicU64, span: Duration) -> f64 {
    let began = Instant::now();
    let connections = (0..STREAMS).map(|_| async {
        let mut batches = 0;
        while began.elapsed() < span {
            let first = next.fetch_add(BATCH as u64, Ordering::Relaxed);
            let events: Vec<_> = (first..first + BATCH as u64).map(event).collect();
            let tenants: Vec<Uuid> =
                events.iter().map(|it| it.tenant_id.parse().unwrap()).collect();
            let texts = |text: fn(&UsageEvent) -> &str| {
                events.iter().map(|it| text(it).to_owned()).collect::<Vec<_>>()
            };
            let amounts: Vec<i64> = events.iter().map(|it| it.amount).collect();
            let inserted = sqlx::query(INSERT)
                .bind(tenants)
                .bind(texts(|it| &it.meter))
                .bind(texts(|it| &it.key))
                .bind(texts(|it| &it.module_code))
                .bind(amounts)
                .execute(pool)
                .await;
            assert_eq!(inserted.unwrap().rows_affected(), BATCH as u64);
            batches += 1;
        }
        batches
    });
    let batches: usize = futures_util::future::join_all(connections).await.into_iter().sum();
    (batches * BATCH) as f64 / began.elapsed().as_secs_f64()
}

/// Checks one after the other, with and without somebody who records 2 000 events a second beside them.
async fn checks(channel: &Channel, rounds: u64, span: Duration) {
    let (mut ratios, mut times) = (Vec::new(), [Vec::new(), Vec::new()]);
    let next = AtomicU64::new(1 << 40);
    for _ in 0..rounds {
        let quiet = check_p99(channel, span).await;
        let (busy, ()) = tokio::join!(check_p99(channel, span), async {
            let mut recorder = Recorder::open(channel).await;
            let began = Instant::now();
            while began.elapsed() < span {
                recorder.record(next.fetch_add(BATCH as u64, Ordering::Relaxed)).await;
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        });
        ratios.push(busy / quiet);
        times[0].push(quiet);
        times[1].push(busy);
    }
    let [low, median, high] = quartiles(&ratios);
    let [quiet, busy] = times.map(|times| quartiles(&times)[1]);
    println!(
        "p99 of a check: {quiet:.0} µs, {busy:.0} beside 2 000 events/s: {median:.2} ({low:.2} to {high:.2})"
    );
}

/// In microseconds.
async fn check_p99(channel: &Channel, span: Duration) -> f64 {
    let mut client = EntitlementServiceClient::new(channel.clone());
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < span {
        let asked = Instant::now();
        let request = CheckModuleRequest {
            tenant_id: common::id(times.len() as u32 % TENANTS),
            module_code: MODULES[0].to_owned(),
            ..Default::default()
        };
        client.check_module(request).await.unwrap();
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100].as_secs_f64() * 1e6
}

async fn year(channel: &Channel, connection: &mut PgConnection) {
    let codes = MODULES.map(|code| format!("'{code}'")).join(", ");
    let fill = format!(
        "INSERT INTO entitlement_usage_days
            (tenant_id, meter, day, module_code, amount, events, late, without_key, recorded_at)
         SELECT t.id, '{METER}', to_char(d, 'YYYY-MM-DD'), m, 700, 700, 0, 0, now()
         FROM tenants t, generate_series(DATE '2025-01-01', DATE '2025-12-31', '1 day') d, unnest(ARRAY[{codes}]) m;
         ANALYZE"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(connection).await.unwrap();
    let mut client = UsageServiceClient::new(channel.clone()).max_decoding_message_size(16 << 20);
    let instant = |text: &str| {
        let at: chrono::DateTime<chrono::Utc> = text.parse().unwrap();
        Some(prost_types::Timestamp { seconds: at.timestamp(), nanos: 0 })
    };
    let mut times = Vec::new();
    for number in 0..200 {
        let request = QueryUsageRequest {
            tenant_id: common::id(number % TENANTS),
            meter: METER.to_owned(),
            by_module: true,
            start_time: instant("2025-01-01T00:00:00Z"),
            end_time: instant("2026-01-01T00:00:00Z"),
            granularity: UsageGranularity::Day.into(),
            ..Default::default()
        };
        let asked = Instant::now();
        let answer = client.query_usage(request).await.unwrap().into_inner();
        assert_eq!(answer.spans.len(), 3650);
        times.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    let [low, median, high] = quartiles(&times);
    println!("a year by day over 10 modules, 3 650 spans: {median:.1} ms ({low:.1} to {high:.1})");
}
