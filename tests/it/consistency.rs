//! Whoever writes what, whenever: no answer is one that the database never gave, and none is too
//! old.

mod checker;
mod model;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use entitlementd::clock::ManualClock;
use tokio::task::JoinSet;

use self::{
    checker::{Answer, keep_checking},
    model::{MODULES, TENANTS},
    writer::{Book, keep_writing},
};
use crate::harness::{
    Database, NOW, Server, dice::Dice, pooler::Pooler, postgres, postgres::Cluster, process,
    proxy::Proxy,
};

/// It goes on for so long, and then until so much was done, which a busy machine takes longer for.
const RUN: Duration = Duration::from_secs(7);
const COMMITS: usize = 200;
const ANSWERS: usize = 3_000;
/// Writers rest again and again, for longer than an answer may be old: what is wrong then is not
/// soon made right again by the next change.
const ROUND: Duration = Duration::from_millis(2_400);
const WRITING: Duration = Duration::from_millis(1_000);
const LONGEST_RUN: Duration = Duration::from_mins(2);
const WRITERS: u64 = 4;
const CHECKERS: u64 = 2;
/// A change has travelled by then, however busy the machine is.
const TRAVELLED: Duration = Duration::from_secs(1);

/// One server as anyone would start it, one with too little room, and one that forgets fast.
const SERVERS: [&[&str]; 3] =
    [&[], &["--cache-capacity", "10"], &["--cache-ttl", "300ms", "--negative-ttl", "200ms"]];

/// What was done, and whether it is to end.
#[derive(Debug)]
pub struct Work {
    began: Instant,
    commits: AtomicUsize,
    answers: AtomicUsize,
    stop: AtomicBool,
}

impl Work {
    fn new() -> Self {
        Self { began: Instant::now(), commits: 0.into(), answers: 0.into(), stop: false.into() }
    }

    /// Waits while writers rest.
    async fn time_to_write(&self) {
        let into_round = self.began.elapsed().as_millis() % ROUND.as_millis();
        if into_round > WRITING.as_millis() {
            tokio::time::sleep(ROUND - Duration::from_millis(into_round as u64)).await;
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn is_enough(&self) -> bool {
        self.commits.load(Ordering::Relaxed) >= COMMITS
            && self.answers.load(Ordering::Relaxed) >= ANSWERS
    }
}

/// The seed of the dice: CONSISTENCY_SEED, or a new one.
fn seed() -> u64 {
    let seed = std::env::var("CONSISTENCY_SEED")
        .map_or_else(|_| uuid::Uuid::new_v4().as_u64_pair().0, |seed| seed.parse().unwrap());
    println!("CONSISTENCY_SEED={seed}");
    seed
}

async fn start_servers(database: &Database, url: &str, flags: &[&str]) -> Vec<Server> {
    let mut servers = Vec::new();
    for own in SERVERS {
        let flags = [flags, own, &["--revalidate-max-rate", "0"]].concat();
        servers.push(Server::start_with(database.by_way_of(url.to_owned()).await, &flags).await);
    }
    servers
}

/// Lets the servers' clocks go as fast as everyone's.
async fn keep_time(clocks: Vec<ManualClock>) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = Instant::now();
        let passed = TimeDelta::from_std(now - last).unwrap();
        last = now;
        clocks.iter().for_each(|clock| clock.advance(passed));
    }
}

