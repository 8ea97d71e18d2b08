//! What a proxy's question costs: external authorization and forward auth against CheckModule, side
//! by side in one run, and the route map.
//!
//! Over HTTP/1.1 a connection carries one request at a time, so forward auth is compared with
//! CheckModule over as many connections with one request in flight on each.
//!
//! The server has a core to itself and the load has the other one. Rounds alternate; what counts is
//! the ratio within a round. BENCH_ROUNDS and BENCH_MILLIS (of a round) change what is run.

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
#[path = "common/h1.rs"]
mod h1;
#[expect(dead_code, reason = "this benchmark needs a part")]
#[path = "common/load.rs"]
mod load;

use std::{
    env,
    hint::black_box,
    time::{Duration, Instant},
};

use common::{Process, program_on_core, quartiles};
use entitlementd::{
    proto::{
        envoy::{
            CheckRequest,
            service::auth::v3::{
                AttributeContext,
                attribute_context::{HttpRequest, Request},
            },
        },
        v1::CheckModuleRequest,
    },
    routes::{Access, Origin, PathReading, PathTemplate, RouteMap, Rule},
};
use load::{body, drive};
use prost::Message;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHECK_MODULE: &str = "/entitlement.v1.EntitlementService/CheckModule";
const EXT_AUTHZ: &str = "/envoy.service.auth.v3.Authorization/Check";
/// `allowed: true`, the first field of the answer.
const ALLOWED: [u8; 2] = [0x08, 0x01];
/// An empty status, and the beginning of an `ok_response`.
const OK: [u8; 3] = [0x0a, 0x00, 0x1a];
const TENANTS: u32 = 1_000;
const RULES: usize = 2_000;
/// Connections, and streams on each.
const LOAD: [usize; 2] = [10, 20];
/// As many requests in flight, each on a connection of its own.
const SINGLE: [usize; 2] = [200, 1];

fn main() {
    if env::var("BENCH_ROLE").as_deref() == Ok("load") {
        measure_map();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(measure());
    }
    common::run_as("load", "1");
}

fn module(tenant: u32) -> &'static str {
    common::MODULES[tenant as usize % common::MODULES.len()]
}

fn check_module(tenant: u32) -> Vec<u8> {
    let (tenant_id, module_code) = (common::id(tenant), module(tenant).to_owned());
    body(&CheckModuleRequest { tenant_id, module_code, ..Default::default() })
}

/// What the shipped Envoy sends about the same question.
fn ext_authz(tenant: u32) -> Vec<u8> {
    let headers = [
        ("x-tenant-id".to_owned(), common::id(tenant)),
        (":authority".to_owned(), "service.internal".to_owned()),
        (":method".to_owned(), "GET".to_owned()),
        (":path".to_owned(), format!("/api/v1/{}/things/17/lines?page=2", module(tenant))),
        (":scheme".to_owned(), "http".to_owned()),
    ];
    let http = HttpRequest {
        id: "4f5a1c0e-7d1b-4a39-9f0a-1f0a5b6c7d8e".to_owned(),
        method: "GET".to_owned(),
        path: headers[3].1.clone(),
        host: "service.internal".to_owned(),
        headers: headers.into(),
        header_map: None,
    };
    let attributes = AttributeContext { source: None, request: Some(Request { http: Some(http) }) };
    body(&CheckRequest { attributes: attributes.encode_to_vec().into() })
}

/// What the shipped nginx sends about the same question.
fn forward_auth(tenant: u32) -> Vec<u8> {
    format!(
        "GET /auth/nginx HTTP/1.1\r\nHost: entitlementd\r\nX-Request-Id: {tenant:032x}\r\n\
         X-Original-Method: GET\r\nX-Original-URI: /api/v1/{}/things/17/lines?page=2\r\n\
         X-Original-Host: service.internal\r\nx-tenant-id: {}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n",
        module(tenant),
        common::id(tenant)
    )
    .into_bytes()
}

/// What is measured in turns.
#[derive(Clone, Copy)]
enum Kind {
    Check,
    ExtAuthz,
    CheckSingle,
    ForwardAuth,
}

/// Requests a second, CPU of each in µs, and the part of its core that the server was busy.
type Figures = [Vec<f64>; 3];

