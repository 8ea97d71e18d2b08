//! What users notice when one of two instances that Envoy asks is killed, hangs or drains: nothing
//! but, at a hung one, a wait.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::harness::{
    Database, Row,
    http::Metrics,
    id,
    mesh::{Kind, Shipped, Upstream, send_to},
    postgres::free_port,
    process::{Process, until_serving},
    until_so,
};

/// Users who ask at the same time, each over a connection of its own.
const USERS: u32 = 16;
/// So many requests are answered before something happens, and again once it has.
const A_WHILE: u64 = 500;
/// How long an instance may take for an answer before another one is asked, as Envoy is told.
const TRY: Duration = Duration::from_millis(1200);

/// A server in a process of its own, which comes back under the same address.
struct Instance {
    process: Process,
    address: String,
    metrics: SocketAddr,
    url: String,
}

impl Instance {
    async fn start(url: &str, address: String) -> Self {
        let flags = [
            "--database-url",
            url,
            "--listen",
            &address,
            "--metrics-listen",
            "127.0.0.1:0",
            "--tenant-header",
            "x-claimed-tenant-id",
            "--unmatched",
            "tenant",
        ];
        let mut process = Process::serve(&flags);
        let metrics = process.address_of("metrics").parse().unwrap();
        until_serving(&address).await;
        Self { process, address, metrics, url: url.to_owned() }
    }

    async fn start_again(&mut self) {
        *self = Self::start(&self.url, self.address.clone()).await;
    }

    /// How many questions it has answered.
    async fn answered(&self) -> f64 {
        let metrics = Metrics::read(self.metrics).await;
        let of_envoy = |(series, value): (&String, &f64)| {
            series.starts_with("entitlementd_gateway_requests_total{").then_some(*value)
        };
        metrics.samples.iter().filter_map(of_envoy).sum()
    }

    /// Waits until it is asked, however often it was before: often enough that Envoy has forgotten
    /// the connections that it refused.
    async fn until_it_is_asked(&self) {
        let wanted = self.answered().await + 100.;
        until_so("the instance is asked", async || self.answered().await >= wanted).await;
    }
}

/// Two instances, an Envoy that asks them, and users.
struct World {
    instances: [Instance; 2],
    envoy: Shipped,
    load: Load,
    _upstream: Upstream,
    _database: Database,
}

impl World {
    async fn start() -> Self {
        let database = Database::postgres().await;
        for tenant in 1..=USERS {
            database.mk_subscribed(tenant, "finance", Row::default()).await;
        }
        let addresses = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let [one, other] = addresses;
        let instances = [
            Instance::start(&database.url, one).await,
            Instance::start(&database.url, other).await,
        ];
        let upstream = Upstream::start().await;
        let envoy = in_front_of(&instances, upstream.port);
        until_so("Envoy has found an instance", async || {
            send_to(envoy.address, "GET", "/any", &[("x-tenant-id", &id(1))]).await.status == 200
        })
        .await;
        let load = Load::start(envoy.address);
        for instance in &instances {
            instance.until_it_is_asked().await;
        }
        load.go_on(A_WHILE).await;
        Self { instances, envoy, load, _upstream: upstream, _database: database }
    }

    /// Ends the load, in which nobody may have been refused; gives how long the slowest answer took.
    async fn end(self) -> Duration {
        let seen = self.load.end().await;
        let log = self.envoy.log();
        let refusals = log.lines().filter(|line| !line.contains("\"status\":200"));
        let first: Vec<_> = refusals.take(5).collect();
        assert_eq!(seen.others, Vec::<String>::new(), "{first:#?}");
        println!("the slowest of {} requests took {:?}", seen.requests, seen.slowest);
        seen.slowest
    }
}

