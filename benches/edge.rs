//! An edge beside its core: what a check costs there, what is paid once, and what thousands of them
//! cost the core.
//!
//! BENCH_ONLY (`checks`, `cold`, `hold` or `fleet`), BENCH_TENANTS, BENCH_ROUNDS, BENCH_MILLIS (of a round),
//! BENCH_FOLLOWERS and BENCH_CHANGES (a second) change what is run.

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
    env,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Process, postgres, program_on_core, quartiles};
use entitlementd::{
    cache::{AfterChange, Cache, CacheSettings},
    clock::{Clock, Uptime},
    domain::TenantId,
    proto::{
        replication::{
            FactChanges, FollowFactsRequest, GetFactsRequest, Position, TenantKey,
            replication_service_client::ReplicationServiceClient, tenant_key::Key,
        },
        v1::CheckModuleRequest,
    },
    upstream::{Credentials, Upstream, connect},
};
use load::{Outcome, Target, body, drive_into};
use prost::Message;
use sqlx::{Connection, PgConnection};
use tokio::{sync::mpsc, time::interval};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PATH: &str = "/entitlement.v1.EntitlementService/CheckModule";
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";
/// `allowed: true`, the first field of the answer.
const ALLOWED: [u8; 2] = [0x08, 0x01];
const MODULE: usize = 2;

fn main() {
    if env::var("BENCH_ROLE").is_err() {
        return common::run_as("load", LOAD_CORE);
    }
    println!(
        "machine: {}; servers on core {SERVER_CORE}, load on core {LOAD_CORE}",
        common::machine()
    );
    let only = env::var("BENCH_ONLY").unwrap_or_default();
    let is_wanted = |part: &str| only.is_empty() || only == part;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if is_wanted("checks") || is_wanted("cold") || is_wanted("hold") {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("bench.db").display());
        common::process::migrate(&url);
        runtime.block_on(common::fill(&url, tenants()));
        let core = Instance::core(&url);
        if is_wanted("hold") {
            hold(&core, folder.path());
        }
        if is_wanted("cold") {
            runtime.block_on(cold(&core));
        }
        if is_wanted("checks") {
            runtime.block_on(checks(&core, folder.path()));
        }
    }
    if is_wanted("fleet") {
        runtime.block_on(fleet());
    }
}

/// `--cache-capacity` that every tenant has a place in: at least the default.
fn capacity() -> String {
    tenants().max(100_000).to_string()
}

