//! The database answers some, and not others; or is asked for more than it could ever hold.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use entitlementd::proto::v1::{
    CheckModuleRequest, DecisionReason, entitlement_service_client::EntitlementServiceClient,
};
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};

use super::{
    load::{Effect, Fault, RECOVERED},
    world::World,
};
use crate::harness::{database::lock_tenants, postgres::Cluster, server::check_request};

/// Whoever cannot be answered hears of it within 2 s; where the callers alone keep the machine
/// busy, by then.
const SAID_BY: Duration = Duration::from_secs(4);

/// More than are remembered, and than may wait. FLOOD asks for another number: 100000 take minutes
/// in a debug build.
const INVENTED: u32 = 20_000;

/// Invents tenants, each only once, until it is enough; gives how the checks ended, and how long
/// the longest took.
async fn invent(
    mut client: EntitlementServiceClient<Channel>,
    next: Arc<AtomicU32>,
    at_most: u32,
) -> (Vec<Result<DecisionReason, Status>>, Duration) {
    let (mut outcomes, mut longest) = (Vec::new(), Duration::ZERO);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= at_most {
            return (outcomes, longest);
        }
        let asked = Instant::now();
        let outcome = client.check_module(check_request(1_000_000 + number, "finance")).await;
        longest = longest.max(asked.elapsed());
        outcomes.push(outcome.map(|answer| answer.into_inner().reason()));
    }
}

/// Asks for so many invented tenants, a part of them at a time. Gives how many were unknown, and
/// how many unavailable.
async fn flood(world: &World, tenants: u32, at_a_time: usize) -> [u32; 2] {
    let next = Arc::new(AtomicU32::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..at_a_time {
        let client = world.servers[caller % world.servers.len()].client.clone();
        callers.spawn(invent(client, Arc::clone(&next), tenants));
    }
    let mut counts = [0, 0];
    for (outcomes, longest) in callers.join_all().await {
        assert!(longest < SAID_BY, "one took {longest:?}");
        for outcome in outcomes {
            match outcome {
                Ok(DecisionReason::TenantNotFound) => counts[0] += 1,
                Err(status) if status.code() == Code::Unavailable => counts[1] += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_that_wait_for_a_lock_make_nothing_stale_that_is_held() {
    let cluster = Cluster::start(&[]);
    let world = World::on(&cluster).await;
    let load = world.load();
    let began = Instant::now();
    let lock = lock_tenants(&world.database).await;
    let until = began + Duration::from_secs(4);
    let mut readers = JoinSet::new();
    for caller in 0..40 {
        readers.spawn(read_past(world.servers[caller % 2].client.clone(), until));
    }
    let mut unavailable = 0;
    while Instant::now() < until {
        unavailable += flood(&world, 60, 60).await[1];
    }
    assert!(unavailable >= 60, "nobody can read past the lock");
    readers.join_all().await;
    let ended = Instant::now();
    lock.rollback().await.unwrap();
    while flood(&world, 20, 20).await != [20, 0] {
        assert!(ended.elapsed() < RECOVERED, "loads work again");
    }
    world.recovers_under(load, Fault { began, ended, effect: Effect::Nothing }).await;
}

/// Asks past the cache, in vain, until then.
async fn read_past(mut client: EntitlementServiceClient<Channel>, until: Instant) {
    while Instant::now() < until {
        let request =
            CheckModuleRequest { min_revision: Some(1_000), ..check_request(0, "finance") };
        let status = client.check_module(request).await.unwrap_err();
        // The database does not answer, or so few of these are asked at a time that the turn does
        // not come.
        assert!(matches!(status.code(), Code::Unavailable | Code::ResourceExhausted), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_invented_tenants_in_an_outage_fails_no_known_one() {
    let mut cluster = Cluster::start(&[]);
    let world = World::on(&cluster).await;
    let load = world.load();
    let began = Instant::now();
    cluster.kill_hard();
    let invented = std::env::var("FLOOD").map_or(INVENTED, |number| number.parse().unwrap());
    let [unknown, unavailable] = flood(&world, invented, 200).await;
    assert_eq!((unknown, unavailable), (0, invented), "nobody can say that they do not exist");
    cluster.restart();
    let ended = Instant::now();
    world.recovers_under(load, Fault { began, ended, effect: Effect::Stale }).await;
}
