//! Reservations, beside one statement for each: the conditional UPDATE and the INSERT of the key that
//! anybody would write, on connections of its own, in turns in one run. fsync is on.
//!
//! One hot tenant, a thousand tenants, and a lone caller. BENCH_ROUNDS and BENCH_MILLIS (of a round)
//! change how much is run, BENCH_CONNECTIONS how many connections the statement has.

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
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use common::{postgres, process, quartiles};
use entitlementd::proto::v1::{ReserveUsageRequest, usage_service_client::UsageServiceClient};
use sqlx::{Connection, PgConnection, PgPool, postgres::PgPoolOptions, types::Uuid};
use tonic::transport::Channel;

const TENANTS: u32 = 1_000;
const CALLERS: usize = 64;

/// One statement, prepared, in a transaction of its own. The limit is read where it is.
const STATEMENT: &str = "
    WITH counted AS (
        UPDATE naive_counters c SET used = used + 1
        FROM tenants t JOIN plans p ON p.id = t.plan_id
        WHERE c.tenant_id = $1 AND t.id = $1 AND c.used + 1 <= p.max_transactions_monthly
        RETURNING c.used),
    keyed AS (INSERT INTO naive_keys (tenant_id, key, amount) SELECT $1, $2, 1 FROM counted)
    SELECT used FROM counted";

/// What is measured.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    tenants: u32,
    callers: usize,
}

const LOADS: [Load; 3] = [
    Load { name: "one hot tenant, 64 callers", tenants: 1, callers: CALLERS },
    Load { name: "1 000 tenants, 64 callers", tenants: TENANTS, callers: CALLERS },
    Load { name: "a lone caller", tenants: TENANTS, callers: 1 },
];

fn main() {
    let setting = |name: &str, default: u64| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, millis) = (setting("BENCH_ROUNDS", 7), setting("BENCH_MILLIS", 3_000));
    let connections = setting("BENCH_CONNECTIONS", 16) as u32;
    let cluster = postgres::Cluster::start(&["log_statement=none", "fsync=on"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("machine: {}; everything on these", common::machine());
    println!("{rounds} rounds of {millis} ms, the statement on {connections} connections\n");
    runtime.block_on(measure(&cluster, rounds, Duration::from_millis(millis), connections));
}

async fn measure(cluster: &postgres::Cluster, rounds: u64, span: Duration, connections: u32) {
    let url = cluster.url(&cluster.migrated_database().await);
    common::fill_postgres(&url, TENANTS).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let sql = "
        UPDATE tenants SET plan_id = (SELECT id FROM plans WHERE slug = 'growth');
        UPDATE plans SET max_transactions_monthly = 2000000000;
        CREATE TABLE naive_counters (tenant_id uuid PRIMARY KEY, used bigint NOT NULL) WITH (fillfactor = 50);
        INSERT INTO naive_counters SELECT id, 0 FROM tenants;
        CREATE TABLE naive_keys (tenant_id uuid, key text, amount bigint, PRIMARY KEY (tenant_id, key));
        ANALYZE";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    let fixed = ["--listen", "127.0.0.1:0", "--database-url", &url, "--enforce-limits", "on"];
    let mut server = process::Process::serve(&fixed);
    let address = server.address();
    server.wait_for("\"ready\"");
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let client = UsageServiceClient::new(channel.connect().await.unwrap());
    let pool = PgPoolOptions::new().max_connections(connections).connect(&url).await.unwrap();
    let ids: Arc<[String]> = (0..TENANTS).map(common::id).collect();
    let next = Arc::new(AtomicU64::new(0));
    for load in LOADS {
        let (mut ratios, mut rates) = (Vec::new(), [Vec::new(), Vec::new()]);
        for round in 0..rounds {
            let ours = reservations(&client, &ids, &next, load, span);
            let naive = statements(&pool, &ids, &next, load, span);
            // Who goes first alternates.
            let [ours, naive] = if round % 2 == 0 {
                let ours = ours.await;
                [ours, naive.await]
            } else {
                let naive = naive.await;
                [ours.await, naive]
            };
            ratios.push(ours / naive);
            rates[0].push(ours);
            rates[1].push(naive);
        }
        let [low, median, high] = quartiles(&ratios);
        let [ours, naive] = rates.map(|rates| quartiles(&rates)[1]);
        let micros = |rate: f64| load.callers as f64 * 1e6 / rate;
        println!(
            "{}: {ours:.0}/s against {naive:.0}/s ({:.0} and {:.0} µs each): {median:.2} times ({low:.2} to {high:.2})",
            load.name,
            micros(ours),
            micros(naive)
        );
    }
}

/// Reservations a second.
async fn reservations(
    client: &UsageServiceClient<Channel>,
    ids: &Arc<[String]>,
    next: &Arc<AtomicU64>,
    load: Load,
    span: Duration,
) -> f64 {
    repeat(load, span, |number| {
        let (mut client, tenant_id) = (client.clone(), ids[number % load.tenants as usize].clone());
        let key = format!("o-{}", next.fetch_add(1, Ordering::Relaxed));
        async move {
            let meter = "transactions_monthly".to_owned();
            let request =
                ReserveUsageRequest { tenant_id, meter, key, amount: 1, ..Default::default() };
            assert!(client.reserve_usage(request).await.unwrap().into_inner().granted);
        }
    })
    .await
}

/// Statements a second.
async fn statements(
    pool: &PgPool,
    ids: &Arc<[String]>,
    next: &Arc<AtomicU64>,
    load: Load,
    span: Duration,
) -> f64 {
    repeat(load, span, |number| {
        let tenant: Uuid = ids[number % load.tenants as usize].parse().unwrap();
        let (pool, key) = (pool.clone(), format!("o-{}", next.fetch_add(1, Ordering::Relaxed)));
        async move {
            let row = sqlx::query(STATEMENT).bind(tenant).bind(key).fetch_optional(&pool).await;
            assert!(row.unwrap().is_some());
        }
    })
    .await
}

/// Does something by so many callers, each one after the other, for so long: how often a second.
async fn repeat<F: Future<Output = ()>>(
    load: Load,
    span: Duration,
    act: impl Fn(usize) -> F,
) -> f64 {
    let (began, done) = (Instant::now(), AtomicU64::new(0));
    let callers = (0..load.callers).map(|caller| {
        let (act, done) = (&act, &done);
        async move {
            let mut number = caller;
            while began.elapsed() < span {
                act(number).await;
                done.fetch_add(1, Ordering::Relaxed);
                // Each caller goes through the tenants in an order of its own.
                number = number.wrapping_add(37);
            }
        }
    });
    futures_util::future::join_all(callers).await;
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}
