//! CheckLimit, and limits in lists.

use chrono::TimeDelta;
use entitlementd::proto::v1::{
    CheckLimitRequest, CheckLimitResponse, DecisionReason, Limit, LimitEnforcement, LimitKind,
    LimitReason, LimitSource, ListEnabledModulesRequest,
};
use prost_types::Timestamp;
use tonic::Code;

use crate::{
    harness::{Database, Row, Server, id, instant},
    on_both,
};

impl Database {
    /// `value` and `ends_at` are SQL.
    pub async fn override_limit(&self, tenant: u32, key: &str, value: &str, ends_at: &str) {
        let tenant = self.uuid(&id(tenant));
        self.execute(&format!(
            "INSERT INTO entitlement_limit_overrides (tenant_id, key, value, ends_at)
             VALUES ({tenant}, '{key}', {value}, {ends_at})"
        ))
        .await;
    }

    /// What the tenant keeps of the plan that it is on. `value` is SQL.
    pub async fn keep_limit(&self, tenant: u32, key: &str, value: &str) {
        let tenant = self.uuid(&id(tenant));
        self.execute(&format!(
            "INSERT INTO entitlement_kept_limits (tenant_id, plan_id, key, value, kept_at)
             SELECT id, plan_id, '{key}', {value}, '2026-11-20T00:00:00+00:00' FROM tenants WHERE id = {tenant}"
        ))
        .await;
    }

    pub async fn limit_of_plan(&self, plan: &str, column: &str, value: &str) {
        self.execute(&format!("UPDATE plans SET {column} = {value} WHERE slug = '{plan}'")).await;
    }
}

fn request(key: &str, observed: i64, amount: i64) -> CheckLimitRequest {
    CheckLimitRequest {
        tenant_id: id(1),
        limit_key: key.to_owned(),
        amount,
        observed: Some(observed),
        ..Default::default()
    }
}

async fn ask(server: &mut Server, request: CheckLimitRequest) -> CheckLimitResponse {
    server.client.check_limit(request).await.unwrap().into_inner()
}

/// What is decided past the cache: the rows were written a moment ago.
async fn decide(server: &mut Server, key: &str, observed: i64, amount: i64) -> CheckLimitResponse {
    // What plans say is believed for `--cache-ttl`, where nobody says that it has changed.
    server.outlive_the_catalogue(301).await;
    ask(server, CheckLimitRequest { min_revision: Some(1), ..request(key, observed, amount) }).await
}

async fn enforcing(database: Database, enforce: &str) -> Server {
    Server::start_with(database, &["--changes", "off", "--enforce-limits", enforce]).await
}

async fn enforced(database: Database) -> Server {
    enforcing(database, "on").await
}

fn seconds(at: Option<Timestamp>) -> Option<i64> {
    at.map(|at| at.seconds)
}