async fn measure() {
    let setting = |name: &str, default: u64| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, millis) = (setting("BENCH_ROUNDS", 15), setting("BENCH_MILLIS", 1000));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    common::process::migrate(&url);
    common::fill(&url, TENANTS).await;
    let routes = folder.path().join("routes.csv");
    let rows = (0..RULES).map(|number| match common::MODULES.get(number) {
        Some(module) => format!("/api/v1/{module}/things/{{id}}/**,GET,{module}\n"),
        None => format!("/api/v1/service-{}/{{id}}/part-{number},GET,finance\n", number % 50),
    });
    std::fs::write(&routes, "path,methods,module_code\n".to_owned() + &rows.collect::<String>())
        .unwrap();
    let mut command = program_on_core("0");
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", &url]);
    command.args(["--routes", routes.to_str().unwrap(), "--metrics-listen", "127.0.0.1:0"]);
    command.args(["--forward-auth-listen", "127.0.0.1:0", "--forward-auth-codes", "nginx"]);
    let mut process = Process::start(command);
    let proxies = process.port_in("proxies are answered");
    let port = process.port();
    process.wait_for(": ready");

    let checks: Vec<Vec<u8>> = (0..TENANTS).map(check_module).collect();
    let inquiries: Vec<Vec<u8>> = (0..TENANTS).map(ext_authz).collect();
    let questions: Vec<Vec<u8>> = (0..TENANTS).map(forward_auth).collect();
    println!("machine: {}", common::machine());
    println!(
        "requests of {}, {} and {} bytes; {rounds} rounds of {millis} ms each",
        checks[0].len(),
        inquiries[0].len(),
        questions[0].len()
    );
    let duration = Duration::from_millis(millis);
    drive(port, CHECK_MODULE, &checks, &ALLOWED, LOAD, duration).await;
    h1::drive(proxies, &questions, SINGLE[0], duration).await;
    let kinds = [Kind::Check, Kind::ExtAuthz, Kind::CheckSingle, Kind::ForwardAuth];
    let mut figures: [Figures; 4] = Default::default();
    for round in 0..rounds as usize {
        for place in 0..kinds.len() {
            // Who goes first changes from round to round.
            let which = (place + round) % kinds.len();
            let before = process.cpu_nanos();
            let (answers, elapsed) = match kinds[which] {
                Kind::Check => once(port, CHECK_MODULE, &checks, &ALLOWED, LOAD, duration).await,
                Kind::ExtAuthz => once(port, EXT_AUTHZ, &inquiries, &OK, LOAD, duration).await,
                Kind::CheckSingle => {
                    once(port, CHECK_MODULE, &checks, &ALLOWED, SINGLE, duration).await
                }
                Kind::ForwardAuth => {
                    let answered = h1::drive(proxies, &questions, SINGLE[0], duration).await;
                    (answered.latencies.len() as f64, answered.elapsed)
                }
            };
            let micros = (process.cpu_nanos() - before) as f64 / 1000.0;
            let [per_second, cpu, busy] = &mut figures[which];
            per_second.push(answers / elapsed.as_secs_f64());
            cpu.push(micros / answers);
            busy.push(micros / 1e6 / elapsed.as_secs_f64());
        }
    }
    let [check, ext_authz, check_single, forward_auth] = &figures;
    compare(["CheckModule", "ext_authz"], LOAD, check, ext_authz);
    compare(["CheckModule", "forward auth"], SINGLE, check_single, forward_auth);
    compare(["CheckModule 10x20", "forward auth"], SINGLE, check, forward_auth);
}

/// Calls a method for a while: how many answers came, and how long it took.
async fn once(
    port: u16,
    path: &str,
    bodies: &[Vec<u8>],
    answer: &[u8],
    load: [usize; 2],
    duration: Duration,
) -> (f64, Duration) {
    let outcome = drive(port, path, bodies, answer, load, duration).await;
    (outcome.answers as f64, outcome.elapsed)
}

fn compare(names: [&str; 2], [connections, streams]: [usize; 2], plain: &Figures, other: &Figures) {
    println!(
        "{:<14}{:>18}{:>14}   ratio (quartiles), {connections} x {streams}, {RULES} rules",
        "", names[0], names[1]
    );
    for (number, name) in ["requests/s", "CPU µs", "core busy"].iter().enumerate() {
        let (plain, other) = (&plain[number], &other[number]);
        let ratios: Vec<f64> =
            other.iter().zip(plain).map(|(other, plain)| other / plain).collect();
        let [low, median, high] = quartiles(&ratios);
        let [plain, other] = [plain, other].map(|values| quartiles(values)[1]);
        println!("{name:<14}{plain:>18.2}{other:>14.2}   {median:.3} ({low:.3} to {high:.3})");
    }
}

/// How long it takes to find the rule of a path.
fn measure_map() {
    let template = |number: usize| format!("/api/v1/service-{}/{{id}}/part-{number}", number % 50);
    let rules = (0..RULES).map(|number| {
        let path = PathTemplate::parse(&template(number)).unwrap();
        Rule::new(path, Access::Tenant, Origin::File(number))
    });
    let started = Instant::now();
    let (map, _) = RouteMap::new(rules.collect(), PathReading::Any);
    println!("{RULES} rules are put together in {:?}", started.elapsed());
    let plain: Vec<String> =
        (0..RULES).map(|number| template(number).replace("{id}", "4711") + "?a=b").collect();
    let odd: Vec<String> = plain.iter().map(|path| path.replace("/part", "/%70art")).collect();
    for (name, paths) in [("plain paths", plain), ("paths with a needless encoding", odd)] {
        let rounds = 100;
        let started = Instant::now();
        for path in (0..rounds).flat_map(|_| &paths) {
            _ = black_box(map.find("GET", black_box(path)));
        }
        println!(
            "{name}: {:.0} ns each",
            started.elapsed().as_nanos() as f64 / (rounds * paths.len()) as f64
        );
    }
}