/// How many tenants there are.
fn tenants() -> u32 {
    setting("BENCH_TENANTS", 100_000) as u32
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// An instance of the program.
struct Instance {
    process: Process,
    port: u16,
    metrics: u16,
}

impl Instance {
    fn core(url: &str) -> Self {
        let capacity = capacity();
        let listen = ["serve", "--listen", "127.0.0.1:0", "--cache-capacity", &capacity];
        Self::start(&[&listen[..], &["--database-url", url]].concat())
    }

    /// One that holds every tenant of a core.
    fn edge(core: u16, flags: &[&str]) -> Self {
        // Nobody answers at the other, which is all that is left once the core is away.
        let upstream = format!("http://127.0.0.1:{core},http://127.0.0.1:1");
        let capacity = capacity();
        let fixed =
            ["edge", "--upstream", &upstream, "--hold", "all", "--cache-capacity", &capacity];
        Self::start(&[&fixed, flags].concat())
    }

    fn start(arguments: &[&str]) -> Self {
        let mut command = program_on_core(SERVER_CORE);
        command.args(arguments).args(["--metrics-listen", "127.0.0.1:0"]);
        let mut process = Process::start(command);
        let metrics = process.port_in("metrics and probes are at");
        let is_tcp = arguments.contains(&"127.0.0.1:0");
        let port = if is_tcp { process.port() } else { 0 };
        Self { process, port, metrics }
    }

    fn metric(&self, name: &str) -> f64 {
        let page = metrics_page(self.metrics);
        let line = page.lines().find(|line| line.starts_with(&format!("entitlementd_{name} ")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
    }

    fn until_held(&self, tenants: f64) {
        while self.metric("cache_entries") < tenants {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The metrics of an instance.
fn metrics_page(port: u16) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

fn request(tenant: u32) -> CheckModuleRequest {
    let module = common::MODULES[tenant as usize % common::MODULES.len()];
    CheckModuleRequest {
        tenant_id: common::id(tenant),
        module_code: module.into(),
        ..Default::default()
    }
}

/// A held check: at the core, at an edge over TCP and over a Unix socket.
async fn checks(core: &Instance, folder: &Path) {
    let rounds = setting("BENCH_ROUNDS", 11);
    let duration = Duration::from_millis(setting("BENCH_MILLIS", 1000));
    let all: Vec<Vec<u8>> = (0..tenants()).map(|tenant| body(&request(tenant))).collect();
    let socket = folder.join("edge.sock");
    let listen = format!("unix:{}", socket.display());
    let over_tcp = Instance::edge(core.port, &["--listen", "127.0.0.1:0"]);
    let over_socket = Instance::edge(core.port, &["--listen", &listen]);
    for edge in [&over_tcp, &over_socket] {
        edge.until_held(f64::from(tenants()));
    }
    // The core holds them all, too, from having sent them.
    for load in [[1, 1], [10, 1], [10, 20]] {
        let mut figures: [Vec<[f64; 2]>; 3] = Default::default();
        for number in 0..rounds as usize {
            // Who goes first alternates.
            for place in 0..3 {
                let which = (place + number) % 3;
                let (instance, socket) = match which {
                    0 => (core, None),
                    1 => (&over_tcp, None),
                    _ => (&over_socket, Some(&*socket)),
                };
                figures[which].push(round(instance, socket, &all, load, duration).await);
            }
        }
        println!(
            "\n{} x {}, all tenants at random: answers a second, and µs of CPU each",
            load[0], load[1]
        );
        for (name, figures) in ["core, TCP", "edge, TCP", "edge, Unix socket"].iter().zip(&figures)
        {
            let of = |index: usize| {
                let values: Vec<f64> = figures.iter().map(|figure| figure[index]).collect();
                quartiles(&values)[1]
            };
            println!("  {name:<20} {:>9.0} {:>8.2}", of(0), of(1));
        }
        let ratio = |one: usize, other: usize, index: usize| {
            let ratios: Vec<f64> = figures[one]
                .iter()
                .zip(&figures[other])
                .map(|(a, b)| a[index] / b[index])
                .collect();
            quartiles(&ratios)
        };
        for (name, one, other) in [("edge of core, TCP", 1, 0), ("Unix socket of TCP, edge", 2, 1)]
        {
            let [low, median, high] = ratio(one, other, 0);
            println!(
                "  {name}: answers a second {median:.3} ({low:.3} to {high:.3}), CPU {:.3}",
                ratio(one, other, 1)[1]
            );
        }
    }
}

/// Answers a second, and µs of CPU of each.
async fn round(
    instance: &Instance,
    socket: Option<&Path>,
    bodies: &[Vec<u8>],
    load: [usize; 2],
    duration: Duration,
) -> [f64; 2] {
    let before = instance.process.cpu_nanos();
    let started = Instant::now();
    let latencies = RefCell::new(Vec::new());
    let target = Target {
        tls: None,
        socket,
        port: instance.port,
        path: PATH,
        bodies,
        answer: &ALLOWED,
        load,
    };
    drive_into(&latencies, target, started + duration).await;
    let outcome = Outcome {
        answers: latencies.borrow().len() as u64,
        elapsed: started.elapsed(),
        latencies: Vec::new(),
    };
    let cpu = instance.process.cpu_nanos() - before;
    [outcome.per_second(), cpu as f64 / 1000.0 / outcome.answers as f64]
}

/// A look-up of a tenant that is not held, beside its bare request to the core.
async fn cold(core: &Instance) {
    let url = format!("http://127.0.0.1:{}", core.port);
    let client = connect(&url, &Credentials::default(), false).await.unwrap();
    let upstream = Upstream::default();
    let mut asking = client.clone();
    let asked = asking.get_facts(GetFactsRequest::default()).await.unwrap();
    upstream.ask(client.clone(), asked.into_inner().instance);
    let settings = CacheSettings {
        ttl: chrono::TimeDelta::seconds(300),
        negative_ttl: chrono::TimeDelta::seconds(10),
        max_stale: chrono::TimeDelta::hours(1),
        capacity: 100_000,
        max_loads: 8,
        max_bypass_reads: 4,
        after_change: AfterChange::Receive,
        load_timeout: Duration::from_secs(5),
    };
    let cache = Cache::new(upstream.into(), settings, tokio::runtime::Handle::current());
    cache.trust(Clock::System.now(), Uptime::NEVER);
    let id = |number: u32| TenantId::parse(&common::id(number)).unwrap();
    let bare = |number: u32| {
        let key = Key::Id(id(number).uuid().into_bytes().to_vec());
        let mut client = client.clone();
        async move {
            let tenants = vec![TenantKey { key: Some(key) }];
            let asked = GetFactsRequest { tenants, min_revision: 0 };
            client.get_facts(asked).await.unwrap();
        }
    };
    // The core holds them all before.
    for number in 0..8_000 {
        bare(number).await;
    }
    let (mut ratios, mut alone, mut cold) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..4_000 {
        let started = Instant::now();
        bare(2 * number).await;
        alone.push(started.elapsed().as_nanos() as f64 / 1000.0);
        let started = Instant::now();
        assert!(cache.get(id(2 * number + 1), Clock::System.now()).await.unwrap().facts.is_some());
        cold.push(started.elapsed().as_nanos() as f64 / 1000.0);
        ratios.push(cold[cold.len() - 1] / alone[alone.len() - 1]);
    }
    let [low, median, high] = quartiles(&ratios);
    println!("\n{} pairs over TCP on loopback, median:", ratios.len());
    println!("  the request to the core   {:>8.0} µs", quartiles(&alone)[1]);
    println!("  a cold look-up            {:>8.0} µs", quartiles(&cold)[1]);
    println!("  ratio (quartiles)         {median:>8.2} ({low:.2} to {high:.2})");
}

/// How long it takes to hold every tenant, from a core and from a state file.
fn hold(core: &Instance, folder: &Path) {
    // The first edge makes the core read what it does not hold; the second is sent what is held.
    let states = ["one", "other"].map(|name| folder.join(name));
    for (from, state) in ["a core that holds none", "a core that holds all"].iter().zip(&states) {
        let started = Instant::now();
        let flags = ["--listen", "127.0.0.1:0", "--state-dir", state.to_str().unwrap()];
        let edge = Instance::edge(core.port, &flags);
        edge.until_held(f64::from(tenants()));
        println!(
            "{} tenants held from {from}: {:.2} s; {:.0} MiB",
            tenants(),
            started.elapsed().as_secs_f64(),
            edge.process.resident_bytes() / f64::from(1 << 20)
        );
        // So many are written each half minute or so: until all are in it.
        std::thread::sleep(Duration::from_secs(40));
        println!("  state file: {:.1} MiB", edge.metric("state_file_bytes") / f64::from(1 << 20));
    }
    let flags = ["--listen", "127.0.0.1:0", "--state-dir", states[0].to_str().unwrap()];
    let (mut millis, mut held) = (Vec::new(), 0.0);
    for _ in 0..11 {
        let started = Instant::now();
        // Nobody answers there.
        let mut edge = Instance::edge(1, &flags);
        edge.process.wait_for("answers rest on a state file");
        millis.push(started.elapsed().as_secs_f64() * 1000.0);
        held = edge.metric("cache_entries");
    }
    let [low, median, high] = quartiles(&millis);
    println!(
        "from exec to SERVING, marked, from the state file of {held} tenants: {median:.0} ms ({low:.0} to {high:.0})"
    );
}

/// Thousands who follow one core on PostgreSQL.
async fn fleet() {
    const HELD: u32 = 1_000;
    let followers = setting("BENCH_FOLLOWERS", 2_000) as usize;
    let per_second = setting("BENCH_CHANGES", 100);
    let seconds = setting("BENCH_SECONDS", 20);
    let cluster = postgres::Cluster::start(&["log_statement=none"]);
    let url = cluster.url(&cluster.migrated_database().await);
    common::fill_postgres(&url, HELD).await;
    let core = Instance::core(&url);
    let all: Vec<Vec<u8>> = (0..HELD).map(|tenant| body(&request(tenant))).collect();
    let load = [10, 20];
    let second = Duration::from_secs(1);
    round(&core, None, &all, load, second).await;
    let mut alone = Vec::new();
    for _ in 0..7 {
        alone.push(round(&core, None, &all, load, second).await);
    }

    let before = core.process.resident_bytes();
    let fleet = Fleet::start(core.port, followers).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!(
        "\n{followers} who follow and are told nothing: {:.1} KiB of the core each",
        (core.process.resident_bytes() - before) / 1024.0 / followers as f64
    );
    let mut beside = Vec::new();
    for _ in 0..7 {
        beside.push(round(&core, None, &all, load, second).await);
    }
    let median = |figures: &[[f64; 2]]| {
        let values: Vec<f64> = figures.iter().map(|figure| figure[0]).collect();
        quartiles(&values)[1]
    };
    println!(
        "checks a second beside them, of those without: {:.3}",
        median(&beside) / median(&alone)
    );

    let mut writer = PgConnection::connect(&url).await.unwrap();
    let mut beat = interval(Duration::from_secs_f64(1.0 / per_second as f64));
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let cpu = core.process.cpu_nanos();
    let started = Instant::now();
    for number in 0..per_second * seconds {
        beat.tick().await;
        let tenant = (number % u64::from(HELD)) as u32;
        common::flip(&mut writer, tenant, MODULE).await;
        fleet.commit(tenant);
    }
    let busy = (core.process.cpu_nanos() - cpu) as f64 / started.elapsed().as_nanos() as f64;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for reached in fleet.reached() {
        first.push(reached.first.as_secs_f64() * 1000.0);
        last.push(reached.last.as_secs_f64() * 1000.0);
        assert_eq!(reached.followers, followers, "somebody was not told");
    }
    let percentile = |values: &mut Vec<f64>, percent: usize| {
        values.sort_by(f64::total_cmp);
        values[(values.len() - 1) * percent / 100]
    };
    println!(
        "{} changes, {per_second} a second: from the commit's return to the first p50 {:.1} ms, to the last p50 {:.1} ms, p99 {:.1} ms; {:.0} % of a core",
        last.len(),
        percentile(&mut first, 50),
        percentile(&mut last, 50),
        percentile(&mut last, 99),
        busy * 100.0
    );
}

/// Those who follow, each over a connection of its own.
struct Fleet {
    commits: Arc<Mutex<Vec<Commit>>>,
}

/// A change, and whom it has reached.
struct Commit {
    tenant: TenantId,
    at: Instant,
    first: Option<Duration>,
    last: Duration,
    followers: usize,
}

struct Reached {
    first: Duration,
    last: Duration,
    followers: usize,
}

impl Fleet {
    async fn start(port: u16, followers: usize) -> Self {
        let commits = Arc::<Mutex<Vec<Commit>>>::default();
        let opened = Arc::<AtomicUsize>::default();
        for number in 0..followers {
            let (theirs, begun) = (Arc::clone(&commits), Arc::clone(&opened));
            tokio::spawn(async move { follow(port, &theirs, &begun).await });
            if number % 50 == 49 {
                while opened.load(Ordering::Relaxed) + 50 < number {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        while opened.load(Ordering::Relaxed) < followers {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { commits }
    }

    fn commit(&self, tenant: u32) {
        let tenant = TenantId::parse(&common::id(tenant)).unwrap();
        let commit =
            Commit { tenant, at: Instant::now(), first: None, last: Duration::ZERO, followers: 0 };
        self.commits.lock().unwrap().push(commit);
    }

    fn reached(&self) -> Vec<Reached> {
        let commits = self.commits.lock().unwrap();
        let reached = |commit: &Commit| Reached {
            first: commit.first.unwrap_or_default(),
            last: commit.last,
            followers: commit.followers,
        };
        commits.iter().map(reached).collect()
    }
}

async fn follow(port: u16, commits: &Mutex<Vec<Commit>>, opened: &AtomicUsize) {
    let url = format!("http://127.0.0.1:{port}");
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut client = ReplicationServiceClient::new(channel);
    let (sender, mut receiver) = mpsc::channel(4);
    sender.send(FollowFactsRequest { position: None::<Position>, ping: 1 }).await.unwrap();
    let requests = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let mut stream = client.follow_facts(requests).await.unwrap().into_inner();
    let mut beat = interval(Duration::from_secs(1));
    let mut ping = 1;
    loop {
        let message = tokio::select! {
            message = stream.message() => message.unwrap().expect("the stream goes on"),
            _ = beat.tick() => {
                ping += 1;
                sender.send(FollowFactsRequest { position: None, ping }).await.unwrap();
                continue;
            }
        };
        if message.opened.is_some() {
            opened.fetch_add(1, Ordering::Relaxed);
        }
        let Some(changes) = message.changes else { continue };
        let changes = FactChanges::decode(changes).unwrap();
        let now = Instant::now();
        let mut commits = commits.lock().unwrap();
        for facts in changes.facts {
            let id = uuid::Uuid::from_slice(&facts.tenant.unwrap().id).unwrap();
            let id = TenantId::from(id);
            // Of several changes of one tenant the last counts: the one that the facts are of.
            if let Some(commit) = commits.iter_mut().rev().find(|commit| commit.tenant == id) {
                let after = now - commit.at;
                commit.first.get_or_insert(after);
                commit.last = after;
                commit.followers += 1;
            }
        }
    }
}
