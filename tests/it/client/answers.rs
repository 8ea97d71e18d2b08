//! Answers: held, asked for, and made anew by changes and by time.

use std::time::Duration;

use chrono::TimeDelta;
use entitlement_client::{Entitlements, Error, OnOutage, Reason, TenantStatus, testing::Double};
use futures_util::future::join_all;

use super::{FLAGS, World, config, tenant};
use crate::{
    change_log::revision,
    harness::{Database, NOW, Row, logged::Logged, proxy::Proxy},
};

/// Writes a test twice: on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($(async fn $name:ident($world:ident: World) $body:block)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for database in [Database::sqlite().await, Database::postgres().await] {
                let $world = World::of(database, OnOutage::Deny).await;
                $body
            }
        }
    )*};
}

on_both! {
    async fn a_grant_that_is_held_is_given_without_the_server(world: World) {
        world.server.database.mk_subscribed(1, "finance", Row::default()).await;
        world.until(1, "finance", |answer| answer.allowed()).await;
        world.network.cut().await;
        let answer = world.client.check_held(tenant(1), "finance").unwrap();
        assert_eq!((answer.allowed(), answer.reason(), answer.message()), (true, Reason::Enabled, ""));
        assert!(!answer.is_stale() && !answer.by_outage_rule() && answer.revision() > 0);
        assert_eq!((answer.as_of(), answer.valid_until()), (Some(NOW), None));
    }

    async fn a_denial_comes_with_the_servers_reason_and_sentence_and_is_held_as_briefly_as_it_says(world: World) {
        world.server.database.mk_tenant(1, "one", "active").await;
        world.until(1, "finance", |answer| answer.reason() == Reason::NotSubscribed).await;
        let answer = world.check(1, "finance").await;
        let sentence = "Module 'finance' is not enabled for your account. Please upgrade your subscription.";
        assert_eq!((answer.allowed(), answer.message()), (false, sentence));
        assert_eq!(answer.plan_slugs(), ["growth", "professional", "enterprise"]);
        let asked = world.questions("CheckModule").await;
        world.advance(3);
        assert!(world.client.check_held(tenant(1), "finance").is_some());
        assert_eq!(world.questions("CheckModule").await, asked, "held for --denial-max-age, 5 s");
        world.advance(2);
        assert!(world.client.check_held(tenant(1), "finance").is_none());
    }

    async fn a_change_that_is_committed_by_hand_flips_what_is_held(world: World) {
        let database = &world.server.database;
        assert_eq!(world.check(1, "finance").await.reason(), Reason::TenantNotFound);
        database.mk_subscribed(1, "finance", Row::default()).await;
        world.until(1, "finance", |answer| answer.allowed()).await;
        database.execute("UPDATE tenant_subscriptions SET status = 'suspended'").await;
        world.until(1, "finance", |answer| answer.reason() == Reason::SubscriptionSuspended).await;
        database.execute("UPDATE tenant_subscriptions SET status = 'active'").await;
        world.until(1, "finance", |answer| answer.allowed()).await;
        database.set_status(1, "cancelled").await;
        world.until(1, "finance", |answer| answer.reason() == Reason::TenantCancelled).await;
    }

    async fn a_right_that_ends_while_it_is_held_ends(world: World) {
        let ends = Row { expires: Some(10), ..Row::default() };
        world.server.database.mk_subscribed(1, "finance", ends).await;
        world.until(1, "finance", |answer| answer.allowed()).await;
        let answer = world.check(1, "finance").await;
        assert_eq!(answer.valid_until(), Some(NOW + TimeDelta::seconds(10)));
        world.advance(9);
        assert!(world.check(1, "finance").await.allowed());
        world.advance(1);
        assert_eq!(world.check(1, "finance").await.reason(), Reason::SubscriptionExpired);
    }

    async fn a_right_that_begins_while_it_is_held_begins(world: World) {
        let begins = Row { starts: 10, ..Row::default() };
        world.server.database.mk_subscribed(1, "finance", begins).await;
        world.until(1, "finance", |answer| answer.reason() == Reason::SubscriptionNotStarted).await;
        world.advance(10);
        assert!(world.check(1, "finance").await.allowed());
    }

    async fn the_modules_of_a_tenant_are_those_that_it_may_use_now(world: World) {
        let database = &world.server.database;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.mk_subscription(1, "hrms", Row { starts: 10, ..Row::default() }).await;
        world.until(1, "finance", |answer| answer.allowed()).await;
        world.until(1, "hrms", |answer| answer.reason() == Reason::SubscriptionNotStarted).await;
        let codes = async || {
            let list = world.client.enabled_modules(tenant(1)).await.unwrap();
            assert_eq!(list.tenant_status, TenantStatus::Active);
            list.modules.iter().map(|module| module.module.code.clone()).collect::<Vec<_>>()
        };
        assert_eq!(codes().await, ["finance"]);
        world.advance(10);
        let mut both = codes().await;
        both.sort();
        assert_eq!(both, ["finance", "hrms"]);
        let unknown = world.client.enabled_modules(tenant(2)).await.unwrap_err();
        assert!(matches!(unknown, Error::Refused(status) if status.code() == tonic::Code::NotFound));
    }

    async fn a_writer_reads_its_own_write(world: World) {
        let database = &world.server.database;
        database.mk_subscribed(1, "finance", Row::default()).await;
        world.until(1, "finance", |answer| answer.allowed()).await;
        for (word, allowed) in [("suspended", false), ("active", true), ("cancelled", false)] {
            database.execute(&format!("UPDATE tenant_subscriptions SET status = '{word}'")).await;
            let written = revision(database, 1).await.cast_unsigned();
            let answer = world.client.at_least(written).check(tenant(1), "finance").await.unwrap();
            assert_eq!((answer.allowed(), answer.revision() >= written), (allowed, true), "{word}: {answer:?}");
        }
    }

    async fn of_several_modules_one_is_enough_or_all_are_needed(world: World) {
        world.server.database.mk_subscribed(1, "finance", Row::default()).await;
        world.until(1, "finance", |answer| answer.allowed()).await;
        let (client, one) = (&world.client, tenant(1));
        assert!(client.check_any(one, &["hrms", "finance"]).await.unwrap().allowed());
        let none = client.check_any(one, &["hrms", "marketing"]).await.unwrap();
        assert!(none.message().contains("'hrms'"), "{none:?}");
        assert!(client.check_all(one, &["finance"]).await.unwrap().allowed());
        let not_all = client.check_all(one, &["finance", "hrms", "marketing"]).await.unwrap();
        assert!(not_all.message().contains("'hrms'"), "{not_all:?}");
        assert!(matches!(client.check_any(one, &[""; 0]).await.unwrap_err(), Error::Refused(_)));
        assert!(matches!(client.require(one, "hrms").await.unwrap_err(), Error::Denied(answer) if !answer.allowed()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_of_one_cold_tenant_cost_one_call() {
    let world = World::of(Database::postgres().await, OnOutage::Deny).await;
    world.server.database.mk_subscribed(1, "finance", Row::default()).await;
    // News of the making has come once another server's answer would show it.
    world.until(1, "finance", |answer| answer.allowed()).await;
    let network = Proxy::to(super::port(&world.server)).await;
    let cold = Entitlements::connect(config(&network, OnOutage::Deny)).unwrap();
    cold.watching().await;
    let before = world.questions("ListEnabledModules").await;
    let answers = join_all((0..1_000).map(|_| cold.check(tenant(1), "finance"))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().allowed()));
    assert_eq!(world.questions("ListEnabledModules").await - before, 1.0);
    let answers = join_all((0..1_000).map(|_| cold.check(tenant(1), "hrms"))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().reason() == Reason::NotSubscribed));
}

#[tokio::test]
async fn news_of_others_however_many_leaves_what_is_held() {
    let double = Double::new();
    let client = double.client(OnOutage::Deny);
    double.allow(tenant(1), "finance");
    assert!(client.check(tenant(1), "finance").await.unwrap().allowed());
    // More than the double's clients hold.
    for number in 2..20_000 {
        double.allow(tenant(number), "finance");
    }
    assert!(client.check_held(tenant(1), "finance").unwrap().allowed());
    assert_eq!(client.held_tenants(), 1);
    double.deny(tenant(1), "finance", Reason::SubscriptionExpired);
    assert!(client.check_held(tenant(1), "finance").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_news_of_changes_answers_are_held_for_their_max_age() {
    let flags = [&FLAGS[..2], &["--changes", "off", "--max-age", "20s"]].concat();
    let world = World::with(Database::postgres().await, &flags, OnOutage::Deny).await;
    world.server.database.mk_subscribed(1, "finance", Row::default()).await;
    assert!(world.check(1, "finance").await.allowed());
    world.server.database.execute("UPDATE tenant_subscriptions SET status = 'suspended'").await;
    world.clock.advance(Duration::from_secs(19));
    assert!(world.client.check_held(tenant(1), "finance").unwrap().allowed());
    world.clock.advance(Duration::from_secs(1));
    assert!(world.client.check_held(tenant(1), "finance").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_can_be_none_is_refused() {
    let world = World::of(Database::sqlite().await, OnOutage::Allow).await;
    let error = world.client.check(tenant(1), "").await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused(status) if status.code() == tonic::Code::InvalidArgument),
        "{error:?}"
    );
    assert_eq!(error.word(), "INVALID_FIELD");
}

#[tokio::test]
async fn a_question_to_the_server_is_a_span() {
    let world = World::of(Database::sqlite().await, OnOutage::Deny).await;
    let logged = Logged::start();
    assert!(!world.check(1, "finance").await.allowed());
    let log = logged.text();
    assert!(
        log.contains(
            "entitlementd{rpc.system=\"grpc\" rpc.service=\"entitlement.v1.EntitlementService\""
        ),
        "{log}"
    );
    assert!(log.contains("rpc.method=\"ListEnabledModules\""), "{log}");
}
