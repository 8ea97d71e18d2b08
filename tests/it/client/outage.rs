//! Outages: the server cut off, hung, killed and restarted; and what each rule answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use entitlement_client::{Config, Entitlements, OnOutage, Reason};
use entitlementd::proto::v1::DecisionReason;

use super::{PATIENCE, World, config, tenant};
use crate::harness::{Database, Row, postgres, process::Process, proxy::Proxy};

const HOUR: Duration = Duration::from_secs(3600);

/// A client that holds finance of tenant 1, and then loses the server.
async fn cut_off(on_outage: OnOutage) -> World {
    let database = Database::postgres().await;
    // Before the server starts: news of a tenant outdates what is held of it, and takes a moment.
    database.mk_subscribed(1, "finance", Row { expires: Some(1_800), ..Row::default() }).await;
    let world = World::of(database, on_outage).await;
    world.until(1, "finance", |answer| answer.allowed()).await;
    world.lose_the_server().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_denies_in_an_outage_denies_once_what_is_held_is_no_longer_good() {
    let world = cut_off(OnOutage::Deny).await;
    world.clock.advance(Duration::from_secs(31));
    let answer = world.check(1, "finance").await;
    assert!(!answer.allowed() && answer.by_outage_rule(), "{answer:?}");
    assert_eq!(answer.reason(), Reason::Unspecified);
    assert!(
        answer.message().starts_with("It cannot be checked at the moment"),
        "{}",
        answer.message()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_allows_in_an_outage_grants_what_nobody_knows() {
    let world = cut_off(OnOutage::Allow).await;
    let answer = world.check(7, "hrms").await;
    assert!(answer.allowed() && answer.by_outage_rule(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_serves_stale_answers_goes_on_from_what_was_held_and_time_still_applies() {
    let world = cut_off(OnOutage::ServeStale(HOUR)).await;
    world.clock.advance(Duration::from_secs(1_700));
    let answer = world.check(1, "finance").await;
    assert!(answer.allowed() && answer.by_outage_rule() && answer.is_stale(), "{answer:?}");
    assert!(!world.check(1, "hrms").await.allowed());
    assert!(!world.check(7, "finance").await.allowed(), "nothing is held of it");
    let fresh = world.client.at_least(u64::MAX).check(tenant(1), "finance").await.unwrap();
    assert!(!fresh.allowed(), "nothing that is held is that fresh");
    let list = world.client.enabled_modules(tenant(1)).await.unwrap();
    assert!(list.stale && list.by_outage_rule && list.modules.len() == 1);
    world.clock.advance(Duration::from_secs(100));
    assert!(!world.check(1, "finance").await.allowed(), "it has expired in the meantime");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_serves_stale_answers_does_so_for_as_long_as_it_said() {
    let world = cut_off(OnOutage::ServeStale(Duration::from_secs(600))).await;
    world.clock.advance(Duration::from_secs(599));
    assert!(world.check(1, "finance").await.allowed());
    world.clock.advance(Duration::from_secs(2));
    assert!(!world.check(1, "finance").await.allowed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_while_the_stream_was_cut_is_found_when_it_opens_again() {
    let mut world = World::of(Database::postgres().await, OnOutage::ServeStale(HOUR)).await;
    world.server.database.mk_subscribed(1, "finance", Row::default()).await;
    world.until(1, "finance", |answer| answer.allowed()).await;
    world.network.cut().await;
    world.server.database.execute("UPDATE tenant_subscriptions SET status = 'suspended'").await;
    // An answer from before the server has heard, asked for while there is no stream, would be good
    // for its max_age.
    world.server.until(1, "finance", DecisionReason::SubscriptionSuspended).await;
    // By the client's clock no time passes: what was held would be good for its max_age, were it
    // not for the stream.
    world.clock.advance(Duration::from_secs(31));
    world.until(1, "finance", |answer| answer.reason() == Reason::SubscriptionSuspended).await;
    world.client.watching().await;
    world.server.database.execute("UPDATE tenant_subscriptions SET status = 'active'").await;
    world.until(1, "finance", |answer| answer.allowed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_costs_one_caller_its_deadline_and_the_others_nothing() {
    let world = World::of(Database::sqlite().await, OnOutage::Allow).await;
    let deadline = Duration::from_millis(300);
    let network = Proxy::to(super::port(&world.server)).await;
    let client =
        Entitlements::connect(config(&network, OnOutage::Allow).deadline(deadline)).unwrap();
    client.watching().await;
    network.black_hole();
    let started = Instant::now();
    assert!(client.check(tenant(1), "finance").await.unwrap().by_outage_rule());
    assert!((deadline..PATIENCE).contains(&started.elapsed()), "{:?}", started.elapsed());
    let started = Instant::now();
    let mut waited = 0;
    for number in 0..1_000 {
        let began = Instant::now();
        assert!(client.check(tenant(number), "finance").await.unwrap().by_outage_rule());
        waited += usize::from(began.elapsed() >= deadline);
    }
    let most = 1 + started.elapsed().as_millis() / 100;
    assert!((waited as u128) <= most, "{waited} of 1 000 waited in {:?}", started.elapsed());
    network.let_through();
    let started = Instant::now();
    while client.check(tenant(1), "finance").await.unwrap().by_outage_rule() {
        assert!(started.elapsed() < PATIENCE, "it recovers");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_check_of_a_known_tenant_fails_while_the_server_is_killed_and_restarted() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let flags = ["--database-url", &database.url, "--listen", "127.0.0.1:0"];
    let mut server = Process::serve(&flags);
    let address = server.address();
    server.wait_for("\"ready\"");
    let config = Config::new(address.clone(), OnOutage::ServeStale(HOUR));
    let client = Entitlements::connect(config).unwrap();
    client.watching().await;
    assert!(client.check(tenant(1), "finance").await.unwrap().allowed());

    let (stop, checks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let checkers: Vec<_> = (0..4)
        .map(|_| {
            let (client, stop, checks) = (client.clone(), Arc::clone(&stop), Arc::clone(&checks));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    assert!(client.check(tenant(1), "finance").await.unwrap().allowed());
                    // A tenant of whom nothing is held makes the client ask.
                    assert!(!client.check(tenant(2), "finance").await.unwrap().allowed());
                    checks.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        })
        .collect();
    for _ in 0..3 {
        drop(server); // by SIGKILL
        let (before, started) = (checks.load(Ordering::Relaxed), Instant::now());
        while checks.load(Ordering::Relaxed) < before + 100 {
            assert!(started.elapsed() < PATIENCE, "checks do not go on");
            tokio::task::yield_now().await;
        }
        server = Process::serve(&["--database-url", &database.url, "--listen", &address]);
        server.wait_for("\"ready\"");
        client.watching().await;
    }
    stop.store(true, Ordering::Relaxed);
    for checker in checkers {
        checker.await.unwrap();
    }
    database.execute("UPDATE tenant_subscriptions SET status = 'suspended'").await;
    let started = Instant::now();
    while client.check(tenant(1), "finance").await.unwrap().reason()
        != Reason::SubscriptionSuspended
    {
        assert!(started.elapsed() < PATIENCE, "changes are heard of again");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_one_endpoint_is_away_the_other_is_asked() {
    let world = World::of(Database::sqlite().await, OnOutage::Deny).await;
    world.server.database.mk_subscribed(1, "finance", Row::default()).await;
    world.until(1, "finance", |answer| answer.allowed()).await;
    // Whichever of the two a client begins with.
    for _ in 0..8 {
        let nobody = format!("127.0.0.1:{}", postgres::free_port());
        let config = Config::new(nobody, OnOutage::Deny)
            .endpoint(format!("127.0.0.1:{}", super::port(&world.server)));
        let client = Entitlements::connect(config).unwrap();
        assert!(client.check(tenant(1), "finance").await.unwrap().allowed());
        client.watching().await;
    }
}

#[test]
fn a_client_wants_a_runtime_and_a_configuration_that_makes_sense() {
    let config = Config::new("127.0.0.1:1", OnOutage::Deny);
    let outside = Entitlements::connect(config.clone()).unwrap_err();
    assert_eq!(outside.to_string(), "a client must be made within a tokio runtime");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let token = Config::new("http://192.0.2.1:50051", OnOutage::Deny).bearer_token("secret");
    assert!(!format!("{token:?}").contains("secret"));
    let clear = Entitlements::connect(token).unwrap_err().to_string();
    assert!(clear.contains("in the clear") && !clear.contains("secret"), "{clear}");
    let bad = Entitlements::connect(config.endpoint("not an address")).unwrap_err().to_string();
    assert!(bad.contains("\"not an address\""), "{bad}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_while_the_database_is_silent_is_marked_within_seconds_by_whoever_holds_it()
{
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let behind = Proxy::to(postgres::shared().port()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", behind.port(), database.name);
    let world = World::of(database.by_way_of(url).await, OnOutage::ServeStale(HOUR)).await;
    world.until(1, "finance", |answer| answer.allowed() && !answer.is_stale()).await;

    // What is held was asked for before the server says that it doubts it. That is all the time that
    // passes: it reaches neither its `max_age` nor the end of patience with a stream.
    world.clock.advance(Duration::from_secs(1));
    behind.black_hole();
    database.execute("UPDATE tenant_subscriptions SET status = 'cancelled'").await;
    world.until(1, "finance", |answer| answer.allowed() && answer.is_stale()).await;

    behind.let_through();
    world.until(1, "finance", |answer| !answer.allowed() && !answer.is_stale()).await;
}
