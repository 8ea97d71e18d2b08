//! A herd: 10 000 tenants that are not held, asked for by 500 callers at once, five for each
//! tenant. Then the same when all of them must be read again. Then many more, each asked for once,
//! until all are held.
//!
//! What it costs is counted by PostgreSQL itself; nobody may see an error or an answer from before
//! the reset. BENCH_HELD (200000) changes how many are held at the end, and BENCH_SERVER names
//! another build of the program.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    reason = "a benchmark that fails ends"
)]

#[expect(dead_code, reason = "this benchmark needs a part")]
mod common;

#[expect(dead_code, reason = "this benchmark needs a part")]
#[path = "common/load.rs"]
mod load;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use common::{
    postgres, process,
    statements::{self, Statements},
};
use entitlementd::proto::v1::{CheckModuleRequest, CheckModuleResponse};
use load::{Sink, Target, ask_each, body};
use prost::Message;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinHandle;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHECK_MODULE: &str = "/entitlement.v1.EntitlementService/CheckModule";
/// `allowed: true`, the first field of the answer.
const ALLOWED: [u8; 2] = [0x08, 0x01];
const TENANTS: u32 = 10_000;
/// Connections of the callers, and callers on each.
const CALLERS: [usize; 2] = [10, 50];
/// Callers that ask for the same tenant at the same time.
const EACH: u32 = 5;
/// `--database-max-connections` as it is by default.
const POOL: i64 = 16;
/// Of statements, in the background: what is held is compared with the database now and then.
const BESIDE: f64 = 1.01;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let many = env::var("BENCH_HELD").map_or(200_000, |text| text.parse().unwrap());
    let cluster = Arc::new(postgres::Cluster::start(&statements::SETTINGS));
    let mut statements = Statements::start(&cluster).await;
    println!("machine: {}; everything on these", common::machine());
    println!("{} callers on {} connections\n", CALLERS[0] * CALLERS[1], CALLERS[0]);
    println!(
        "{:<34}{:>8}{:>18}{:>22}{:>14}",
        "", "seconds", "load statements", "connections at most", "p99 ms"
    );
    let mut herd = Herd::start(&cluster, &mut statements, TENANTS, &[]).await;
    let name = format!("{TENANTS} not held, {EACH} callers each");
    let cold = herd.ask_for_all(&name, EACH).await;
    let mut writer = PgConnection::connect(&herd.url).await.unwrap();
    // Nobody's flags are what they were, as far as is known: everything that is held must be read
    // again.
    sqlx::raw_sql("TRUNCATE feature_flags").execute(&mut writer).await.unwrap();
    herd.until_heard(cold + 1).await;
    let again = herd.ask_for_all("the same, to be read again", EACH).await;
    assert_eq!(again, cold + 1, "answers from before the reset");
    drop(herd);
    if many > 0 {
        // The default is half as many.
        let capacity = many.to_string();
        let mut herd =
            Herd::start(&cluster, &mut statements, many, &["--cache-capacity", &capacity]).await;
        herd.ask_for_all(&format!("{many} not held, one caller each"), 1).await;
    }
}

/// A server, and tenants that are asked for.
struct Herd<'a> {
    cluster: Arc<postgres::Cluster>,
    statements: &'a mut Statements,
    name: String,
    url: String,
    tenants: u32,
    address: String,
    _server: process::Process,
}

impl<'a> Herd<'a> {
    async fn start(
        cluster: &Arc<postgres::Cluster>,
        statements: &'a mut Statements,
        tenants: u32,
        flags: &[&str],
    ) -> Self {
        let name = cluster.migrated_database().await;
        let url = cluster.url(&name);
        common::fill_postgres(&url, tenants).await;
        let url_for_server = statements::url(cluster, &name);
        let fixed = ["--listen", "127.0.0.1:0", "--database-url", &url_for_server];
        let mut server = process::Process::serve(&[&fixed, flags].concat());
        let address = server.address();
        server.wait_for("\"ready\"");
        Self {
            cluster: Arc::clone(cluster),
            statements,
            name,
            url,
            tenants,
            address,
            _server: server,
        }
    }

    /// Every tenant is asked for by some callers at once. Gives the revision that all of them are
    /// at.
    async fn ask_for_all(&mut self, what: &str, each: u32) -> u64 {
        let port = self.address.rsplit(':').next().unwrap().parse().unwrap();
        let bodies: Vec<Vec<u8>> =
            (0..self.tenants * each).map(|number| body(&question(number / each))).collect();
        let target = Target {
            tls: None,
            socket: None,
            port,
            path: CHECK_MODULE,
            bodies: &bodies,
            answer: &ALLOWED,
            load: CALLERS,
        };
        let (answers, before) = (Answers::default(), self.statements.count().await.reads);
        let sampler = Sampler::start(&self.cluster, &self.name).await;
        let started = Instant::now();
        ask_each(&answers, target).await;
        let seconds = started.elapsed().as_secs_f64();
        let connections = sampler.most().await;
        let loads = self.statements.count().await.reads - before;
        let (mut millis, revisions) = (answers.millis.into_inner(), answers.revisions.into_inner());
        millis.sort_by(f64::total_cmp);
        let p99 = millis[(millis.len() - 1) * 99 / 100];
        println!("{what:<34}{seconds:>8.2}{loads:>18}{connections:>22}{p99:>14.1}");
        assert_eq!(millis.len(), bodies.len(), "everyone was answered");
        assert!(
            loads as f64 <= f64::from(self.tenants) * BESIDE,
            "one statement for each tenant at most"
        );
        assert!(connections <= POOL, "the pool's bound");
        assert_eq!(revisions.len(), 1, "every tenant has seen the same changes: {revisions:?}");
        revisions.into_iter().next().unwrap()
    }

    /// Waits until a change has been heard of, which shows in a tenant's revision. That tenant is
    /// then held again.
    async fn until_heard(&self, revision: u64) {
        let mut client = common::connect(&self.address).await;
        let started = Instant::now();
        while client
            .check_module(question(0))
            .await
            .unwrap()
            .into_inner()
            .freshness
            .unwrap()
            .revision
            != revision
        {
            assert!(started.elapsed() < Duration::from_secs(10), "the reset was not heard of");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn question(tenant: u32) -> CheckModuleRequest {
    let module_code = common::MODULES[0].to_owned();
    CheckModuleRequest { tenant_id: common::id(tenant), module_code, ..Default::default() }
}

/// What callers were told.
#[derive(Default)]
struct Answers {
    millis: RefCell<Vec<f64>>,
    revisions: RefCell<BTreeSet<u64>>,
}

impl Sink for Answers {
    fn told(&self, message: &[u8]) {
        let freshness = CheckModuleResponse::decode(message).unwrap().freshness.unwrap();
        assert!(!freshness.stale, "an answer from memory although the database answers");
        self.revisions.borrow_mut().insert(freshness.revision);
    }

    fn answered(&self, after: Duration) {
        self.millis.borrow_mut().push(after.as_secs_f64() * 1000.0);
    }

    fn failed(&self) {
        panic!("a status in place of an answer");
    }
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
                let now = sqlx::query_scalar(AssertSqlSafe(sql.clone()))
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
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
