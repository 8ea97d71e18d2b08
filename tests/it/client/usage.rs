//! Usage: counted by the server, once, whatever becomes of the answer.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use entitlement_client::{
    Entitlements, Error, LimitEnforcement, LimitKind, LimitReason, OnOutage, Reason, Reserve,
};
use tonic::Code;

use super::{FLAGS, PATIENCE, World, config, port, tenant};
use crate::harness::{Database, NOW, Row, proxy::Proxy};

pub(super) const ORDERS: &str = "transactions_monthly";

/// Writes a test twice: on SQLite and on PostgreSQL. Tenant 1 has ten orders a month and three users.
macro_rules! on_both {
    ($(async fn $name:ident($world:ident: World) $body:block)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for database in [Database::sqlite().await, Database::postgres().await] {
                let $world = world(database).await;
                $body
            }
        }
    )*};
}

pub(super) use on_both;

pub(super) async fn world(database: Database) -> World {
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.put_on_plan(1, "starter").await;
    database.limit_of_plan("starter", "max_transactions_monthly", "10").await;
    database.limit_of_plan("starter", "max_users", "3").await;
    let flags = [&FLAGS[..], &["--enforce-limits", "on"]].concat();
    World::with(database, &flags, OnOutage::Allow).await
}

pub(super) fn order(key: &str) -> Reserve {
    Reserve::new(ORDERS, key)
}

fn user(key: &str) -> Reserve {
    Reserve::new("users", key)
}

/// What is used and held of the users.
async fn users(database: &Database) -> (i64, i64) {
    let sql = "SELECT CAST(COALESCE(sum(used), 0) AS bigint) AS used, CAST(COALESCE(sum(held), 0) AS bigint) AS held
               FROM entitlement_usage_counters WHERE meter = 'users'";
    let row = database.one(sql).await;
    (row.try_get("", "used").unwrap(), row.try_get("", "held").unwrap())
}

/// Asks until there are so many: what runs in the background has its time.
async fn until_users(database: &Database, there: (i64, i64)) {
    let started = Instant::now();
    loop {
        let users = users(database).await;
        if users == there {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "still {users:?}");
        tokio::task::yield_now().await;
    }
}

pub(super) fn refused_with(error: Error) -> Code {
    match error {
        Error::Refused(status) => status.code(),
        other => panic!("{other:?}"),
    }
}

