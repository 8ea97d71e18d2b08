//! A herd: 10 000 tenants that are not held, asked for by 500 callers at once, five for each tenant. Then the same when
//! all of them must be read again.
//!
//! What it costs PostgreSQL is counted in its own log; nobody may see an error or an answer from before the reset.

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
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use common::{postgres, process};
use entitlementd::proto::v1::{CheckModuleRequest, entitlement_service_client::EntitlementServiceClient};
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

const TENANTS: u32 = 10_000;
const CALLERS: usize = 500;
/// Callers that ask for the same tenant at the same time.
const EACH: u32 = 5;
/// Connections of the callers.
const CHANNELS: usize = 10;
/// `--database-max-connections` as it is by default, and the two beside it that watch for changes however busy loads are.
const POOL: i64 = 10 + 2;

type Client = EntitlementServiceClient<Channel>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cluster = postgres::Cluster::start(&[]);
    let name = cluster.migrated_database().await;
    let url = cluster.url(&name);
    common::fill_postgres(&url, TENANTS).await;
    // The audit would load too.
    let flags = ["--listen", "127.0.0.1:0", "--audit-rate", "0", "--cache-ttl", "1d", "--database-url", &url];
    let mut server = process::Process::serve(&flags);
    let address = server.address();
    server.wait_for("\"ready\"");
    let clients = join_all((0..CHANNELS).map(|_| common::connect(&address))).await;
    let herd = Herd { cluster, name, clients };

    println!("machine: {}; everything on these", common::machine());
    println!("{TENANTS} tenants, {CALLERS} callers on {CHANNELS} connections, {EACH} for each tenant\n");
    println!("{:<22}{:>8}{:>18}{:>22}{:>14}", "", "seconds", "load statements", "connections at most", "p99 ms");
    let cold = herd.ask_for_all("not held", 0).await;
    let mut writer = PgConnection::connect(&url).await.unwrap();
    // Nobody's flags are what they were, as far as is known: everything that is held must be read again.
    sqlx::raw_sql("TRUNCATE feature_flags").execute(&mut writer).await.unwrap();
    herd.until_heard(cold + 1).await;
    let again = herd.ask_for_all("to be read again", TENANTS as usize).await;
    assert_eq!(again, cold + 1, "answers from before the reset");
}

struct Herd {
    cluster: postgres::Cluster,
    name: String,
    clients: Vec<Client>,
}

impl Herd {
    /// Every tenant is asked for by some callers at once. Gives the revision that all of them are at. `loaded`: how
    /// often the database was asked before.
    async fn ask_for_all(&self, what: &str, loaded: usize) -> u64 {
        let next = AtomicU32::new(0);
        let sampler = Sampler::start(&self.cluster, &self.name).await;
        let started = Instant::now();
        let asked = join_all((0..CALLERS).map(|caller| self.call(caller, &next))).await;
        let seconds = started.elapsed().as_secs_f64();
        let connections = sampler.most().await;
        let (mut revisions, mut millis): (Vec<_>, Vec<_>) = asked.into_iter().flatten().unzip();
        revisions.sort_unstable();
        revisions.dedup();
        millis.sort_by(f64::total_cmp);
        let loads = self.loads() - loaded;
        let p99 = millis[(millis.len() - 1) * 99 / 100];
        println!("{what:<22}{seconds:>8.2}{loads:>18}{connections:>22}{p99:>14.1}");
        assert_eq!(loads, TENANTS as usize, "one statement for each tenant");
        assert!(connections <= POOL, "the pool's bound");
        assert_eq!(revisions.len(), 1, "every tenant has seen the same changes: {revisions:?}");
        revisions[0]
    }

    /// Asks for one tenant after the other, as long as there are any. Gives what it was told.
    async fn call(&self, caller: usize, next: &AtomicU32) -> Vec<(u64, f64)> {
        let mut client = self.clients[caller % CHANNELS].clone();
        let mut answers = Vec::new();
        loop {
            let tenant = next.fetch_add(1, Ordering::Relaxed) / EACH;
            if tenant >= TENANTS {
                return answers;
            }
            answers.push(ask(&mut client, tenant).await);
        }
    }

    /// Waits until a change has been heard of, which shows in a tenant's revision. That tenant is then held again.
    async fn until_heard(&self, revision: u64) {
        let mut client = self.clients[0].clone();
        let started = Instant::now();
        while ask(&mut client, 0).await.0 != revision {
            assert!(started.elapsed() < Duration::from_secs(10), "the reset was not heard of");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Statements that load a tenant, as PostgreSQL has logged them.
    fn loads(&self) -> usize {
        let begins = format!("{} LOG:  execute", self.name);
        let is_load = |line: &&str| line.starts_with(&begins) && line.contains("SELECT r.*, t.*");
        self.cluster.log().lines().filter(is_load).count()
    }
}

/// Asks for a tenant, which must be allowed. Gives its revision, and the milliseconds that took.
async fn ask(client: &mut Client, tenant: u32) -> (u64, f64) {
    let module_code = common::MODULES[0].to_owned();
    let request = CheckModuleRequest { tenant_id: common::id(tenant), module_code, ..Default::default() };
    let started = Instant::now();
    let answer = client.check_module(request).await.unwrap().into_inner();
    let millis = started.elapsed().as_secs_f64() * 1000.0;
    let freshness = answer.freshness.unwrap();
    assert!(answer.allowed && !freshness.stale);
    (freshness.revision, millis)
}

/// Counts a pool's connections now and then. The one that listens goes by another name.
struct Sampler {
    ended: Arc<AtomicBool>,
    most: JoinHandle<i64>,
}

impl Sampler {
    async fn start(cluster: &postgres::Cluster, database: &str) -> Self {
        let mut connection = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND application_name = 'entitlementd'"
        );
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        let most = tokio::spawn(async move {
            let mut most = 0;
            while !is_over.load(Ordering::Relaxed) {
                let now = sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_one(&mut connection).await.unwrap();
                most = i64::max(most, now);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            most
        });
        Self { ended, most }
    }

    async fn most(self) -> i64 {
        self.ended.store(true, Ordering::Relaxed);
        self.most.await.unwrap()
    }
}
