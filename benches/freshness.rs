//! From a commit to the flipped answer: three real servers on one PostgreSQL, each asked until it
//! says the new state.
//!
//! BENCH_LISTENED and BENCH_POLLED (changes) and BENCH_ONLY (`listen` or `poll`) change what is
//! run.

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
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use common::{postgres, process};
use entitlementd::proto::v1::{
    CheckModuleRequest, DecisionReason, entitlement_service_client::EntitlementServiceClient,
};
use sqlx::{Connection, PgConnection};
use tokio::{runtime::Runtime, time::interval};
use tonic::transport::Channel;

const TENANTS: u32 = 1_000;
const INSTANCES: usize = 3;
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Between two questions to an instance: they share the cores with what they measure.
const PAUSE: Duration = Duration::from_micros(200);
/// The module that is taken away and given back.
const MODULE: usize = 2;
/// Checks each second on each instance, in the background.
const LOAD: u64 = 1_000;
/// A change that took longer was not heard of.
const PATIENCE: Duration = Duration::from_secs(10);

type Client = EntitlementServiceClient<Channel>;

fn main() {
    let setting = |name: &str, default| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (listened, polled) = (setting("BENCH_LISTENED", 600), setting("BENCH_POLLED", 100));
    let only = env::var("BENCH_ONLY").unwrap_or_default();

    let cluster = postgres::Cluster::start(&["log_statement=none"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = cluster.url(&runtime.block_on(cluster.migrated_database()));
    runtime.block_on(common::fill_postgres(&url, TENANTS));
    println!("machine: {}; everything on these", common::machine());
    println!(
        "milliseconds from the commit's return, {INSTANCES} instances asked every {PAUSE:?} each"
    );
    let poll = format!("{}ms", POLL_INTERVAL.as_millis());
    let listen = ["--changes", "listen"].as_slice();
    let poll = &["--changes", "poll", "--poll-interval", &poll];
    for (name, flags, changes, wait) in [
        ("listen", listen, listened, Duration::from_millis(10)),
        ("poll", poll, polled, POLL_INTERVAL),
    ] {
        if !only.is_empty() && only != name {
            continue;
        }
        let servers = Servers::start(&url, flags);
        for checks in [0, LOAD] {
            println!("\n{name}, {changes} changes, {checks} other checks/s on each instance");
            print(&measure(&runtime, &url, &servers, Plan { changes, wait, checks }));
        }
    }
}

#[derive(Clone, Copy)]
struct Plan {
    changes: usize,
    /// Between two changes, at most: at random, or each would fall into the same place between two
    /// polls.
    wait: Duration,
    /// Each second on each instance, beside what is measured.
    checks: u64,
}

/// Three of the program, with every tenant held.
struct Servers {
    _processes: Vec<process::Process>,
    addresses: Vec<String>,
}

impl Servers {
    fn start(url: &str, flags: &[&str]) -> Self {
        let fixed = ["--listen", "127.0.0.1:0", "--database-url", url];
        let mut processes = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..INSTANCES {
            let mut process = process::Process::serve(&[&fixed, flags].concat());
            addresses.push(process.address());
            process.wait_for("\"ready\"");
            processes.push(process);
        }
        let servers = Self { _processes: processes, addresses };
        for address in &servers.addresses {
            Asker::new(address).hold_all();
        }
        servers
    }
}

/// Milliseconds until each instance said the new state, change by change.
fn measure(runtime: &Runtime, url: &str, servers: &Servers, plan: Plan) -> Vec<Vec<f64>> {
    let askers: Vec<_> = servers.addresses.iter().map(|address| Handle::start(address)).collect();
    let load: Vec<_> =
        servers.addresses.iter().map(|address| Load::start(address, plan.checks)).collect();
    let mut writer = runtime.block_on(PgConnection::connect(url)).unwrap();
    let mut millis = Vec::new();
    let mut dice = Dice(plan.checks + 1);
    for _ in 0..plan.changes {
        thread::sleep(plan.wait.mul_f64(dice.fraction()));
        let tenant = (dice.fraction() * f64::from(TENANTS)) as u32;
        let is_active = runtime.block_on(common::flip(&mut writer, tenant, MODULE));
        let change = Change { tenant, is_active, committed: Instant::now() };
        askers.iter().for_each(|asker| asker.changes.send(change).unwrap());
        millis.push(askers.iter().map(|asker| asker.answer().as_secs_f64() * 1000.0).collect());
    }
    drop(load);
    millis
}

#[derive(Clone, Copy)]
struct Change {
    tenant: u32,
    is_active: bool,
    committed: Instant,
}

/// Asks one instance, from a thread of its own: a timer of the runtime is too coarse for the pause.
struct Asker {
    runtime: Runtime,
    client: Client,
}

impl Asker {
    fn new(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(common::connect(address));
        Self { runtime, client }
    }

    fn is_enabled(&mut self, tenant: u32) -> bool {
        let asked =
            self.runtime.block_on(self.client.check_module(request(tenant))).unwrap().into_inner();
        assert!(
            asked.freshness.as_ref().is_some_and(|freshness| !freshness.stale),
            "stale: {asked:?}"
        );
        match asked.reason() {
            DecisionReason::Enabled => true,
            DecisionReason::SubscriptionSuspended => false,
            _ => panic!("neither one nor the other: {asked:?}"),
        }
    }

    fn hold_all(&mut self) {
        for tenant in 0..TENANTS {
            self.is_enabled(tenant);
        }
    }

    /// Asks until the answer is the new one.
    fn until_flipped(&mut self, change: Change) -> Duration {
        while self.is_enabled(change.tenant) != change.is_active {
            assert!(change.committed.elapsed() < PATIENCE, "a change was not heard of");
            thread::sleep(PAUSE);
        }
        change.committed.elapsed()
    }
}

/// An asker's thread, which ends with this.
struct Handle {
    changes: Sender<Change>,
    flipped: Receiver<Duration>,
}

impl Handle {
    fn start(address: &str) -> Self {
        let mut asker = Asker::new(address);
        let (changes, todo) = channel::<Change>();
        let (done, flipped) = channel();
        thread::spawn(move || {
            todo.iter().all(|change| done.send(asker.until_flipped(change)).is_ok())
        });
        Self { changes, flipped }
    }

    fn answer(&self) -> Duration {
        self.flipped.recv_timeout(2 * PATIENCE).expect("the asker's answer")
    }
}

fn request(tenant: u32) -> CheckModuleRequest {
    let module_code = common::MODULES[MODULE].to_owned();
    CheckModuleRequest { tenant_id: common::id(tenant), module_code, ..Default::default() }
}

/// Other callers of an instance, who ask at a steady pace.
struct Load(Option<Runtime>);

impl Load {
    fn start(address: &str, per_second: u64) -> Self {
        if per_second == 0 {
            return Self(None);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let address = address.to_owned();
        runtime.spawn(async move {
            let client = common::connect(&address).await;
            let mut dice = Dice(7);
            let mut beat = interval(Duration::from_secs(1) / per_second as u32);
            loop {
                beat.tick().await;
                let (mut client, tenant) =
                    (client.clone(), (dice.fraction() * f64::from(TENANTS)) as u32);
                tokio::spawn(async move { client.check_module(request(tenant)).await.unwrap() });
            }
        });
        Self(Some(runtime))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// xorshift: the same numbers in each run.
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn print(millis: &[Vec<f64>]) {
    println!("{:<18}{:>10}{:>10}{:>10}", "", "p50", "p99", "max");
    let row = |name: &str, mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let percentile = |percent: usize| values[(values.len() - 1) * percent / 100];
        println!(
            "{name:<18}{:>10.1}{:>10.1}{:>10.1}",
            percentile(50),
            percentile(99),
            percentile(100)
        );
    };
    row(
        "the slowest",
        millis.iter().map(|change| change.iter().copied().fold(0.0, f64::max)).collect(),
    );
    for instance in 0..INSTANCES {
        row(
            &format!("instance {}", instance + 1),
            millis.iter().map(|change| change[instance]).collect(),
        );
    }
}
