//! A connection that has reached its age costs nobody anything: what is held stays good.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use entitlement_client::{Entitlements, OnOutage, Reason, testing::ManualClock};
use tokio::task::JoinHandle;

use super::{FLAGS, PATIENCE, SETTLING, World, config, port, tenant};
use crate::harness::{Database, NOW, Row, Server, postgres, proxy::Proxy};

const TENANTS: u32 = 200;
/// By the client's clock they have passed: what is held is good for as long as changes are heard
/// of, and no longer.
const MAX_AGE: Duration = Duration::from_secs(1);

async fn subscribed() -> Database {
    let database = Database::postgres().await;
    for number in 1..=TENANTS {
        database.mk_subscribed(number, "finance", Row::default()).await;
    }
    database
}

async fn hold_all(client: &Entitlements) {
    for number in 1..=TENANTS {
        assert!(client.check(tenant(number), "finance").await.unwrap().allowed());
    }
}

fn granted(client: &Entitlements) -> usize {
    let held = (1..=TENANTS).filter_map(|number| client.check_held(tenant(number), "finance"));
    held.filter(entitlement_client::Answer::allowed).count()
}

/// Waits for the stream's first heartbeat, from which on it is relied on, and lets `MAX_AGE` pass.
async fn outlive_max_age(client: &Entitlements, clock: &ManualClock) {
    let started = Instant::now();
    loop {
        clock.set(NOW + 2 * MAX_AGE);
        if client.check_held(tenant(1), "finance").is_some() {
            return;
        }
        assert!(started.elapsed() < 2 * PATIENCE, "no heartbeat comes");
        clock.set(NOW);
        tokio::task::yield_now().await;
    }
}

impl Server {
    async fn until_watched_by(&self, count: f64) {
        let started = Instant::now();
        while self.metrics().await.of("watchers") != count {
            assert!(started.elapsed() < 3 * PATIENCE, "{count} never watch");
        }
    }
}

/// Callers that ask for everybody, all the time.
struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<usize>>,
}

impl Load {
    fn on(client: &Entitlements) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let callers =
            (0..4).map(|_| tokio::spawn(ask(client.clone(), Arc::clone(&stop)))).collect();
        Self { stop, callers }
    }

    /// How many questions they had.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut asked = 0;
        for caller in self.callers {
            asked += caller.await.unwrap();
        }
        asked
    }
}

