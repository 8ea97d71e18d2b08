//! What asking adds to a request through Envoy: with this service as its authorizer, with one that
//! answers the same each time, and without any, side by side in one run.
//!
//! Requests go one after the other over one connection, so that what is measured is a request's own
//! way. Rounds alternate; what counts is what is added within a round. BENCH_ROUNDS and
//! BENCH_REQUESTS (of a round) change what is run. It needs `envoy` on the PATH or in target/tools,
//! where tests/run puts it.

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
#[path = "../tests/it/harness/http.rs"]
mod http;
#[expect(dead_code, reason = "this benchmark needs a part")]
#[path = "../tests/it/harness/mesh/mod.rs"]
mod mesh;

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use common::{Process, keeper, postgres, process, quartiles};
use entitlementd::proto::{
    envoy::{
        CheckRequest, CheckResponse,
        service::auth::v3::{
            AttributeContext,
            attribute_context::{HttpRequest, Request as HttpAsked},
            authorization_client::AuthorizationClient,
            authorization_server::{Authorization, AuthorizationServer},
        },
    },
    v1::entitlement_service_server,
};
use mesh::{Kind, Shipped, Upstream};
use prost::Message;
use sqlx::{Connection, PgConnection, types::Uuid};
use tonic::{Request, Response, Status, transport::Channel};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TENANTS: u32 = 1_000;
const MODULE: &str = "finance";
const PATH: &str = "/api/v1/finance/things/17/lines?page=2";
/// Envoy passes nothing before it has found its authorizer to be healthy.
const FOUND_HEALTHY: Duration = Duration::from_secs(3);
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/envoy/envoy.yaml");
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools");

fn main() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if env::var("BENCH_ROLE").as_deref() == Ok("stub") {
        return runtime().block_on(serve_stub());
    }
    let Some(path) =
        env::var_os("PATH").filter(|path| !env::split_paths(path).any(|one| one == *TOOLS))
    else {
        return measure(&runtime());
    };
    // Whatever starts Envoy looks for it on the PATH.
    let path = env::join_paths(env::split_paths(&path).chain([TOOLS.into()])).unwrap();
    let again = Command::new(env::current_exe().unwrap())
        .args(env::args_os().skip(1))
        .env("PATH", path)
        .status();
    assert!(again.unwrap().success());
}

/// Answers the same each time.
struct Stub(CheckResponse);

#[tonic::async_trait]
impl Authorization for Stub {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

/// tonic's own server on one current-thread runtime, without layers. Envoy asks for its health.
async fn serve_stub() {
    let answer: Vec<u8> = serde_json::from_str(&env::var("BENCH_ANSWER").unwrap()).unwrap();
    let stub = AuthorizationServer::new(Stub(CheckResponse::decode(answer.as_slice()).unwrap()));
    let (health, service) = tonic_health::server::health_reporter();
    let name = entitlement_service_server::SERVICE_NAME;
    health.set_service_status(name, tonic_health::ServingStatus::Serving).await;
    let listener =
        tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    eprintln!("listening on {}", listener.local_addr().unwrap());
    let incoming = listener.with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_service(service).add_service(stub);
    server.serve_with_incoming(incoming).await.unwrap();
}

fn start_stub(answer: &CheckResponse) -> (Process, u16) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env("BENCH_ROLE", "stub").env("BENCH_ANSWER", format!("{:?}", answer.encode_to_vec()));
    let mut process = Process::start(command);
    let port = process.port();
    (process, port)
}

fn start_ours(url: &str, routes: &str) -> (Process, u16) {
    let mut command = process::program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", url]);
    command.args(["--routes", routes, "--tenant-header", "x-claimed-tenant-id"]);
    let mut process = Process::start(command);
    let port = process.port();
    process.wait_for(": ready");
    (process, port)
}

/// What the service answers about the request that is sent through Envoy.
async fn answer_of(port: u16) -> CheckResponse {
    let channel =
        Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap();
    let headers = [("x-claimed-tenant-id".to_owned(), common::id(1))].into();
    let http =
        HttpRequest { method: "GET".into(), path: PATH.into(), headers, ..Default::default() };
    let attributes =
        AttributeContext { source: None, request: Some(HttpAsked { http: Some(http) }) };
    let request = CheckRequest { attributes: attributes.encode_to_vec().into() };
    let answer = AuthorizationClient::new(channel).check(request).await.unwrap().into_inner();
    assert!(answer.ok_response.is_some(), "{answer:?}");
    answer
}

/// The part of the shipped configuration that asks.
fn filter() -> String {
    let text = std::fs::read_to_string(CONFIGURATION).unwrap();
    let from = text.find("          - name: envoy.filters.http.ext_authz").unwrap();
    let to = text.find("          - name: envoy.filters.http.router").unwrap();
    text[from..to].to_owned()
}

/// A client with one connection.
struct Client(TcpStream);