/// The shipped configuration with two addresses in the place of one.
fn in_front_of(instances: &[Instance; 2], upstream: u16) -> Shipped {
    let endpoint = |port: &str| {
        format!(
            "- endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}"
        )
    };
    let ports = instances.each_ref().map(|instance| instance.address.rsplit_once(':').unwrap().1);
    // The first stays as it is shipped, and is given its port with the others.
    let [one, other] = ["50051", ports[1]].map(endpoint);
    let both = format!("{one}\n        {other}");
    Shipped::start_changed(Kind::Envoy, upstream, ports[0].parse().unwrap(), &[(&one, &both)])
}

/// Users who ask without a pause.
struct Load {
    answered: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    users: JoinSet<Seen>,
}

/// What users saw.
#[derive(Default)]
struct Seen {
    requests: u64,
    slowest: Duration,
    /// Answers that were not the service's: the first of each user.
    others: Vec<String>,
}

impl Load {
    fn start(envoy: SocketAddr) -> Self {
        let (answered, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let users = (1..=USERS)
            .map(|tenant| user(envoy, id(tenant), Arc::clone(&answered), Arc::clone(&ends)))
            .collect();
        Self { answered, ends, users }
    }

    /// Waits until so many more requests were answered.
    async fn go_on(&self, requests: u64) {
        let wanted = self.answered.load(Relaxed) + requests;
        until_so("more was answered", async || self.answered.load(Relaxed) >= wanted).await;
    }

    async fn end(self) -> Seen {
        self.ends.store(true, Relaxed);
        self.users.join_all().await.into_iter().fold(Seen::default(), |mut all, one| {
            all.requests += one.requests;
            all.slowest = all.slowest.max(one.slowest);
            all.others.extend(one.others);
            all
        })
    }
}

/// Asks over one connection until the end.
async fn user(
    envoy: SocketAddr,
    tenant: String,
    answered: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
) -> Seen {
    let stream = TcpStream::connect(envoy).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut seen = Seen::default();
    while !ends.load(Relaxed) {
        let request = Request::get("/any")
            .header("host", "service.internal")
            .header("x-tenant-id", &tenant)
            .body(Empty::<Bytes>::new())
            .unwrap();
        let sent = Instant::now();
        let reply = sender.send_request(request).await.unwrap();
        let status = reply.status();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        seen.requests += 1;
        seen.slowest = seen.slowest.max(sent.elapsed());
        answered.fetch_add(1, Relaxed);
        if status != 200 && seen.others.is_empty() {
            let after = sent.elapsed();
            seen.others
                .push(format!("{status} after {after:?}: {}", String::from_utf8_lossy(&body)));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_instances_is_killed_again_and_again_and_nobody_is_refused() {
    let mut world = World::start().await;
    for round in 0..6 {
        let instance = &mut world.instances[round % 2];
        instance.process.signal("KILL");
        world.load.go_on(A_WHILE).await;
        instance.start_again().await;
        instance.until_it_is_asked().await;
    }
    let slowest = world.end().await;
    assert!(slowest < 2 * TRY, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asked_an_instance_that_hangs_is_answered_by_the_other_one() {
    let world = World::start().await;
    let [hung, _] = &world.instances;
    hung.process.signal("STOP");
    // More than are answered as long as every other question waits for the one that hangs.
    world.load.go_on(3 * A_WHILE).await;
    hung.process.signal("CONT");
    hung.until_it_is_asked().await;
    let slowest = world.end().await;
    assert!(slowest >= TRY, "nobody asked it while it hung: {slowest:?}");
    assert!(slowest < 2 * TRY, "who was not answered asked it again: {slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_are_replaced_one_by_one_refuse_nobody() {
    let mut world = World::start().await;
    for instance in &mut world.instances {
        instance.process.signal("TERM");
        assert_eq!(
            instance.process.wait(Duration::from_secs(30)),
            0,
            "{}",
            instance.process.logged
        );
        world.load.go_on(A_WHILE).await;
        instance.start_again().await;
        instance.until_it_is_asked().await;
    }
    let slowest = world.end().await;
    assert!(slowest < 2 * TRY, "{slowest:?}");
}