on_both! {
    async fn a_key_is_counted_once_and_the_limit_holds(world: World) {
        let (client, one) = (&world.client, tenant(1));
        let first = client.reserve(one, order("o-1").amount(7)).await.unwrap();
        assert_eq!((first.granted(), first.amount(), first.is_repeated()), (true, 7, false));
        assert_eq!((first.used(), first.held(), first.limit(), first.remaining()), (7, 0, Some(10), Some(3)));
        assert_eq!((first.reason(), first.kind()), (LimitReason::Within, LimitKind::Monthly));
        assert_eq!(first.enforcement(), LimitEnforcement::On);
        assert_eq!(first.resets_at(), Some("2026-12-01T00:00:00Z".parse().unwrap()));
        let again = client.reserve(one, order("o-1").amount(7)).await.unwrap();
        assert_eq!((again.granted(), again.is_repeated(), again.used()), (true, true, 7));
        let conflict = client.reserve(one, order("o-1").amount(8)).await.unwrap_err();
        assert_eq!(conflict.word(), "USAGE_KEY_CONFLICT");
        assert_eq!(refused_with(conflict), Code::AlreadyExists);
        let refused = client.reserve(one, order("o-2").amount(4)).await.unwrap();
        assert_eq!((refused.granted(), refused.amount(), refused.reason()), (false, 0, LimitReason::Exceeded));
        assert_eq!(refused.message(), "This would exceed the limit 'transactions_monthly' of 10.");
        assert!(!refused.plan_slugs().is_empty());
        let part = client.reserve(one, order("o-3").amount(4).partial()).await.unwrap();
        assert_eq!((part.granted(), part.amount()), (true, 3));
        assert_eq!(client.release(one, ORDERS, "o-1").await.unwrap(), 7);
        assert_eq!(client.release(one, ORDERS, "o-1").await.unwrap(), 0);
        let nonsense = client.reserve(one, order("a b")).await.unwrap_err();
        assert_eq!(refused_with(nonsense), Code::InvalidArgument);
        world.server.database.verify_usage().await;
    }

    async fn who_may_not_use_the_module_counts_nothing_for_it(world: World) {
        let denied = world.client.reserve(tenant(1), order("a").module("hrms")).await.unwrap();
        assert_eq!((denied.granted(), denied.reason()), (false, LimitReason::ModuleDenied));
        assert_eq!(denied.denial_reason(), Reason::NotSubscribed);
        let error = world.client.reserve_guarded(tenant(1), order("a").module("hrms")).await.unwrap_err();
        assert_eq!((error.word().as_str(), error.to_string()), ("NOT_SUBSCRIBED", denied.message().to_owned()));
        assert_eq!(tonic::Status::from(error).code(), Code::PermissionDenied);
        assert!(world.client.reserve(tenant(1), order("a").module("finance")).await.unwrap().granted());
    }

    async fn a_hold_is_kept_or_returns_by_itself(world: World) {
        let (client, one, database) = (&world.client, tenant(1), &world.server.database);
        let minute = Duration::from_secs(60);
        assert_eq!(client.reserve(one, user("ann").hold_for(minute)).await.unwrap().held(), 1);
        let kept = client.reserve(one, user("ann")).await.unwrap();
        assert_eq!((kept.is_repeated(), kept.used(), kept.held()), (true, 1, 0));
        let guard = client.reserve_guarded(one, user("bob").amount(2)).await.unwrap();
        assert_eq!(users(database).await, (1, 2));
        assert!(matches!(client.reserve_guarded(one, user("cid")).await, Err(Error::NotReserved(_))));
        let kept = guard.keep().await.unwrap();
        assert_eq!((kept.amount(), users(database).await), (2, (3, 0)));
        assert_eq!(client.release(one, "users", "bob").await.unwrap(), 2);
        let late = client.reserve_guarded(one, user("bob")).await.unwrap();
        world.advance(60);
        assert!(client.reserve(one, user("cid").amount(2)).await.unwrap().granted());
        assert!(matches!(late.keep().await, Err(Error::NotReserved(_))), "there is not enough left by now");
        database.verify_usage().await;
    }

    async fn a_guard_that_is_dropped_gives_back_unless_the_key_was_here_before(world: World) {
        let (client, one, database) = (&world.client, tenant(1), &world.server.database);
        drop(client.reserve_guarded(one, user("ann")).await.unwrap());
        until_users(database, (0, 0)).await;
        let failing = async || {
            let guard = client.reserve_guarded(one, user("ann")).await?;
            client.require(one, "hrms").await?;
            guard.keep().await
        };
        assert!(matches!(failing().await, Err(Error::Denied(_))));
        until_users(database, (0, 0)).await;
        drop(client.reserve_guarded(one, user("ann")).await.unwrap().keep().await.unwrap());
        let again = client.reserve_guarded(one, user("ann")).await.unwrap();
        assert!(again.reservation().is_repeated());
        drop(again);
        // A guard that is dropped later has given back: the one before it has not.
        drop(client.reserve_guarded(one, user("bob")).await.unwrap());
        until_users(database, (1, 0)).await;
        database.verify_usage().await;
    }

    async fn reconciling_four_thousand_keys_puts_a_level_right(world: World) {
        let (client, one) = (&world.client, tenant(1));
        let patient = Entitlements::connect(config(&world.network, OnOutage::Deny).deadline(PATIENCE)).unwrap();
        // What is younger than five seconds when it was read is left alone.
        let read = NOW + TimeDelta::seconds(30);
        for key in ["ann", "user-0001"] {
            assert!(client.reserve(one, user(key)).await.unwrap().granted());
        }
        let there: Vec<String> = (0..4_000).rev().map(|number| format!("user-{number:04}")).collect();
        let right = patient.reconcile(one, "users", there.clone(), read).await.unwrap();
        assert_eq!((right.counted(), right.released(), right.used()), (3_999, 1, 4_000));
        assert_eq!(right.reason(), LimitReason::OverLimit);
        let again = patient.reconcile(one, "users", there, read).await.unwrap();
        assert_eq!((again.counted(), again.released(), again.used()), (0, 0, 4_000));
        let none = patient.reconcile(one, "users", Vec::<String>::new(), read).await.unwrap();
        assert_eq!((none.counted(), none.released(), none.used()), (0, 4_000, 0));
        let monthly = patient.reconcile(one, ORDERS, ["a"], read).await.unwrap_err();
        assert_eq!(refused_with(monthly), Code::FailedPrecondition);
        world.server.database.verify_usage().await;
    }

    async fn what_was_counted_when_its_answer_was_lost_is_asked_for_again_and_counted_once(world: World) {
        let slow = Proxy::slow_to(port(&world.server), Duration::from_millis(500)).await;
        let client = Entitlements::connect(config(&slow, OnOutage::Allow).deadline(PATIENCE)).unwrap();
        let asking = client.clone();
        let asked = tokio::spawn(async move { asking.reserve(tenant(1), user("ann")).await });
        until_users(&world.server.database, (1, 0)).await;
        // It is counted, and the answer is on its way.
        slow.cut().await;
        let told = asked.await.unwrap().unwrap();
        assert_eq!((told.granted(), told.is_repeated(), told.used()), (true, true, 1));
        world.server.database.verify_usage().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_left_for_another_within_the_deadline() {
    let world = world(Database::sqlite().await).await;
    let hung = Proxy::to(port(&world.server)).await;
    hung.black_hole();
    // Each begins with one of the two.
    for number in 0..8 {
        let config = config(&hung, OnOutage::Deny).deadline(Duration::from_secs(2));
        let both = config.endpoint(format!("127.0.0.1:{}", world.network.port()));
        let client = Entitlements::connect(both.without_watch()).unwrap();
        let told = client.reserve(tenant(1), order(&format!("o-{number}"))).await.unwrap();
        assert_eq!((told.granted(), told.used()), (true, number + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rule_for_outages_grants_and_nobody_waits_once_it_is_known() {
    let world = world(Database::sqlite().await).await;
    world.lose_the_server().await;
    let guard = world.client.reserve_guarded(tenant(1), order("a")).await;
    assert!(matches!(guard, Err(Error::Unavailable(_))), "{guard:?}");
    assert!(matches!(
        world.client.release(tenant(1), ORDERS, "a").await,
        Err(Error::Unavailable(_))
    ));
    world.network.point_at(port(&world.server));
    let started = Instant::now();
    while world.client.reserve(tenant(1), order("a")).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "it recovers");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_slow_to_count_is_no_outage_for_modules() {
    use sea_orm::{ConnectionTrait, TransactionTrait};

    let world = world(Database::postgres().await).await;
    let hasty = config(&world.network, OnOutage::Deny).deadline(Duration::from_millis(600));
    let client = Entitlements::connect(hasty.without_watch()).unwrap();
    assert!(client.reserve(tenant(1), order("before")).await.unwrap().granted());
    let sitter = world.server.database.again().await;
    let sitting = sitter.connection.begin().await.unwrap();
    sitting.execute_unprepared("UPDATE entitlement_usage_counters SET used = used").await.unwrap();
    let slow = client.reserve(tenant(1), order("locked")).await;
    assert!(matches!(slow, Err(Error::Unavailable(_))), "{slow:?}");
    assert!(client.check(tenant(1), "finance").await.unwrap().allowed(), "nothing is held of it");
    sitting.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_somebody_sits_on_is_an_error_and_asked_once() {
    use sea_orm::{ConnectionTrait, TransactionTrait};

    let world = world(Database::postgres().await).await;
    let patient = config(&world.network, OnOutage::Allow).deadline(PATIENCE);
    let client = Entitlements::connect(patient).unwrap();
    assert!(client.reserve(tenant(1), order("before")).await.unwrap().granted());
    let sitter = world.server.database.again().await;
    let sitting = sitter.connection.begin().await.unwrap();
    sitting.execute_unprepared("UPDATE entitlement_usage_counters SET used = used").await.unwrap();
    let locked = client.reserve(tenant(1), order("locked")).await.unwrap_err();
    assert!(matches!(locked, Error::Unavailable(_)), "{locked:?}");
    assert_eq!(locked.word(), "COUNTER_LOCKED");
    let asked = world.server.metrics().await;
    let name = r#"rpc_duration_seconds_count{method="ReserveUsage",code="RESOURCE_EXHAUSTED"}"#;
    assert_eq!(asked.of(name), 1.0);
    sitting.rollback().await.unwrap();
    assert!(client.reserve(tenant(1), order("locked")).await.unwrap().granted());
}