async fn ask(client: Entitlements, stop: Arc<AtomicBool>) -> usize {
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        for number in 1..=TENANTS {
            let answer = client.check(tenant(number), "finance").await.unwrap();
            assert!(!answer.by_outage_rule(), "{number}: {answer:?}");
            asked += 1;
        }
        tokio::task::yield_now().await;
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_connection_has_reached_its_age_nothing_is_asked_for_again_but_what_has_changed() {
    let flags = [&FLAGS[..], &["--max-connection-age", "4s", "--max-age", "1s"]].concat();
    let world = World::with(subscribed().await, &flags, OnOutage::Deny).await;
    hold_all(&world.client).await;
    outlive_max_age(&world.client, &world.clock).await;
    let asked = world.questions("ListEnabledModules").await;
    let load = Load::on(&world.client);
    // Twice, since the second connection is one that was moved to.
    for round in 1..=2 {
        world.server.until_watched_by(2.0).await;
        world.server.database.set_status(round, "suspended").await;
        world.until(round, "finance", |answer| answer.reason() == Reason::TenantSuspended).await;
        world.server.until_watched_by(1.0).await;
        assert_eq!(granted(&world.client), (TENANTS - round) as usize);
    }
    let checks = load.stop().await;
    let asked = world.questions("ListEnabledModules").await - asked;
    // A change that both streams tell may be asked for twice.
    assert!((2.0..=4.0).contains(&asked), "{asked} lists were asked for, by {checks} checks");
    assert!(world.questions("WatchChanges").await >= 3.0);
}

/// Two servers of one database, and a client that moves from the first to the second. The first
/// hears of changes by way of a network of its own, and by its clock time passes.
struct Two {
    first: Server,
    second: Server,
    _clients: Proxy,
    behind: Proxy,
    client: Entitlements,
    time: JoinHandle<()>,
}

impl Drop for Two {
    fn drop(&mut self) {
        self.time.abort();
    }
}

impl Two {
    /// A change is committed of which only the second has heard when the client moves to it.
    async fn moving_with_one_change_behind() -> Self {
        let database = subscribed().await;
        let behind = Proxy::to(postgres::shared().port()).await;
        let url = format!("postgres://postgres@127.0.0.1:{}/{}", behind.port(), database.name);
        let flags = [&FLAGS[..], &["--max-age", "1s"]].concat();
        // Long enough for all that comes before, on a machine that is busy with other tests.
        let aging = [&flags[..], &["--max-connection-age", "8s"]].concat();
        let first = Server::start_with(database.by_way_of(url).await, &aging).await;
        let mut second = Server::start_with(database, &flags).await;
        let clients = Proxy::to(port(&first)).await;
        let clock = ManualClock::at(NOW - SETTLING);
        let config = config(&clients, OnOutage::Deny).clock(clock.clone());
        let client = Entitlements::connect(config).unwrap();
        client.watching().await;
        clock.set(NOW);
        // The next connection: the present one stays where it is.
        clients.point_at(port(&second));
        hold_all(&client).await;
        outlive_max_age(&client, &clock).await;
        let time = tokio::spawn(pass(first.clock.clone()));
        assert_eq!(granted(&client), TENANTS as usize);

        behind.black_hole();
        second.database.set_status(1, "suspended").await;
        let started = Instant::now();
        while second.check(1, "finance").await.allowed {
            assert!(started.elapsed() < PATIENCE, "the second has not heard of it");
        }
        second.until_watched_by(1.0).await;
        first.until_watched_by(1.0).await;
        Self { first, second, _clients: clients, behind, client, time }
    }

    /// Lists that the second was asked for.
    async fn asked(&self) -> f64 {
        let metrics = self.second.metrics().await;
        metrics.of(r#"rpc_duration_seconds_count{method="ListEnabledModules",code="OK"}"#)
    }

    async fn until_suspended(&self) {
        let started = Instant::now();
        while self.client.check(tenant(1), "finance").await.unwrap().reason()
            != Reason::TenantSuspended
        {
            assert!(started.elapsed() < PATIENCE, "the change was missed");
            tokio::task::yield_now().await;
        }
    }
}

async fn pass(clock: entitlementd::clock::ManualClock) {
    const TICK: Duration = Duration::from_millis(50);
    loop {
        tokio::time::sleep(TICK).await;
        clock.advance(TimeDelta::from_std(TICK).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_new_server_had_heard_before_and_the_old_one_hears_late_is_told_by_the_old_one() {
    let two = Two::moving_with_one_change_behind().await;
    two.behind.let_through();
    two.until_suspended().await;
    two.first.until_watched_by(0.0).await;
    assert_eq!(
        granted(&two.client),
        TENANTS as usize - 1,
        "of all but one the list is as good as before"
    );
    assert_eq!(two.asked().await, 1.0);
    // The new stream is heard.
    two.second.database.set_status(2, "suspended").await;
    let started = Instant::now();
    while two.client.check(tenant(2), "finance").await.unwrap().reason() != Reason::TenantSuspended
    {
        assert!(started.elapsed() < PATIENCE, "the new stream is not heard");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_old_server_never_hears_of_it_everything_is_asked_for_again() {
    let two = Two::moving_with_one_change_behind().await;
    two.first.until_watched_by(0.0).await;
    two.until_suspended().await;
    assert_eq!(
        granted(&two.client),
        0,
        "what had been held for its max_age might have changed, too"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_question_fails_because_a_connection_has_reached_its_age() {
    let flags = [&FLAGS[..], &["--max-connection-age", "50ms"]].concat();
    let world = World::with(Database::sqlite().await, &flags, OnOutage::Deny).await;
    let askers = (0..4).map(|asker| {
        let client = world.client.clone();
        tokio::spawn(async move {
            for number in 0..250 {
                // Nothing is held of it.
                let answer = client.check(tenant(asker * 250 + number), "finance").await.unwrap();
                assert_eq!(
                    answer.reason(),
                    Reason::TenantNotFound,
                    "question {number}: {answer:?}"
                );
            }
        })
    });
    for asker in askers.collect::<Vec<_>>() {
        asker.await.unwrap();
    }
}
