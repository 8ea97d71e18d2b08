//! PostgreSQL <- core <- edge <- edge: whatever hangs, ends, is slow or loses something at any hop, no
//! answer is wrong, none that is not marked is older than was promised, none waits for what hangs, and
//! everything is current again afterwards.

mod asking;
mod chain;

use std::time::{Duration, Instant};

use entitlementd::proto::v1::DecisionReason::{Enabled, TenantSuspended};

use self::chain::{CORE, Chain, FAR, MIDDLE};
use crate::harness::{Row, id, postgres::Cluster, until_so};

/// Longer than anything is good for at the end of the chain.
const FROZEN: Duration = Duration::from_secs(11);
/// What comes down takes so much longer, at each hop.
const SLOW: Duration = Duration::from_millis(150);
/// Answers while a database is gone, at each hop.
const ANSWERS: usize = 300;
/// A tenant that a person changes.
const BY_HAND: u32 = 2;
/// Tenants that change all at once, and what each hop carries of that in a second.
const MANY: u32 = 100;
const NARROW: u32 = 48 * 1024;
/// How often bytes come late at each hop, and how often a connection is lost.
const LATE: usize = 4;
const LOST: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_is_stopped_is_marked_below_in_time_and_followed_again() {
    is_stopped_and_goes_on(CORE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_in_the_middle_that_is_stopped_is_marked_below_in_time_and_followed_again() {
    is_stopped_and_goes_on(MIDDLE).await;
}

async fn is_stopped_and_goes_on(hops: usize) {
    let mut chain = Chain::new().await;
    let broke = Instant::now();
    chain.stop(hops);
    chain.is_marked_in_time_from(hops + 1, broke).await;
    chain.changes().await;
    chain.let_go_on(hops);
    chain.was_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_edge_that_was_stopped_says_nothing_unmarked_of_the_time_before() {
    let mut chain = Chain::new().await;
    chain.stop(FAR);
    // Nobody can be asked when it would be marked.
    tokio::time::sleep(FROZEN).await;
    chain.let_go_on(FAR);
    chain.was_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_is_killed_is_marked_below_in_time_and_another_one_followed() {
    is_killed_and_started_again(CORE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_in_the_middle_that_is_killed_is_marked_below_in_time_and_another_one_followed() {
    is_killed_and_started_again(MIDDLE).await;
}

async fn is_killed_and_started_again(hops: usize) {
    let mut chain = Chain::new().await;
    let broke = Instant::now();
    chain.kill(hops);
    chain.is_marked_in_time_from(hops + 1, broke).await;
    chain.changes().await;
    chain.start_again(hops).await;
    chain.was_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_stopped_is_marked_at_every_hop_in_time() {
    let mut cluster = Cluster::start(&[]);
    let mut chain = Chain::below(&cluster).await;
    let broke = Instant::now();
    cluster.hang();
    chain.is_marked_in_time_from(CORE, broke).await;
    cluster.resume();
    chain.was_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_is_marked_at_every_hop_and_heard_again_once_it_has_recovered() {
    let mut cluster = Cluster::start(&[]);
    let mut chain = Chain::below(&cluster).await;
    chain.database.mk_subscribed(BY_HAND, "finance", Row::default()).await;
    chain.is_known_everywhere(BY_HAND, Enabled).await;
    let broke = Instant::now();
    cluster.kill_hard();
    chain.is_marked_in_time_from(CORE, broke).await;
    let before = [CORE, MIDDLE, FAR].map(|hops| chain.marked(hops).1);
    until_so("everybody goes on answering", async || {
        let more = |(hops, before)| chain.marked(hops).1 > before + ANSWERS;
        [CORE, MIDDLE, FAR].into_iter().zip(before).all(more)
    })
    .await;
    cluster.restart();
    chain.was_wrong_since(broke);
    assert!(cluster.log().contains("automatic recovery in progress"));
    let change = format!("UPDATE tenants SET status = 'suspended' WHERE id = '{}'", id(BY_HAND));
    cluster.run("psql", &["-qc", &change, &chain.database.name]);
    chain.is_known_everywhere(BY_HAND, TenantSuspended).await;
    chain.changes().await;
    chain.was_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_is_marked_below_it_in_time_at_each_hop() {
    let mut chain = Chain::new().await;
    for hops in [CORE, MIDDLE, FAR] {
        let broke = Instant::now();
        chain.links[hops].black_hole();
        chain.is_marked_in_time_from(hops, broke).await;
        chain.changes().await;
        chain.links[hops].let_through();
        chain.is_current_again().await;
    }
    chain.was_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_that_are_slow_at_every_hop_mark_nothing() {
    let chain = Chain::over(SLOW).await;
    let before = [CORE, MIDDLE, FAR].map(|hops| chain.marked(hops));
    for _ in 0..5 {
        chain.is_current_again().await;
    }
    for (hops, (answers, marked)) in [CORE, MIDDLE, FAR].into_iter().zip(before) {
        let (all, now) = chain.marked(hops);
        println!("after {hops} hops: {} of {} are marked", now - marked, all - answers);
        assert!((now - marked) * 20 < all - answers, "after {hops} hops: {now}, {marked}");
    }
    chain.was_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_that_are_narrow_at_every_hop_carry_what_has_changed_in_the_end() {
    let chain = Chain::new().await;
    for tenant in 100..100 + MANY {
        chain.database.mk_subscribed(tenant, "finance", Row::default()).await;
    }
    chain.is_current_again().await;
    chain.links.iter().for_each(|link| link.trouble().narrow_to(NARROW));
    for (status, reason) in [("suspended", TenantSuspended), ("active", Enabled)] {
        let change = format!("UPDATE tenants SET status = '{status}' WHERE name LIKE 'Tenant 1__'");
        chain.database.execute(&change).await;
        for tenant in 100..100 + MANY {
            chain.is_known_everywhere(tenant, reason).await;
        }
        chain.is_current_again().await;
    }
    chain.links.iter().for_each(|link| link.trouble().end());
    chain.was_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_that_lose_bytes_and_connections_at_every_hop_are_got_over() {
    let mut chain = Chain::new().await;
    let seed =
        std::env::var("HOPS_SEED").map_or_else(|_| fastrand::u64(..), |it| it.parse().unwrap());
    println!("HOPS_SEED={seed}");
    let broke = Instant::now();
    for (link, whose) in chain.links.iter().zip(0..) {
        let dice = fastrand::Rng::with_seed(seed.wrapping_add(whose));
        link.trouble().lose(dice, LATE, LOST);
    }
    until_so("all of it is lost", async || chain.links.iter().all(|link| link.trouble().is_over()))
        .await;
    chain.was_wrong_since(broke);
    chain.was_right().await;
}
