//! What users notice when some of the instances that Envoy asks are killed, hang or drain: nothing
//! but, at one that hangs, a wait.

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
use tokio::{net::TcpStream, task::JoinSet, time::sleep};

use super::instances::{Instance, envoy_before};
use crate::harness::{
    Database, Row,
    faults::stop,
    id,
    mesh::{Shipped, Upstream},
    until_so,
};

/// Users who ask at the same time, each over a connection of its own.
const USERS: u32 = 16;
/// So many requests are answered before something happens, and again once it has.
const A_WHILE: u64 = 500;
/// How long users think between requests, where it matters when they ask: longer than Envoy's threads
/// take to tell each other what one of them has noticed.
const THINKS: Duration = Duration::from_millis(100);
/// The same as [`A_WHILE`] of users who think.
const THOUGHT_A_WHILE: u64 = 15 * USERS as u64;
/// When Envoy notices that an instance hangs, as it is told: how often it sends a sign of life, at
/// most, and how long it waits for that of the instance.
const NOTICED: Duration = Duration::from_millis(460 + 800);
/// What is slower than this has waited for an instance that hangs.
const A_WAIT: Duration = Duration::from_millis(400);
/// Whoever waited for longer in all has waited for more than one.
const TWICE: Duration = Duration::from_millis(1500);

/// Instances, an Envoy that asks them, and users.
struct World<const COUNT: usize> {
    instances: [Instance; COUNT],
    envoy: Shipped,
    load: Load,
    _upstream: Upstream,
    _database: Database,
}

impl<const COUNT: usize> World<COUNT> {
    /// Of users who think for so long between requests.
    async fn start(pause: Duration) -> Self {
        let database = Database::postgres().await;
        for tenant in 1..=USERS {
            database.mk_subscribed(tenant, "finance", Row::default()).await;
        }
        let instances = Instance::start_all(&database.url).await;
        let upstream = Upstream::start().await;
        let envoy = envoy_before(&instances, upstream.port).await;
        let load = Load::start(envoy.address, pause);
        load.go_on(100).await;
        Self { instances, envoy, load, _upstream: upstream, _database: database }
    }

    /// Ends the load, in which nobody may have been refused.
    async fn end(self) -> Seen {
        let seen = self.load.end().await;
        let log = self.envoy.log();
        let refusals = log.lines().filter(|line| !line.contains("\"status\":200"));
        let first: Vec<_> = refusals.take(5).collect();
        assert_eq!(seen.others, Vec::<String>::new(), "{first:#?}");
        println!("{} requests, who waited: {:?}", seen.requests, seen.waits);
        seen
    }
}

/// Waits until it is asked, however often it was before: often enough that Envoy has forgotten the
/// connections that it refused.
async fn until_it_is_asked(instance: &Instance) {
    let wanted = instance.answered().await + 100.;
    until_so("the instance is asked", async || instance.answered().await >= wanted).await;
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
    /// How long each user waited, and how often.
    waits: Vec<Vec<Duration>>,
    /// Answers that were not the service's: the first of each user.
    others: Vec<String>,
}

impl Seen {
    /// How long half of the users waited at most, each in all: one whom the machine held up says
    /// nothing.
    fn half_waited(&self) -> Duration {
        let mut sums: Vec<_> = self.waits.iter().map(|waits| waits.iter().sum()).collect();
        sums.sort_unstable();
        sums[sums.len() / 2]
    }
}

impl Load {
    fn start(envoy: SocketAddr, pause: Duration) -> Self {
        let (answered, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let users = (1..=USERS)
            .map(|tenant| user(envoy, id(tenant), pause, Arc::clone(&answered), Arc::clone(&ends)))
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
            all.waits.extend(one.waits);
            all.others.extend(one.others);
            all
        })
    }
}

/// Asks over one connection until the end.
async fn user(
    envoy: SocketAddr,
    tenant: String,
    pause: Duration,
    answered: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
) -> Seen {
    let stream = TcpStream::connect(envoy).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut seen, mut waits) = (Seen::default(), Vec::new());
    while !ends.load(Relaxed) {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        let request = Request::get("/any")
            .header("host", "service.internal")
            .header("x-tenant-id", &tenant)
            .body(Empty::<Bytes>::new())
            .unwrap();
        let sent = Instant::now();
        let reply = sender.send_request(request).await.unwrap();
        let status = reply.status();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        let after = sent.elapsed();
        seen.requests += 1;
        seen.slowest = seen.slowest.max(after);
        if after > A_WAIT {
            waits.push(after);
        }
        answered.fetch_add(1, Relaxed);
        if status != 200 && seen.others.is_empty() {
            seen.others
                .push(format!("{status} after {after:?}: {}", String::from_utf8_lossy(&body)));
        }
    }
    seen.waits.push(waits);
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_instances_is_killed_again_and_again_and_nobody_is_refused() {
    let mut world = World::<2>::start(Duration::ZERO).await;
    for round in 0..6 {
        let instance = &mut world.instances[round % 2];
        instance.process.signal("KILL");
        world.load.go_on(A_WHILE).await;
        instance.start_again().await;
        until_it_is_asked(instance).await;
    }
    let Seen { slowest, .. } = world.end().await;
    assert!(slowest < 2 * NOTICED, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asked_an_instance_that_hangs_is_answered_by_the_other_one_and_does_not_ask_it_again() {
    let world = World::<2>::start(THINKS).await;
    let [hung, _] = &world.instances;
    hung.process.signal("STOP");
    // More than are answered as long as every other question waits for the one that hangs.
    world.load.go_on(THOUGHT_A_WHILE).await;
    hung.process.signal("CONT");
    until_it_is_asked(hung).await;
    let seen = world.end().await;
    assert!(seen.slowest >= A_WAIT, "nobody asked it while it hung: {:?}", seen.slowest);
    assert!(seen.half_waited() < TWICE, "{:?}", seen.waits);
    assert!(seen.slowest < 2 * NOTICED, "{:?}", seen.slowest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_instances_that_hang_at_once_are_left_at_once() {
    let world = World::<3>::start(THINKS).await;
    let [one, other, _] = &world.instances;
    // By one command: whoever waits for the one asks the other nothing, and Envoy leaves nobody whom
    // it asks nothing.
    stop(&[one, other].map(|hung| hung.process.child.id().to_string()));
    world.load.go_on(THOUGHT_A_WHILE).await;
    let seen = world.end().await;
    // Who was passed on from the one to the other waited until that was left as well.
    assert!(seen.slowest >= A_WAIT, "nobody asked them while they hung: {:?}", seen.slowest);
    assert!(seen.half_waited() < TWICE, "{:?}", seen.waits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_are_replaced_one_by_one_refuse_nobody() {
    let mut world = World::<2>::start(Duration::ZERO).await;
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
        until_it_is_asked(instance).await;
    }
    let Seen { slowest, .. } = world.end().await;
    assert!(slowest < 2 * NOTICED, "{slowest:?}");
}
