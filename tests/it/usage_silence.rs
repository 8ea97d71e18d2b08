//! A turn that comes to nothing, because its connection falls silent or it panics: nobody waits for
//! longer than the server's patience, and the meter is free again afterwards.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use entitlementd::proto::v1::{RecordUsageRequest, ReleaseUsageRequest, UsageEvent};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::{
    harness::{
        Database, Row, Server,
        commits::{Commits, Fate},
        id, postgres, until_so,
    },
    on_both,
    usage::{Client, ORDERS, client, mk_customer, order, release, reserve, started, user},
};

/// The patience of a turn is 4 s, and a machine may be busy. It is less than twice that: nobody waits
/// for two turns that are given up.
const BOUND: Duration = Duration::from_millis(7_500);
/// Fewer than the limit, so that nobody is refused.
const CALLERS: usize = 8;

/// The next commit only is met by this.
fn once(fate: Fate) -> (Arc<AtomicBool>, impl FnMut() -> Fate + Send) {
    let is_armed = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&is_armed);
    let decide = move || {
        if armed.swap(false, Ordering::SeqCst) { fate } else { Fate::Spared }
    };
    (is_armed, decide)
}

/// All ask at once. Gives how each fared, and asserts that nobody waited too long.
async fn all_ask(client: Client) -> Vec<(String, Result<bool, Status>)> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let mut client = client.clone();
        callers.spawn(async move {
            let (key, asked) = (format!("o-{caller}"), Instant::now());
            let answer = client.reserve_usage(order(&key, 1)).await;
            assert!(asked.elapsed() < BOUND, "{key} was told after {:?}", asked.elapsed());
            (key, answer.map(|answer| answer.into_inner().granted))
        });
    }
    callers.join_all().await
}

