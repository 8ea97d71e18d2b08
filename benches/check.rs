//! CheckModule against a bare tonic service, side by side in one run.
//!
//! Each server has a core to itself and the load has the other one. Rounds alternate; what counts
//! is the ratio within a round. BENCH_ROUNDS, BENCH_MILLIS (of a round) and BENCH_ONLY (part of a
//! name, such as `10 x 20` or `hot`) change what is run.

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

use std::{collections::BTreeMap, env, time::Duration};

use common::{Process, on_core, program_on_core, quartiles};
use entitlementd::proto::v1::{
    AuthorizeRequest, AuthorizeResponse, BatchCheckFeaturesRequest, BatchCheckFeaturesResponse,
    BatchCheckModulesRequest, BatchCheckModulesResponse, CheckFeatureRequest, CheckFeatureResponse,
    CheckLimitRequest, CheckLimitResponse, CheckModuleRequest, CheckModuleResponse,
    ExplainFeatureRequest, ExplainFeatureResponse, ExplainLimitRequest, ExplainLimitResponse,
    ExplainModuleRequest, ExplainModuleResponse, ListEnabledModulesRequest,
    ListEnabledModulesResponse, ListTenantIdsRequest, ListTenantIdsResponse, ResolveTenantRequest,
    ResolveTenantResponse, WatchChangesRequest, WatchChangesResponse,
    entitlement_service_server::{EntitlementService, EntitlementServiceServer},
};
use load::{Outcome, body, drive};
use prost::Message;
use tonic::{Request, Response, Status};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PATH: &str = "/entitlement.v1.EntitlementService/CheckModule";
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";
const TENANTS: u32 = 100_000;
const HOT: u32 = 1_000;
/// Streams of WatchChanges that are open meanwhile.
const WATCHERS: usize = 1_000;
/// `allowed: true`, the first field of the answer.
const ALLOWED: [u8; 2] = [0x08, 0x01];

/// Connections, and streams on each.
const LOADS: [[usize; 2]; 2] = [[1, 1], [10, 20]];

fn main() {
    let role = env::var("BENCH_ROLE").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match role.as_str() {
        "bare" => runtime.block_on(serve_bare()),
        "load" => runtime.block_on(measure()),
        _ => common::run_as("load", LOAD_CORE),
    }
}

/// Returns a constant answer of the size of ours.
struct Bare(CheckModuleResponse);

