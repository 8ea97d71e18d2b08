//! Features and limits: held with the list, asked for, and made anew by changes and by time.

use std::time::Instant;

use chrono::TimeDelta;
use entitlement_client::{
    Entitlements, Error, FeatureAnswer, FeatureReason, LimitEnforcement, LimitKind, LimitReason,
    LimitSource, OnOutage, Reason,
};
use futures_util::future::join_all;
use serde_json::json;
use tonic::Code;

use super::{FLAGS, PATIENCE, World, config, tenant};
use crate::{
    change_log::revision,
    features::Defined,
    harness::{Database, NOW, Row, instant, proxy::Proxy},
};

pub const KEY: &str = "multi_currency";

/// Writes a test twice: on SQLite and on PostgreSQL. Tenant 1 is on the plan "starter" and has
/// subscribed to finance, of which there is one feature.
macro_rules! on_both {
    ($(async fn $name:ident($world:ident: World) $body:block)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            for database in [Database::sqlite().await, Database::postgres().await] {
                let $world = world(database, OnOutage::Deny).await;
                $body
            }
        }
    )*};
}

pub async fn fill(database: &Database) {
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.put_on_plan(1, "starter").await;
    database.limit_of_plan("starter", "max_users", "5").await;
    database.define("finance", Defined::default()).await;
}

async fn world(database: Database, on_outage: OnOutage) -> World {
    fill(&database).await;
    let flags = [&FLAGS[..], &["--enforce-limits", "on"]].concat();
    World::with(database, &flags, on_outage).await
}

impl World {
    pub async fn feature(&self, key: &str) -> FeatureAnswer {
        self.client.feature(tenant(1), "finance", key).await.unwrap()
    }

    /// Asks until the answer is such, and held: news travels by itself.
    pub async fn until_feature(&self, key: &str, such: impl Fn(&FeatureAnswer) -> bool) {
        drop(self.held_feature(key, such).await);
    }

    /// The same, and what was held then: late news of the catalogue outdates all that is held.
    async fn held_feature(
        &self,
        key: &str,
        such: impl Fn(&FeatureAnswer) -> bool,
    ) -> FeatureAnswer {
        let started = Instant::now();
        loop {
            let answer = self.feature(key).await;
            let held = self.client.feature_held(tenant(1), "finance", key);
            if such(&answer)
                && let Some(held) = held.filter(&such)
            {
                return held;
            }
            assert!(started.elapsed() < PATIENCE, "still {answer:?}");
            tokio::task::yield_now().await;
        }
    }

    /// The same for a limit, which need not be held.
    async fn until_limit(&self, key: &str, limit: Option<i64>) {
        let started = Instant::now();
        loop {
            let answer = self.client.limit(tenant(1), key).await.unwrap();
            if answer.limit() == limit {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "still {answer:?}");
            tokio::task::yield_now().await;
        }
    }
}