async fn a_silent_commit_is_borne(fate: Fate) {
    let database = Database::postgres().await;
    mk_customer(&database).await;
    let (is_armed, decide) = once(fate);
    let commits = Commits::to(postgres::shared().port(), decide).await;
    // Longer than anything here takes: a turn ends by its own patience, also the one behind it.
    let flags = ["--changes", "off", "--enforce-limits", "on", "--request-timeout", "30s"];
    let silent = database.by_way_of(commits.url(&database.name)).await;
    let server = Server::start_with(silent, &flags).await;
    let mut client = client(&server).await;
    assert!(reserve(&mut client, order("before", 1)).await.granted);

    is_armed.store(true, Ordering::SeqCst);
    let asking = tokio::spawn(all_ask(client.clone()));
    until_so("a commit falls silent", async || !is_armed.load(Ordering::SeqCst)).await;
    assert!(reserve(&mut client, user("ann")).await.granted, "another meter has a turn of its own");
    assert!(!asking.is_finished(), "and is answered meanwhile");
    let fared = asking.await.unwrap();

    let unknown: Vec<&String> =
        fared.iter().filter(|(_, answer)| answer.is_err()).map(|(key, _)| key).collect();
    assert!(!unknown.is_empty(), "the commit that fell silent was somebody's");
    for (key, answer) in &fared {
        match answer {
            Ok(granted) => assert!(granted, "{key}"),
            // Whoever waits behind it waits for a counter that PostgreSQL keeps locked until it
            // notices.
            Err(status) => assert!(
                [Code::Unavailable, Code::ResourceExhausted].contains(&status.code()),
                "{key}: {status:?}"
            ),
        }
    }
    assert!(
        fared.iter().any(|(_, it)| it.as_ref().is_err_and(|it| it.code() == Code::Unavailable)),
        "{fared:?}"
    );
    for (key, _) in &fared {
        until_so("the meter is free again", async || {
            client
                .reserve_usage(order(key, 1))
                .await
                .is_ok_and(|answer| answer.into_inner().granted)
        })
        .await;
    }
    let used = database.one("SELECT used FROM entitlement_usage_counters WHERE period <> ''").await;
    assert_eq!(used.try_get::<i64>("", "used").unwrap(), 1 + CALLERS as i64, "once each");
    database.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_never_arrives_keeps_nobody_waiting_and_counts_nothing() {
    a_silent_commit_is_borne(Fate::SilentBefore).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_never_comes_keeps_nobody_waiting_and_is_not_counted_again() {
    a_silent_commit_is_borne(Fate::SilentWhenDone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_goes_on_after_more_connections_have_fallen_silent_than_it_has_turns() {
    let database = Database::postgres().await;
    mk_customer(&database).await;
    let left = Arc::new(AtomicUsize::new(0));
    let silent = Arc::clone(&left);
    let decide = move || {
        let fewer = |left: usize| left.checked_sub(1);
        match silent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) {
            Ok(_) => Fate::SilentBefore,
            Err(_) => Fate::Spared,
        }
    };
    let commits = Commits::to(postgres::shared().port(), decide).await;
    let behind = database.by_way_of(commits.url(&database.name)).await;
    let server = Server::start_with(behind, &["--changes", "off"]).await;
    let client = client(&server).await;
    left.store(4, Ordering::SeqCst);
    // Each for a tenant of its own, so that none waits for another's lock.
    let mut recorders = JoinSet::new();
    for tenant in 1..=4 {
        database.mk_subscribed(10 + tenant, "finance", Row::default()).await;
        let mut client = client.clone();
        recorders.spawn(async move {
            let asked = Instant::now();
            let told = record(&mut client, 10 + tenant).await;
            assert!(asked.elapsed() < BOUND, "told after {:?}", asked.elapsed());
            told
        });
    }
    for told in recorders.join_all().await {
        let code = told.unwrap_err().code();
        assert!([Code::Unavailable, Code::ResourceExhausted].contains(&code), "{code:?}");
    }
    let mut client = client;
    for tenant in 1..=4 {
        until_so("it is recorded", async || record(&mut client, 10 + tenant).await.is_ok()).await;
    }
    database.verify_usage().await;
}

/// Records one order of a tenant on a stream of its own.
async fn record(client: &mut Client, tenant: u32) -> Result<(), Status> {
    let event = UsageEvent {
        key: format!("o-{tenant}"),
        tenant_id: id(tenant),
        meter: ORDERS.into(),
        amount: 1,
        ..Default::default()
    };
    let message = RecordUsageRequest { events: vec![event], ..Default::default() };
    let answers = client.record_usage(futures_util::stream::iter([message])).await?;
    answers.into_inner().message().await.map(drop)
}

on_both! {
    async fn a_turn_that_panics_tells_its_callers_so_and_frees_its_meter(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let taken = reserve(&mut client, order("spoilt", 2)).await;
        assert!(taken.granted);
        // Nothing that a caller asks for makes a turn panic, but sums of tests do, where a key was
        // spoilt by hand. Others overflow in silence, and the database refuses what comes of it.
        server.database.execute("UPDATE entitlement_usage_keys SET used = -9223372036854775807 - 1").await;
        let spoilt = ReleaseUsageRequest {
            tenant_id: id(1),
            meter: ORDERS.into(),
            key: "spoilt".into(),
            only_held: false,
        };
        let asked = Instant::now();
        let (mut other, mut third) = (client.clone(), client.clone());
        let (panics, other) =
            tokio::join!(third.release_usage(spoilt), other.reserve_usage(user("ann")));
        let code = panics.unwrap_err().code();
        assert!([Code::Unavailable, Code::Internal].contains(&code), "{code:?}");
        assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
        // It may have been in the same turn.
        assert!(other.is_ok_and(|it| it.into_inner().granted) || code == Code::Unavailable);

        server.database.execute("UPDATE entitlement_usage_keys SET used = 2 WHERE key = 'spoilt'").await;
        assert_eq!(release(&mut client, ORDERS, "spoilt").await.released_amount, 2);
        assert!(reserve(&mut client, user("ann")).await.granted);
        server.database.verify_usage().await;
    }
}