on_both! {
    async fn the_plan_says_how_many_and_null_is_unlimited(server: Server) {
        let mut server = enforced(server.database.again().await).await;
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        let none = decide(&mut server, "users", 1_000_000, 1).await;
        assert_eq!((none.allowed, none.reason(), none.limit), (true, LimitReason::NoPlan, None));
        assert_eq!(none.source(), LimitSource::None);

        database.put_on_plan(1, "starter").await;
        database.limit_of_plan("starter", "max_users", "5").await;
        database.limit_of_plan("growth", "max_users", "20").await;
        database.limit_of_plan("professional", "max_users", "6").await;
        let within = decide(&mut server, "users", 4, 1).await;
        assert_eq!((within.allowed, within.reason()), (true, LimitReason::Within));
        assert_eq!((within.limit, within.used, within.remaining), (Some(5), 4, Some(1)));
        assert_eq!((within.source(), within.kind()), (LimitSource::Plan, LimitKind::Level));
        assert_eq!((within.enforcement(), within.message.as_str()), (LimitEnforcement::On, ""));
        assert!(within.plan_slugs.is_empty());

        let exceeded = decide(&mut server, "users", 5, 1).await;
        assert_eq!((exceeded.allowed, exceeded.reason()), (false, LimitReason::Exceeded));
        assert!(exceeded.message.contains("'users' of 5"), "{}", exceeded.message);
        let plans = decide(&mut server, "users", 5, 2).await.plan_slugs;
        assert!(plans.contains(&"growth".into()) && !plans.contains(&"professional".into()), "{plans:?}");
        assert_eq!(decide(&mut server, "users", 5, 0).await.reason(), LimitReason::Within);

        database.limit_of_plan("starter", "max_users", "3").await;
        let lowered = decide(&mut server, "users", 5, 0).await;
        assert_eq!((lowered.allowed, lowered.reason()), (false, LimitReason::OverLimit));
        assert_eq!(lowered.remaining, Some(-2));

        database.limit_of_plan("starter", "max_users", "0").await;
        assert_eq!(decide(&mut server, "users", 0, 1).await.reason(), LimitReason::Exceeded);
        database.limit_of_plan("starter", "max_users", "-7").await;
        assert_eq!(decide(&mut server, "users", 0, 1).await.limit, Some(0), "nobody has fewer than none");
        database.limit_of_plan("starter", "max_users", "NULL").await;
        let unlimited = decide(&mut server, "users", i64::MAX, i64::MAX).await;
        assert_eq!((unlimited.allowed, unlimited.reason()), (true, LimitReason::Unlimited));
        assert_eq!((unlimited.limit, unlimited.remaining), (None, None));

        database.limit_of_plan("starter", "max_transactions_monthly", "1000").await;
        let orders = decide(&mut server, "transactions_monthly", i64::MAX, i64::MAX).await;
        assert_eq!((orders.reason(), orders.kind()), (LimitReason::OverLimit, LimitKind::Monthly));
    }

    async fn an_override_wins_until_it_ends(server: Server) {
        let mut server = enforced(server.database.again().await).await;
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
        database.limit_of_plan("starter", "max_users", "5").await;
        let end = instant(1_000).to_rfc3339();
        database.override_limit(1, "users", "50", &format!("'{end}'")).await;
        let own = ask(&mut server, request("users", 10, 1)).await;
        assert_eq!((own.allowed, own.limit, own.source()), (true, Some(50), LimitSource::Override));
        let valid_until = own.freshness.unwrap().valid_until;
        assert_eq!(seconds(valid_until), Some(instant(1_000).timestamp()));
        let then = CheckLimitRequest { at: valid_until, ..request("users", 10, 1) };
        let over = ask(&mut server, then).await;
        assert_eq!((over.reason(), over.limit, over.source()), (LimitReason::OverLimit, Some(5), LimitSource::Plan));

        database.execute("UPDATE entitlement_limit_overrides SET value = NULL, ends_at = NULL").await;
        let unlimited = decide(&mut server, "users", 1_000, 1).await;
        assert_eq!((unlimited.reason(), unlimited.source()), (LimitReason::Unlimited, LimitSource::Override));
        assert_eq!(unlimited.freshness.unwrap().valid_until, None);
        database.execute("UPDATE entitlement_limit_overrides SET value = 0").await;
        let refused = decide(&mut server, "users", 0, 1).await;
        assert_eq!(refused.reason(), LimitReason::Exceeded);
        assert!(refused.plan_slugs.is_empty(), "it is in force on any plan: {refused:?}");
        // As `datetime()` of SQLite writes it, and PostgreSQL reads it in UTC.
        let ahead = (instant(1_000) + TimeDelta::days(1)).format("%F %T").to_string();
        database.execute(&format!("UPDATE entitlement_limit_overrides SET value = 7, ends_at = '{ahead}'")).await;
        let until = decide(&mut server, "users", 6, 1).await;
        assert_eq!((until.limit, until.source()), (Some(7), LimitSource::Override));
        let refused = database.try_execute("UPDATE entitlement_limit_overrides SET value = -1").await;
        assert!(refused.is_err(), "a negative limit");
    }

    async fn limits_of_ones_own_are_defined_and_given_by_plans(server: Server) {
        let mut server = enforced(server.database.again().await).await;
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "growth").await;
        let unknown = decide(&mut server, "warehouses", 0, 1).await;
        assert_eq!((unknown.allowed, unknown.reason()), (false, LimitReason::NotFound));
        database.execute("INSERT INTO entitlement_limits (key, kind) VALUES ('warehouses', 'level')").await;
        assert_eq!(decide(&mut server, "warehouses", 9, 1).await.reason(), LimitReason::Unlimited);
        database.execute(
            "INSERT INTO entitlement_plan_limits (plan_id, key, value) SELECT id, 'warehouses', 3 FROM plans WHERE slug = 'growth'"
        ).await;
        let given = decide(&mut server, "warehouses", 3, 1).await;
        assert_eq!((given.reason(), given.limit), (LimitReason::Exceeded, Some(3)));
        for wrong in [
            "INSERT INTO entitlement_limits (key, kind) VALUES ('users', 'level')",
            "INSERT INTO entitlement_limits (key, kind) VALUES ('x', 'weekly')",
        ] {
            assert!(database.try_execute(wrong).await.is_err(), "{wrong}");
        }
        // One that nobody has defined is the tenant's alone.
        database.override_limit(1, "printers", "2", "NULL").await;
        assert_eq!(decide(&mut server, "printers", 2, 1).await.reason(), LimitReason::Exceeded);

        let list = ListEnabledModulesRequest { tenant_id: id(1), include_features: true, min_revision: Some(1), ..Default::default() };
        let list = server.list(list).await.unwrap();
        let keys: Vec<&str> = list.limits.iter().map(|limit| limit.key.as_str()).collect();
        assert_eq!(keys, ["printers", "transactions_monthly", "users", "warehouses"]);
        assert_eq!(list.limit_enforcement(), LimitEnforcement::On);
        assert_eq!(list.limits[3], Limit {
            key: "warehouses".into(),
            limit: Some(3),
            source: LimitSource::Plan.into(),
            kind: LimitKind::Level.into(),
            valid_until: None,
            no_plan: false,
        });
    }

    async fn what_is_not_enforced_is_allowed_and_says_what_would_be(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
        database.limit_of_plan("starter", "max_users", "5").await;
        for (enforce, enforcement) in [("off", LimitEnforcement::Off), ("shadow", LimitEnforcement::Shadow)] {
            let mut server = enforcing(database.again().await, enforce).await;
            let answer = decide(&mut server, "users", 5, 1).await;
            assert_eq!((answer.allowed, answer.reason()), (true, LimitReason::Exceeded));
            assert_eq!((answer.enforcement(), answer.plan_slugs.is_empty()), (enforcement, false));
        }
        database.set_status(1, "suspended").await;
        let denied = decide(&mut server, "users", 0, 1).await;
        assert_eq!((denied.allowed, denied.reason()), (false, LimitReason::TenantDenied));
        assert_eq!(denied.tenant_reason(), DecisionReason::TenantSuspended);
        assert!(denied.message.contains("suspended"), "{}", denied.message);
    }

    async fn nonsense_is_refused_and_named(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        let good = request("users", 0, 1);
        let long = "k".repeat(51);
        for wrong in [
            CheckLimitRequest { limit_key: String::new(), ..good.clone() },
            CheckLimitRequest { limit_key: long, ..good.clone() },
            CheckLimitRequest { limit_key: "a\tb".into(), ..good.clone() },
            CheckLimitRequest { amount: -1, ..good.clone() },
            CheckLimitRequest { observed: Some(-1), ..good.clone() },
            CheckLimitRequest { tenant_id: "acme".into(), ..good },
        ] {
            let refused = server.client.check_limit(wrong.clone()).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{wrong:?}");
        }
    }
}
