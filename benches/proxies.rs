//! What asking adds to a request through each proxy that is found here, with its shipped
//! configuration: without asking, asking a stub that grants everything alike, and asking
//! entitlementd, side by side in one run.
//!
//! Everything runs on the same cores. Rounds alternate; what counts is the ratio within a round.
//! BENCH_ROUNDS, BENCH_MILLIS (of a round) and BENCH_CONNECTIONS change what is run, and BENCH_ONLY
//! names one proxy. The programs are looked for on the PATH and in target/tools.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    reason = "a benchmark that fails ends"
)]

#[expect(dead_code, reason = "this benchmark needs a part")]
mod common;
#[path = "common/h1.rs"]
mod h1;
#[expect(dead_code, reason = "this benchmark needs a part")]
#[path = "../tests/it/harness/http.rs"]
mod http;
#[expect(dead_code, unused_imports, reason = "this benchmark needs a part")]
#[path = "../tests/it/harness/mesh/mod.rs"]
mod mesh;
#[path = "common/proxied.rs"]
mod proxied;
#[path = "common/stubs.rs"]
mod stubs;

use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

use common::{Process, keeper, postgres, process, quartiles};
use h1::{Answered, Connection, drive};
use mesh::Shipped;
use proxied::{PROXIES, Proxy};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TENANTS: u32 = 1_000;
const MODULE: &str = "finance";
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools");
/// How long a proxy may take to find its authorizer healthy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Not asking, asking the stub, asking entitlementd.
const KINDS: usize = 3;

fn main() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Ok(role) = env::var("BENCH_ROLE") {
        return runtime().block_on(stubs::serve(&role));
    }
    let Some(path) =
        env::var_os("PATH").filter(|path| !env::split_paths(path).any(|one| one == *TOOLS))
    else {
        return runtime().block_on(measure());
    };
    // Whatever starts a proxy looks for it on the PATH.
    let path = env::join_paths(env::split_paths(&path).chain([TOOLS.into()])).unwrap();
    let again = Command::new(env::current_exe().unwrap())
        .args(env::args_os().skip(1))
        .env("PATH", path)
        .status();
    assert!(again.unwrap().success());
}