impl Client {
    fn new(envoy: &Shipped) -> Self {
        let stream = TcpStream::connect(envoy.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(stream)
    }

    /// Nanoseconds until the answer is there, which must be the upstream's.
    fn ask(&mut self) -> f64 {
        let began = Instant::now();
        let status = self.status();
        let nanos = began.elapsed().as_nanos() as f64;
        assert_eq!(status, 200);
        nanos
    }

    fn status(&mut self) -> u16 {
        let request = format!(
            "GET {PATH} HTTP/1.1\r\nhost: service.internal\r\nx-tenant-id: {}\r\n\r\n",
            common::id(1)
        );
        self.0.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut buffer) = (Vec::new(), [0; 8192]);
        loop {
            let read = self.0.read(&mut buffer).unwrap();
            assert!(read > 0, "Envoy closed the connection");
            answer.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return head.split(' ').nth(1).unwrap().parse().unwrap();
            }
        }
    }

    fn p50_micros(&mut self, requests: usize) -> f64 {
        let nanos: Vec<f64> = (0..requests).map(|_| self.ask()).collect();
        quartiles(&nanos)[1] / 1000.0
    }
}

/// Milliseconds from a commit by SQL until the paths of a module are open, or closed, through
/// Envoy.
fn flips(runtime: &tokio::runtime::Runtime, upstream: u16, routes: &str, changes: u32) {
    let cluster = postgres::Cluster::start(&["log_statement=none"]);
    let url = cluster.url(&runtime.block_on(cluster.migrated_database()));
    runtime.block_on(common::fill_postgres(&url, TENANTS));
    let (_ours, ours) = start_ours(&url, routes);
    let envoy = Shipped::start(Kind::Envoy, upstream, ours);
    thread::sleep(FOUND_HEALTHY);
    let mut client = Client::new(&envoy);
    let mut writer = runtime.block_on(PgConnection::connect(&url)).unwrap();
    let module = common::MODULES.iter().position(|module| *module == MODULE).unwrap();
    let row: Uuid = common::subscription(1, module as u32).parse().unwrap();
    let mut millis: Vec<f64> = Vec::new();
    for number in 0..changes {
        let (word, status) = if number % 2 == 0 { ("suspended", 403) } else { ("active", 200) };
        let sql = "UPDATE tenant_subscriptions SET status = $1 WHERE id = $2";
        runtime.block_on(sqlx::query(sql).bind(word).bind(row).execute(&mut writer)).unwrap();
        let committed = Instant::now();
        while client.status() != status {
            assert!(committed.elapsed() < Duration::from_secs(10), "{status} does not come");
        }
        millis.push(committed.elapsed().as_secs_f64() * 1000.0);
    }
    millis.sort_by(f64::total_cmp);
    let percentile = |percent: usize| millis[(millis.len() - 1) * percent / 100];
    let (p50, p99, longest) = (percentile(50), percentile(99), percentile(100));
    println!(
        "{changes} subscriptions changed by SQL, ms until Envoy says so: p50 {p50:.1}, p99 {p99:.1}, longest {longest:.1}"
    );
}

fn measure(runtime: &tokio::runtime::Runtime) {
    let setting = |name: &str, default| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, requests) = (setting("BENCH_ROUNDS", 17), setting("BENCH_REQUESTS", 2_000));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    process::migrate(&url);
    runtime.block_on(common::fill(&url, TENANTS));
    let routes = folder.path().join("routes.csv");
    std::fs::write(
        &routes,
        format!("path,methods,module_code\n/api/v1/{MODULE}/things/{{id}}/**,GET,{MODULE}\n"),
    )
    .unwrap();
    let (_ours, ours) = start_ours(&url, routes.to_str().unwrap());
    let answer = runtime.block_on(answer_of(ours));
    let (_stub, stub) = start_stub(&answer);
    let (told, upstream) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let upstream = Upstream::start().await;
            told.send(upstream.port).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let upstream = upstream.recv().unwrap();
    let envoys = [
        Shipped::start_changed(Kind::Envoy, upstream, ours, &[(&filter(), "")]),
        Shipped::start(Kind::Envoy, upstream, stub),
        Shipped::start(Kind::Envoy, upstream, ours),
    ];
    thread::sleep(FOUND_HEALTHY);
    let mut clients = envoys.each_ref().map(Client::new);
    clients.iter_mut().for_each(|client| _ = client.p50_micros(requests));

    let mut figures: [Vec<f64>; 3] = Default::default();
    for round in 0..rounds {
        for place in 0..clients.len() {
            // Who goes first changes from round to round.
            let which = (place + round) % clients.len();
            figures[which].push(clients[which].p50_micros(requests));
        }
    }
    println!("machine: {}; everything on these", common::machine());
    println!("{rounds} rounds of {requests} requests, one after the other; µs");
    for (name, values) in ["no filter", "constant stub", "entitlementd"].iter().zip(&figures) {
        let [low, median, high] = quartiles(values);
        println!("{name:<16} p50 {median:>8.1} ({low:.1} to {high:.1})");
    }
    let [without, stub, ours] = figures;
    let added = |with: &[f64]| {
        with.iter().zip(&without).map(|(with, without)| with - without).collect::<Vec<_>>()
    };
    let (stub, ours) = (added(&stub), added(&ours));
    let ratios: Vec<f64> = ours.iter().zip(&stub).map(|(ours, stub)| ours / stub).collect();
    for (name, values) in [("by the stub", &stub), ("by entitlementd", &ours)] {
        println!("added {name:<18} {:>8.1}", quartiles(values)[1]);
    }
    let [low, median, high] = quartiles(&ratios);
    println!("ratio of what is added: {median:.3} ({low:.3} to {high:.3})");
    flips(runtime, upstream, routes.to_str().unwrap(), setting("BENCH_CHANGES", 400) as u32);
}