#[tonic::async_trait]
impl EntitlementService for Bare {
    async fn check_module(
        &self,
        _: Request<CheckModuleRequest>,
    ) -> Result<Response<CheckModuleResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn resolve_tenant(
        &self,
        _: Request<ResolveTenantRequest>,
    ) -> Result<Response<ResolveTenantResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn batch_check_modules(
        &self,
        _: Request<BatchCheckModulesRequest>,
    ) -> Result<Response<BatchCheckModulesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_enabled_modules(
        &self,
        _: Request<ListEnabledModulesRequest>,
    ) -> Result<Response<ListEnabledModulesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_tenant_ids(
        &self,
        _: Request<ListTenantIdsRequest>,
    ) -> Result<Response<ListTenantIdsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn check_feature(
        &self,
        _: Request<CheckFeatureRequest>,
    ) -> Result<Response<CheckFeatureResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn batch_check_features(
        &self,
        _: Request<BatchCheckFeaturesRequest>,
    ) -> Result<Response<BatchCheckFeaturesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn check_limit(
        &self,
        _: Request<CheckLimitRequest>,
    ) -> Result<Response<CheckLimitResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn authorize(
        &self,
        _: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn explain_module(
        &self,
        _: Request<ExplainModuleRequest>,
    ) -> Result<Response<ExplainModuleResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn explain_feature(
        &self,
        _: Request<ExplainFeatureRequest>,
    ) -> Result<Response<ExplainFeatureResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn explain_limit(
        &self,
        _: Request<ExplainLimitRequest>,
    ) -> Result<Response<ExplainLimitResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type WatchChangesStream = futures_util::stream::Pending<Result<WatchChangesResponse, Status>>;

    async fn watch_changes(
        &self,
        _: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// tonic's own server in its fastest configuration here: one current-thread runtime, no layers.
async fn serve_bare() {
    let answer: Vec<u8> = serde_json::from_str(&env::var("BENCH_ANSWER").unwrap()).unwrap();
    let answer = CheckModuleResponse::decode(answer.as_slice()).unwrap();
    let listener =
        tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    eprintln!("listening on {}", listener.local_addr().unwrap());
    let service = EntitlementServiceServer::new(Bare(answer));
    let incoming = listener.with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}

/// A server under load.
struct Server {
    process: Process,
    port: u16,
}

fn start_ours(url: &str) -> Server {
    let mut command = program_on_core(SERVER_CORE);
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--database-url",
        url,
        "--metrics-listen",
        "127.0.0.1:0",
    ]);
    let mut process = Process::start(command);
    let port = process.port();
    process.wait_for(": ready");
    Server { process, port }
}

fn start_bare(answer: &[u8]) -> Server {
    let mut command = on_core(SERVER_CORE, env::current_exe().unwrap());
    command.env("BENCH_ROLE", "bare").env("BENCH_ANSWER", format!("{answer:?}"));
    let mut process = Process::start(command);
    let port = process.port();
    Server { process, port }
}

fn request(tenant: u32) -> CheckModuleRequest {
    let module = common::MODULES[tenant as usize % common::MODULES.len()];
    CheckModuleRequest {
        tenant_id: common::id(tenant),
        module_code: module.into(),
        ..Default::default()
    }
}

/// What one server did in one round.
#[derive(Clone)]
struct Figures {
    per_second: f64,
    cpu_micros: f64,
    p50_micros: f64,
    p99_micros: f64,
}

async fn round(
    server: &Server,
    bodies: &[Vec<u8>],
    load: [usize; 2],
    duration: Duration,
) -> Figures {
    let before = server.process.cpu_nanos();
    let outcome: Outcome = drive(server.port, PATH, bodies, &ALLOWED, load, duration).await;
    let cpu = server.process.cpu_nanos() - before;
    Figures {
        per_second: outcome.per_second(),
        cpu_micros: cpu as f64 / 1000.0 / outcome.answers as f64,
        p50_micros: outcome.percentile(50) / 1000.0,
        p99_micros: outcome.percentile(99) / 1000.0,
    }
}

async fn measure() {
    let setting = |name: &str, default: u64| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let rounds = setting("BENCH_ROUNDS", 17);
    let only = env::var("BENCH_ONLY").unwrap_or_default();
    let duration = Duration::from_millis(setting("BENCH_MILLIS", 1000));

    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    common::process::migrate(&url);
    common::fill(&url, TENANTS).await;
    let ours = start_ours(&url);
    let all: Vec<Vec<u8>> = (0..TENANTS).map(|tenant| body(&request(tenant))).collect();
    warm(&ours, &all).await;
    let _watches = watch(&ours).await;
    let answer = one_answer(&ours).await;
    let bare = start_bare(&answer);

    println!(
        "machine: {}; server on core {SERVER_CORE}, load on core {LOAD_CORE}",
        common::machine()
    );
    println!(
        "request {} bytes, answer {} bytes; {rounds} rounds of {duration:?} each",
        all[0].len(),
        answer.len() + 5
    );
    let mut figures: BTreeMap<String, Vec<[Figures; 2]>> = BTreeMap::new();
    for number in 0..rounds {
        for load in LOADS {
            for (which, bodies) in
                [("1 000 hot", &all[..HOT as usize]), ("100 000 at random", &all[..])]
            {
                let name = format!("{} x {}, {which}", load[0], load[1]);
                if !name.contains(&only) {
                    continue;
                }
                // Who goes first alternates.
                let (first, second) = if number % 2 == 0 { (&bare, &ours) } else { (&ours, &bare) };
                let a = round(first, bodies, load, duration).await;
                let b = round(second, bodies, load, duration).await;
                let pair = if number % 2 == 0 { [a, b] } else { [b, a] };
                figures.entry(name).or_default().push(pair);
            }
        }
    }
    for (name, pairs) in figures {
        print(&name, &pairs);
    }
}

/// Watches changes many times over, as callers in production do.
async fn watch(server: &Server) -> Vec<tonic::Streaming<WatchChangesResponse>> {
    let mut watches = Vec::new();
    while watches.len() < WATCHERS {
        let mut client = common::connect(&format!("127.0.0.1:{}", server.port)).await;
        for _ in 0..WATCHERS / 5 {
            let watch = client.watch_changes(WatchChangesRequest::default()).await.unwrap();
            watches.push(watch.into_inner());
        }
    }
    watches
}

/// Asks for every tenant once, so that all are held.
async fn warm(server: &Server, all: &[Vec<u8>]) {
    let mut client = common::connect(&format!("127.0.0.1:{}", server.port)).await;
    client.check_module(request(0)).await.unwrap();
    for chunk in (0..all.len() as u32).collect::<Vec<_>>().chunks(100) {
        let ask = |tenant: &u32| {
            let mut client = client.clone();
            let request = request(*tenant);
            async move { client.check_module(request).await.unwrap() }
        };
        futures_util::future::join_all(chunk.iter().map(ask)).await;
    }
}

async fn one_answer(server: &Server) -> Vec<u8> {
    let mut client = common::connect(&format!("127.0.0.1:{}", server.port)).await;
    client.check_module(request(0)).await.unwrap().into_inner().encode_to_vec()
}

fn print(name: &str, pairs: &[[Figures; 2]]) {
    println!("\n{name}");
    println!("{:<14}{:>24}{:>24}{:>27}", "", "bare", "entitlementd", "ratio (quartiles)");
    let row = |label: &str, of: fn(&Figures) -> f64| {
        let bare: Vec<f64> = pairs.iter().map(|pair| of(&pair[0])).collect();
        let ours: Vec<f64> = pairs.iter().map(|pair| of(&pair[1])).collect();
        let ratios: Vec<f64> = pairs.iter().map(|pair| of(&pair[1]) / of(&pair[0])).collect();
        let [low, median, high] = quartiles(&ratios);
        println!(
            "{label:<14}{:>24.1}{:>24.1}{:>27}",
            quartiles(&bare)[1],
            quartiles(&ours)[1],
            format!("{median:.3} ({low:.3} to {high:.3})")
        );
    };
    row("requests/s", |figures| figures.per_second);
    row("CPU µs", |figures| figures.cpu_micros);
    row("p50 µs", |figures| figures.p50_micros);
    row("p99 µs", |figures| figures.p99_micros);
}