fn request(tenant: &str) -> Vec<u8> {
    format!(
        "GET /api/v1/{MODULE}/things/17/lines?page=2 HTTP/1.1\r\nhost: service.internal\r\n\
         x-tenant-id: {tenant}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// entitlementd with these settings: its ports for services and for proxies.
fn start_ours(url: &str, routes: &str) -> (Process, u16, u16) {
    let mut command = process::program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", url, "--routes", routes]);
    command.args([
        "--forward-auth-listen",
        "127.0.0.1:0",
        "--tenant-header",
        "x-claimed-tenant-id",
    ]);
    // Only the shipped Envoy gives it another name.
    let dialects =
        ["nginx", "haproxy", "caddy", "traefik"].map(|name| format!("{name}=x-tenant-id"));
    command.args(["--forward-auth-tenant-header", &dialects.join(",")]);
    let mut process = Process::start(command);
    let proxies = process.port_in("proxies are answered");
    let port = process.port();
    process.wait_for(": ready");
    (process, port, proxies)
}

fn start_stub(role: &str) -> (Process, u16) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env("BENCH_ROLE", role);
    let mut process = Process::start(command);
    let port = process.port();
    (process, port)
}

/// Waits until a request passes, and makes sure that one of a tenant that nobody knows passes only
/// where entitlementd is not asked.
async fn settle(proxied: &Shipped, name: &str, is_judged: bool) {
    let began = Instant::now();
    let stranger = request("ffffffff-0000-4000-8000-000000000000");
    loop {
        let mut connection = Connection::open(proxied.address.port()).await;
        let answer = connection.ask(&request(&common::id(1))).await;
        if answer.starts_with(b"HTTP/1.1 200 ") {
            break;
        }
        let told = String::from_utf8_lossy(answer).into_owned();
        assert!(began.elapsed() < PATIENCE, "{name}: {told}\n{}", proxied.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut connection = Connection::open(proxied.address.port()).await;
    let passes = connection.ask(&stranger).await.starts_with(b"HTTP/1.1 200 ");
    assert_eq!(passes, !is_judged, "{name}: a tenant that nobody knows");
}

async fn measure() {
    let setting = |name: &str, default| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, millis) = (setting("BENCH_ROUNDS", 15), setting("BENCH_MILLIS", 1000));
    let connections = setting("BENCH_CONNECTIONS", 8);
    let folder = tempfile::tempdir().unwrap();
    let routes = folder.path().join("routes.csv");
    let rule =
        format!("path,methods,module_code\n/api/v1/{MODULE}/things/{{id}}/**,GET,{MODULE}\n");
    std::fs::write(&routes, rule).unwrap();
    let routes = routes.to_str().unwrap();
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    process::migrate(&url);
    common::fill(&url, TENANTS).await;
    let (_ours, services, proxies) = start_ours(&url, routes);
    let (_grpc, grpc) = start_stub("grpc");
    let (_http, http) = start_stub("http");
    let (_upstream, upstream) = start_stub("upstream");
    println!("machine: {}; everything on these", common::machine());
    println!("{rounds} rounds of {millis} ms each, {connections} connections; µs");
    let only = env::var("BENCH_ONLY").ok();
    for proxy in PROXIES.iter().filter(|proxy| only.as_ref().is_none_or(|only| only == proxy.name))
    {
        if !proxy.is_here() {
            println!("{}: not measured, for there is none on the PATH", proxy.name);
            continue;
        }
        let (stub, ours) =
            if proxy.kind.asks_over_http() { (http, proxies) } else { (grpc, services) };
        let authorizers = [stub, stub, ours];
        let instances: [Shipped; KINDS] =
            std::array::from_fn(|kind| proxy.start(upstream, authorizers[kind], kind > 0));
        for (kind, proxied) in instances.iter().enumerate() {
            settle(proxied, proxy.name, kind == 2).await;
        }
        let duration = Duration::from_millis(millis);
        let answered = rounds_of(&instances, rounds as usize, connections as usize, duration).await;
        show(proxy, &answered);
    }
}

async fn rounds_of(
    instances: &[Shipped; KINDS],
    rounds: usize,
    connections: usize,
    duration: Duration,
) -> [Vec<Answered>; KINDS] {
    let requests: Vec<Vec<u8>> = (0..TENANTS).map(|tenant| request(&common::id(tenant))).collect();
    for proxied in instances {
        drive(proxied.address.port(), &requests, connections, duration).await;
    }
    let mut answered: [Vec<Answered>; KINDS] = Default::default();
    for round in 0..rounds {
        for place in 0..KINDS {
            // Who goes first changes from round to round.
            let which = (place + round) % KINDS;
            let port = instances[which].address.port();
            answered[which].push(drive(port, &requests, connections, duration).await);
        }
    }
    answered
}

fn show(proxy: &Proxy, answered: &[Vec<Answered>; KINDS]) {
    println!("{} ({})", proxy.name, proxy.version());
    for (name, rounds) in ["without asking", "constant stub", "entitlementd"].iter().zip(answered) {
        let of = |figure: &dyn Fn(&Answered) -> f64| {
            quartiles(&rounds.iter().map(figure).collect::<Vec<_>>())[1]
        };
        println!(
            "  {name:<16} p50 {:>8.1}  p99 {:>8.1}  requests/s {:>8.0}",
            of(&|round| round.micros(50)),
            of(&|round| round.micros(99)),
            of(&|round| round.per_second())
        );
    }
    let [without, stub, ours] = answered;
    for percent in [50, 99] {
        let whole: Vec<f64> = ours
            .iter()
            .zip(stub)
            .map(|(ours, stub)| ours.micros(percent) / stub.micros(percent))
            .collect();
        let added: Vec<f64> = ours
            .iter()
            .zip(stub)
            .zip(without)
            .map(|((ours, stub), without)| {
                let without = without.micros(percent);
                (ours.micros(percent) - without) / (stub.micros(percent) - without)
            })
            .collect();
        let [low, median, high] = quartiles(&whole);
        print!("  p{percent}: {median:.3} ({low:.3} to {high:.3}) of the stub's");
        let [low, median, high] = quartiles(&added);
        println!(", what is added {median:.3} ({low:.3} to {high:.3})");
    }
}