on_both! {
    async fn a_feature_is_on_or_off_without_the_server_and_an_unknown_one_is_off(world: World) {
        let database = &world.server.database;
        database.flag(1, "finance", "rows", "true", r#"'{"most": 100, "of": ["a", 1.5]}'"#).await;
        world.until_feature("rows", FeatureAnswer::enabled).await;
        let asked = world.questions("CheckFeature").await;
        world.network.cut().await;
        let on = world.client.feature_held(tenant(1), "finance", "rows").unwrap();
        assert_eq!((on.enabled(), on.reason(), on.message()), (true, FeatureReason::Tenant, ""));
        assert_eq!(on.value(), Some(&json!({"most": 100, "of": ["a", 1.5]})));
        assert_eq!((on.module_reason(), on.as_of(), on.valid_until()), (Reason::Enabled, Some(NOW), None));
        assert!(!on.is_stale() && !on.by_outage_rule() && on.revision() > 0);
        let off = world.client.feature_held(tenant(1), "finance", KEY).unwrap();
        assert_eq!((off.enabled(), off.reason(), off.value()), (false, FeatureReason::Default, None));
        assert_eq!(off.message(), "The feature 'multi_currency' of module 'finance' is switched off.");
        let unknown = world.client.feature_held(tenant(1), "finance", "teleport").unwrap();
        assert_eq!((unknown.enabled(), unknown.reason()), (false, FeatureReason::NotFound));
        assert_eq!(unknown.message(), "There is no feature 'teleport' in module 'finance'.");
        assert_eq!(world.questions("CheckFeature").await, asked, "nothing was asked for");
    }

    async fn what_is_held_says_what_the_server_says(world: World) {
        let database = &world.server.database;
        database.plan_says("starter", "finance", KEY, false, "NULL").await;
        database.define("finance", Defined { key: "rows", value_type: "int64", is_on: true, value: "'7'" }).await;
        database.define("finance", Defined { key: "odd", value_type: "int64", is_on: true, value: "NULL" }).await;
        database.flag(1, "finance", "odd", "true", r#"'"many"'"#).await;
        world.until_feature("odd", |odd| odd.reason() == FeatureReason::ValueUnreadable).await;
        world.until_feature(KEY, |it| it.reason() == FeatureReason::Plan).await;
        let mut grpc = world.server.client.clone();
        for key in [KEY, "rows", "odd", "teleport"] {
            let held = world.held_feature(key, |_| true).await;
            let request = entitlementd::proto::v1::CheckFeatureRequest {
                tenant_id: tenant(1).to_string(),
                module_code: "finance".into(),
                feature_key: key.into(),
                ..Default::default()
            };
            let said = grpc.check_feature(request).await.unwrap().into_inner().decision.unwrap();
            assert_eq!((held.enabled(), held.message()), (said.enabled, &*said.message), "{key}");
            assert_eq!(said.reason().as_str_name().strip_prefix("FEATURE_REASON_"), Some(held.reason().as_str()));
            assert_eq!(held.value().is_some(), said.value.is_some(), "{key}");
        }
        assert_eq!(world.feature("rows").await.value(), Some(&json!(7)));
    }

    async fn flags_plans_and_definitions_flip_what_is_held(world: World) {
        let database = &world.server.database;
        world.until_feature(KEY, |it| it.reason() == FeatureReason::Default).await;
        database.plan_says("starter", "finance", KEY, true, "NULL").await;
        world.until_feature(KEY, |it| it.enabled() && it.reason() == FeatureReason::Plan).await;
        database.flag(1, "finance", KEY, "false", "'{}'").await;
        world.until_feature(KEY, |it| !it.enabled() && it.reason() == FeatureReason::Tenant).await;
        database.execute("UPDATE feature_flags SET is_enabled = true").await;
        world.until_feature(KEY, FeatureAnswer::enabled).await;
        database.execute("DELETE FROM feature_flags").await;
        database.execute("DELETE FROM entitlement_plan_features").await;
        database.execute("UPDATE entitlement_features SET default_enabled = true").await;
        world.until_feature(KEY, |it| it.enabled() && it.reason() == FeatureReason::Default).await;
    }

    async fn where_the_module_is_denied_the_server_says_why_and_that_is_held_as_a_denial(world: World) {
        let denied = |answer: &FeatureAnswer| answer.reason() == FeatureReason::ModuleDenied;
        let ask = async || world.client.feature(tenant(1), "hrms", "payroll").await.unwrap();
        let answer = ask().await;
        assert!(denied(&answer) && !answer.enabled(), "{answer:?}");
        assert_eq!(answer.module_reason(), Reason::NotSubscribed);
        assert_eq!(answer.message(), "Module 'hrms' is not enabled for your account. Please upgrade your subscription.");
        let asked = world.questions("CheckFeature").await;
        world.advance(3);
        assert!(denied(&ask().await));
        assert_eq!(world.questions("CheckFeature").await, asked, "held for --denial-max-age, 5 s");
        world.advance(2);
        assert!(world.client.feature_held(tenant(1), "hrms", "payroll").is_none());
        assert!(world.client.feature_held(tenant(1), "hrms", "other").is_none(), "another feature");
        assert!(denied(&ask().await));
        world.server.database.mk_subscription(1, "hrms", Row::default()).await;
        world.until(1, "hrms", |answer| answer.allowed()).await;
        assert_eq!(ask().await.reason(), FeatureReason::NotFound);
        assert_eq!(world.client.feature(tenant(7), "hrms", "payroll").await.unwrap().module_reason(), Reason::TenantNotFound);
    }

    async fn a_feature_ends_with_its_module(world: World) {
        let database = &world.server.database;
        database.mk_subscription(1, "hrms", Row { expires: Some(10), ..Row::default() }).await;
        database.flag(1, "hrms", "payroll", "true", "'{}'").await;
        world.until(1, "hrms", |answer| answer.allowed()).await;
        let ask = async || world.client.feature(tenant(1), "hrms", "payroll").await.unwrap();
        let started = Instant::now();
        while !ask().await.enabled() {
            assert!(started.elapsed() < PATIENCE);
        }
        assert_eq!(ask().await.valid_until(), Some(NOW + TimeDelta::seconds(10)));
        world.advance(9);
        assert!(ask().await.enabled());
        world.advance(1);
        assert_eq!(ask().await.module_reason(), Reason::SubscriptionExpired);
    }

    async fn a_limit_is_decided_without_the_server_and_follows_plan_and_override(world: World) {
        let (client, one, database) = (&world.client, tenant(1), &world.server.database);
        world.until_limit("users", Some(5)).await;
        let limit = client.limit(one, "users").await.unwrap();
        assert_eq!((limit.source(), limit.kind(), limit.reason()), (LimitSource::Plan, LimitKind::Level, LimitReason::Within));
        let within = client.within_limit(one, "users", 4, 1).await.unwrap();
        assert_eq!((within.allowed(), within.limit(), within.used(), within.remaining()), (true, Some(5), 4, Some(1)));
        let refused = client.within_limit(one, "users", 5, 1).await.unwrap();
        assert_eq!((refused.allowed(), refused.reason()), (false, LimitReason::Exceeded));
        assert_eq!(refused.message(), "This would exceed the limit 'users' of 5.");
        assert_eq!((refused.enforcement(), refused.in_force().revision() > 0), (LimitEnforcement::On, true));
        assert!(matches!(client.require_within_limit(one, "users", 5, 1).await, Err(Error::BeyondLimit(_))));
        assert!(client.require_within_limit(one, "users", 4, 1).await.is_ok());
        let unknown = client.within_limit(one, "teleports", 0, 0).await.unwrap();
        assert_eq!((unknown.allowed(), unknown.reason()), (false, LimitReason::NotFound));
        assert_eq!(world.questions("CheckLimit").await, 0.0);

        database.limit_of_plan("starter", "max_users", "3").await;
        world.until_limit("users", Some(3)).await;
        assert_eq!(client.within_limit(one, "users", 5, 0).await.unwrap().reason(), LimitReason::OverLimit);
        database.override_limit(1, "users", "50", &format!("'{}'", instant(10).to_rfc3339())).await;
        world.until_limit("users", Some(50)).await;
        let own = client.limit(one, "users").await.unwrap();
        assert_eq!((own.source(), own.valid_until()), (LimitSource::Override, Some(instant(10))));
        world.advance(9);
        assert_eq!(client.limit(one, "users").await.unwrap().limit(), Some(50));
        world.advance(1);
        assert_eq!(client.limit(one, "users").await.unwrap().limit(), Some(3), "it has ended, on the dot");
        assert_eq!(world.questions("CheckLimit").await, 0.0);

        database.execute("UPDATE tenants SET plan_id = NULL").await;
        world.until_limit("users", None).await;
        let none = client.within_limit(one, "users", 1_000, 1).await.unwrap();
        assert_eq!((none.allowed(), none.reason(), none.remaining()), (true, LimitReason::NoPlan, None));
        database.set_status(1, "suspended").await;
        world.until(1, "finance", |answer| !answer.allowed()).await;
        let denied = client.within_limit(one, "users", 0, 0).await.unwrap();
        assert_eq!((denied.allowed(), denied.reason(), denied.in_force().tenant_reason()), (false, LimitReason::TenantDenied, Reason::TenantSuspended));
        assert_eq!(denied.message(), "Your account is suspended. Please contact support.");
        assert_eq!(client.limit(tenant(7), "users").await.unwrap().tenant_reason(), Reason::TenantNotFound);
    }

    async fn a_writer_reads_its_own_flags_and_overrides(world: World) {
        let database = &world.server.database;
        world.until_feature(KEY, |it| !it.enabled()).await;
        database.flag(1, "finance", KEY, "true", "'{}'").await;
        database.override_limit(1, "users", "50", "NULL").await;
        let written = revision(database, 1).await.cast_unsigned();
        let fresh = world.client.at_least(written);
        let answer = fresh.feature(tenant(1), "finance", KEY).await.unwrap();
        assert!(answer.enabled() && answer.revision() >= written, "{answer:?}");
        assert_eq!(fresh.limit(tenant(1), "users").await.unwrap().limit(), Some(50));
    }

    async fn a_feature_that_is_off_is_an_error_where_it_is_required(world: World) {
        let client = &world.client;
        let off = client.require_feature(tenant(1), "finance", KEY).await.unwrap_err();
        assert!(matches!(&off, Error::FeatureOff(answer) if !answer.enabled()));
        assert_eq!((off.word().as_str(), off.to_string().is_empty()), ("DEFAULT", false));
        let status = tonic::Status::from(off);
        assert_eq!(status.code(), Code::PermissionDenied);
        let denied = client.require_feature(tenant(1), "hrms", KEY).await.unwrap_err();
        assert_eq!(denied.word(), "NOT_SUBSCRIBED");
        world.server.database.flag(1, "finance", KEY, "true", "'{}'").await;
        world.until_feature(KEY, FeatureAnswer::enabled).await;
        assert!(client.require_feature(tenant(1), "finance", KEY).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_that_are_not_enforced_allow_and_say_what_would_be() {
    for (enforce, enforcement) in
        [("off", LimitEnforcement::Off), ("shadow", LimitEnforcement::Shadow)]
    {
        let database = Database::sqlite().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
        database.limit_of_plan("starter", "max_users", "5").await;
        let flags = [&FLAGS[..], &["--enforce-limits", enforce]].concat();
        let world = World::with(database, &flags, OnOutage::Deny).await;
        let answer = world.client.within_limit(tenant(1), "users", 5, 1).await.unwrap();
        assert_eq!((answer.allowed(), answer.reason()), (true, LimitReason::Exceeded));
        assert_eq!((answer.enforcement(), answer.message().is_empty()), (enforcement, false));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_and_negative_numbers_are_never_sent() {
    let world = world(Database::sqlite().await, OnOutage::Allow).await;
    world.lose_the_server().await;
    for (observed, amount) in [(-1, 1), (1, -1), (i64::MIN, i64::MIN)] {
        let error = world.client.within_limit(tenant(1), "users", observed, amount).await;
        let is_it =
            matches!(&error, Err(Error::Refused(status)) if status.code() == Code::InvalidArgument);
        assert!(is_it, "{error:?}");
    }
    let world = self::world(Database::sqlite().await, OnOutage::Allow).await;
    let error = world.client.feature(tenant(1), "", "").await.unwrap_err();
    assert_eq!(error.word(), "INVALID_FIELD");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_of_one_cold_tenant_cost_one_call_and_so_do_those_of_a_denied_feature() {
    let world = world(Database::postgres().await, OnOutage::Deny).await;
    world.until_feature(KEY, |it| !it.enabled()).await;
    let network = Proxy::to(super::port(&world.server)).await;
    let cold = Entitlements::connect(config(&network, OnOutage::Deny)).unwrap();
    cold.watching().await;
    let before = world.questions("ListEnabledModules").await;
    let one = tenant(1);
    let answers = join_all((0..1_000).map(|_| cold.feature(one, "finance", KEY))).await;
    assert!(answers.into_iter().all(|it| it.unwrap().reason() == FeatureReason::Default));
    let limits = join_all((0..1_000).map(|_| cold.within_limit(one, "users", 4, 1))).await;
    assert!(limits.into_iter().all(|it| it.unwrap().allowed()));
    assert_eq!(world.questions("ListEnabledModules").await - before, 1.0);
    let answers = join_all((0..1_000).map(|_| cold.feature(one, "hrms", KEY))).await;
    assert!(answers.into_iter().all(|it| it.unwrap().reason() == FeatureReason::ModuleDenied));
    assert_eq!(world.questions("CheckFeature").await, 1.0);
}
