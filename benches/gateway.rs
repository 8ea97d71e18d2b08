//! What a proxy's question costs: external authorization against CheckModule, side by side in one
//! run, and the route map.
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
    let mut process = Process::start(command);
    let port = process.port();
    process.wait_for(": ready");

    let checks: Vec<Vec<u8>> = (0..TENANTS).map(check_module).collect();
    let inquiries: Vec<Vec<u8>> = (0..TENANTS).map(ext_authz).collect();
    println!("machine: {}", common::machine());
    println!(
        "requests of {} and {} bytes; {rounds} rounds of {millis} ms each",
        checks[0].len(),
        inquiries[0].len()
    );
    let duration = Duration::from_millis(millis);
    drive(port, CHECK_MODULE, &checks, &ALLOWED, LOAD, duration).await;
    let mut figures: [[Vec<f64>; 2]; 2] = Default::default();
    for number in 0..rounds {
        for which in [number % 2, 1 - number % 2] {
            let before = process.cpu_nanos();
            let outcome = match which {
                0 => drive(port, CHECK_MODULE, &checks, &ALLOWED, LOAD, duration).await,
                _ => drive(port, EXT_AUTHZ, &inquiries, &OK, LOAD, duration).await,
            };
            let cpu = (process.cpu_nanos() - before) as f64 / 1000.0 / outcome.answers as f64;
            let [per_second, cpu_micros] = &mut figures[which as usize];
            per_second.push(outcome.per_second());
            cpu_micros.push(cpu);
        }
    }
    println!(
        "{:<14}{:>14}{:>14}   ratio (quartiles), {RULES} rules",
        "", "CheckModule", "ext_authz"
    );
    let [plain, mesh] = figures;
    for (name, plain, mesh) in
        [("requests/s", &plain[0], &mesh[0]), ("CPU µs", &plain[1], &mesh[1])]
    {
        let ratios: Vec<f64> = mesh.iter().zip(plain).map(|(mesh, plain)| mesh / plain).collect();
        let [low, median, high] = quartiles(&ratios);
        let [plain, mesh] = [plain, mesh].map(|values| quartiles(values)[1]);
        println!("{name:<14}{plain:>14.1}{mesh:>14.1}   {median:.3} ({low:.3} to {high:.3})");
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