/// Writers write and checkers check. What they were answered must be what was true at most so long
/// ago.
async fn is_consistent(servers: Vec<Server>, database: &Database, lag: Duration) {
    let seed = seed();
    let (book, work) = (Arc::new(Book::new()), Arc::new(Work::new()));
    let mut time = JoinSet::new();
    time.spawn(keep_time(servers.iter().map(|server| server.clock.clone()).collect()));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let dice = Dice::of(seed, writer);
        writers.spawn(keep_writing(
            Arc::clone(&book),
            database.url.clone(),
            dice,
            Arc::clone(&work),
        ));
    }
    let mut checkers = JoinSet::new();
    for (number, server) in (0..).zip(&servers) {
        for checker in 0..CHECKERS {
            let dice = Dice::of(seed, WRITERS + number * CHECKERS + checker);
            checkers.spawn(keep_checking(
                Arc::clone(&book),
                server.client.clone(),
                dice,
                Arc::clone(&work),
            ));
        }
    }
    while work.began.elapsed() < RUN || !work.is_enough() {
        assert!(work.began.elapsed() < LONGEST_RUN, "too little was done: {work:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    work.stop.store(true, Ordering::Relaxed);
    writers.join_all().await;
    let answers: Vec<Answer> = checkers.join_all().await.into_iter().flatten().collect();
    for answer in &answers {
        answer.judge(&book, lag);
    }
    let stale = answers.iter().filter(|answer| answer.stale).count();
    println!("{work:?}, {stale} of the answers stale");
    assert!(stale * 20 < answers.len(), "{stale} of {} answers were stale", answers.len());
    everyone_agrees_in_the_end(servers, &book, lag).await;
}

async fn everyone_agrees_in_the_end(mut servers: Vec<Server>, book: &Book, lag: Duration) {
    tokio::time::sleep(lag).await;
    // None ends before the last has answered: it may ask the others.
    for server in &mut servers {
        for tenant in 0..TENANTS {
            for (module, code) in MODULES.iter().enumerate() {
                let reason = server.check(tenant, code).await.reason();
                assert_eq!(
                    reason,
                    book.history(tenant).last().answers[module],
                    "tenant {tenant}, {code}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_consistent_where_changes_are_listened_to() {
    let database = Database::postgres().await;
    let servers = start_servers(&database, &database.url, &["--changes", "listen"]).await;
    is_consistent(servers, &database, TRAVELLED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_consistent_where_news_overtakes_what_is_loaded() {
    let database = Database::postgres().await;
    let proxy = Proxy::slow_to(postgres::shared().port(), Duration::from_millis(15)).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", proxy.port(), database.name);
    let flags = ["--changes", "listen", "--listen-database-url", &database.url];
    let servers = start_servers(&database, &url, &flags).await;
    is_consistent(servers, &database, TRAVELLED).await;
}

/// An edge with a clock of its own.
async fn edge(database: &Database, upstream: u16, hold: &str) -> Server {
    let (again, clock) = (database.again().await, ManualClock::at(NOW));
    let edge = Server::start_edge(again, clock, &[upstream], &["--hold", hold]).await;
    edge.wait_until_ready().await;
    edge
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_consistent_down_a_chain_of_edges_whose_connections_are_cut() {
    let database = Database::postgres().await;
    let flags = ["--changes", "listen", "--revalidate-max-rate", "0"];
    let core = Server::start_with(database.again().await, &flags).await;
    let first = Proxy::to(core.port()).await;
    let near = edge(&database, first.port(), "used").await;
    let second = Proxy::to(near.port()).await;
    let far = edge(&database, second.port(), "all").await;
    let mut cutting = JoinSet::new();
    cutting.spawn(async move {
        for number in 0_u64.. {
            tokio::time::sleep(Duration::from_millis(700 + number % 7 * 50)).await;
            if number % 2 == 0 { first.cut().await } else { second.cut().await }
        }
    });
    is_consistent(vec![core, near, far], &database, TRAVELLED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_consistent_where_changes_are_polled() {
    let database = Database::postgres().await;
    let flags = ["--changes", "poll", "--poll-interval", "50ms"];
    let servers = start_servers(&database, &database.url, &flags).await;
    is_consistent(servers, &database, TRAVELLED + Duration::from_millis(50)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_consistent_where_a_replica_lags_half_of_the_time() {
    let primary = Cluster::start(&[]);
    let name = primary.empty_database().await;
    process::migrate(&primary.url(&name));
    let database = Database::on(&primary, name).await;
    let replica = Arc::new(Cluster::standby_of(&primary, &[]));
    let url = replica.url(&database.name);
    let flags = ["--changes", "listen", "--replica-database-url", &url];
    let servers = start_servers(&database, &database.url, &flags).await;
    let mut lagging = JoinSet::new();
    lagging.spawn(lag_half_of_the_time(Arc::clone(&replica)));
    is_consistent(servers, &database, TRAVELLED).await;
    lagging.shutdown().await;
    let loads = replica
        .log()
        .lines()
        .filter(|line| line.contains("AS \"tenants.database_schema\""))
        .count();
    assert!(loads > 20, "the replica had a part in it, {loads} loads");
}

async fn lag_half_of_the_time(replica: Arc<Cluster>) {
    loop {
        replica.pause_replay().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        replica.resume_replay().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_consistent_while_the_log_is_folded_under_everyones_feet() {
    let database = Database::postgres().await;
    let servers = start_servers(&database, &database.url, &["--changes", "listen"]).await;
    let mut folding = JoinSet::new();
    folding.spawn(keep_folding(database.again().await));
    is_consistent(servers, &database, TRAVELLED).await;
    folding.shutdown().await;
    let folded = "SELECT CAST(sum(changes) AS bigint) AS folded FROM entitlement_folded_changes";
    let folded: i64 = database.one(folded).await.try_get("", "folded").unwrap();
    assert!(folded > 100, "{folded} rows were folded");
}

/// Folds whatever is committed, as if it were old.
async fn keep_folding(database: Database) {
    loop {
        database
            .execute("UPDATE entitlement_horizons SET seen_at = seen_at - interval '2 hours'")
            .await;
        database.execute("SELECT entitlement_fold_step()").await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_consistent_through_a_pooler() {
    let database = Database::postgres().await;
    let pooler = Pooler::to(postgres::shared().port(), &["default_pool_size = 4"]);
    let flags = ["--database-pooler", "transaction", "--poll-interval", "50ms"];
    let servers = start_servers(&database, &pooler.url(&database.name), &flags).await;
    is_consistent(servers, &database, TRAVELLED + Duration::from_millis(50)).await;
}
