//! What tenants keep of their plan when it is changed: KEEP, EndKeptFeature and EndKeptLimit.

use entitlementd::{
    domain::Role,
    proto::v1::{
        AuditEvent, ChangePlanRequest, CheckFeatureRequest, CheckFeatureResponse,
        CheckLimitRequest, CheckLimitResponse, DeleteTenantRequest, EndKeptFeatureRequest,
        EndKeptLimitRequest, ExistingTenants, ExplainFeatureRequest, ExplainLimitRequest,
        FeatureReason, GetTenantRequest, KeepingTenants, LimitReason, LimitSource,
        ListAuditEventsRequest, PreviewFeatureChangeRequest, SetPlanFeatureRequest,
        SetPlanLimitRequest, UpsertFeatureRequest, UpsertPlanRequest,
        preview_feature_change_request, preview_feature_change_response,
    },
};
use prost_types::{Timestamp, Value, value::Kind};

use super::{
    Admin,
    features::{end, feature, limit, number},
    mutate::{violation, violations},
};
use crate::harness::{Database, NOW, Row, id, instant, server::reason_of};

const KEPT: &str = "kept from before 2026-11-23";

fn says(enabled: Option<bool>, value: Option<Value>) -> SetPlanFeatureRequest {
    SetPlanFeatureRequest {
        plan_slug: "starter".into(),
        module_code: "finance".into(),
        feature_key: "rows".into(),
        enabled,
        value,
        existing_tenants: ExistingTenants::Keep.into(),
        ..Default::default()
    }
}

fn allows(limit: Option<i64>) -> SetPlanLimitRequest {
    SetPlanLimitRequest {
        plan_slug: "starter".into(),
        limit_key: "users".into(),
        limit,
        existing_tenants: ExistingTenants::Keep.into(),
        ..Default::default()
    }
}

fn plan(slug: &str) -> ChangePlanRequest {
    ChangePlanRequest { tenant: id(1), plan_slug: slug.into(), ..Default::default() }
}

fn end_feature(key: &str) -> EndKeptFeatureRequest {
    EndKeptFeatureRequest {
        tenant: id(1),
        module_code: "finance".into(),
        feature_key: key.into(),
        ..Default::default()
    }
}

fn end_limit(key: &str) -> EndKeptLimitRequest {
    EndKeptLimitRequest { tenant: "tenant-1".into(), limit_key: key.into(), ..Default::default() }
}

impl Admin {
    async fn feature_now(&mut self) -> CheckFeatureResponse {
        self.server.outlive_the_catalogue(301).await;
        let request = CheckFeatureRequest {
            tenant_id: id(1),
            module_code: "finance".into(),
            feature_key: "rows".into(),
            min_revision: Some(1),
            at: None,
        };
        self.server.client.check_feature(request).await.unwrap().into_inner()
    }

    async fn limit_now(&mut self, at: Option<Timestamp>) -> CheckLimitResponse {
        self.server.outlive_the_catalogue(301).await;
        let request = CheckLimitRequest {
            tenant_id: id(1),
            limit_key: "users".into(),
            observed: Some(5),
            amount: 1,
            min_revision: Some(1),
            at,
        };
        self.server.client.check_limit(request).await.unwrap().into_inner()
    }

    /// Is the feature on, and with which value; and how many users there may be.
    async fn terms(&mut self) -> (bool, Option<Value>, Option<i64>) {
        let decision = self.feature_now().await.decision.unwrap();
        (decision.enabled, decision.value, self.limit_now(None).await.limit)
    }

    async fn history(&mut self, tenant_id: String) -> Vec<AuditEvent> {
        let request = ListAuditEventsRequest { tenant_id, ..Default::default() };
        let request = self.by(Role::Viewer, request);
        self.client.list_audit_events(request).await.unwrap().into_inner().events
    }

    async fn count(&self, table: &str) -> i64 {
        let row = self.server.database.one(&format!("SELECT count(*) AS n FROM {table}")).await;
        row.try_get("", "n").unwrap()
    }
}

/// Two tenants on starter, which allows five users and has the feature `rows` on, with 7.
async fn both() -> [Admin; 2] {
    let mut admins = Vec::new();
    for database in [Database::sqlite().await, Database::postgres().await] {
        for tenant in [1, 2] {
            database.mk_subscribed(tenant, "finance", Row::default()).await;
            database.put_on_plan(tenant, "starter").await;
        }
        let mut admin = Admin::of(database, &["--enforce-limits", "on"]).await;
        admin.define(feature("rows")).await.unwrap();
        admin.server.database.plan_says("starter", "finance", "rows", true, "'7'").await;
        admins.push(admin);
    }
    admins.try_into().unwrap_or_else(|_| unreachable!())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_plan_gives_its_own_terms_and_a_return_those_of_today() {
    for mut admin in both().await {
        admin.set_plan_feature(says(Some(false), None)).await.unwrap();
        admin.set_plan_limit(allows(Some(3))).await.unwrap();
        assert_eq!(admin.terms().await, (true, number(7.0), Some(5)));

        // The ERP itself moves it, and back again.
        admin.server.database.put_on_plan(1, "growth").await;
        assert_eq!(admin.terms().await, (false, None, Some(20)));
        admin.server.database.put_on_plan(1, "starter").await;
        assert_eq!(admin.terms().await, (true, number(7.0), Some(5)));

        admin.change_plan(plan("growth")).await.unwrap();
        assert_eq!(admin.limit_now(None).await.limit, Some(20));
        assert_eq!(admin.feature_now().await.decision.unwrap().reason(), FeatureReason::Default);
        admin.change_plan(plan("starter")).await.unwrap();
        assert_eq!(admin.limit_now(None).await.limit, Some(3));
        let subscribed = "UPDATE tenant_subscriptions SET status = 'active', expires_at = NULL";
        admin.server.database.execute(subscribed).await;
        assert_eq!(admin.terms().await, (false, None, Some(3)));
        assert_eq!(admin.count("entitlement_kept_limits").await, 1, "the other tenant's");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_without_a_value_keeps_the_value_that_it_inherits() {
    for mut admin in both().await {
        admin.server.database.flag(1, "finance", "rows", "true", "'{}'").await;
        admin.set_plan_feature(says(Some(true), number(8.0))).await.unwrap();
        let decision = admin.feature_now().await.decision.unwrap();
        assert_eq!((decision.reason(), decision.value), (FeatureReason::Tenant, number(7.0)));
        // Without a flag it has what it would have inherited.
        admin.delete_flag(super::features::no_flag("rows")).await.unwrap();
        let decision = admin.feature_now().await.decision.unwrap();
        assert_eq!((decision.reason(), decision.value), (FeatureReason::Plan, number(7.0)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feature_without_a_value_is_kept_without_one_and_a_plan_that_said_nothing_goes_on_so() {
    for mut admin in both().await {
        admin.server.database.plan_says("starter", "finance", "bare", true, "NULL").await;
        admin.define(feature("bare")).await.unwrap();
        let bare =
            SetPlanFeatureRequest { feature_key: "bare".into(), ..says(Some(true), number(8.0)) };
        admin.set_plan_feature(bare).await.unwrap();
        admin.feature_now().await;
        let bare = admin.feature_at("bare", 1).await;
        assert_eq!(bare, (true, FeatureReason::Plan, None));

        let silent =
            SetPlanFeatureRequest { feature_key: "silent".into(), ..says(Some(false), None) };
        let on = |default_enabled| UpsertFeatureRequest {
            default_enabled: Some(default_enabled),
            ..feature("silent")
        };
        admin.define(on(true)).await.unwrap();
        admin.set_plan_feature(silent).await.unwrap();
        admin.feature_now().await;
        let decided = admin.feature_at("silent", 1).await;
        assert_eq!((decided.0, decided.1), (true, FeatureReason::Default));
        admin.define(on(false)).await.unwrap();
        admin.feature_now().await;
        assert!(!admin.feature_at("silent", 1).await.0, "a default holds for whoever has no other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_that_ends_is_followed_by_the_limit_that_is_kept() {
    for mut admin in both().await {
        let later = instant(10_000_000);
        let ends_at = format!("'{}'", later.to_rfc3339());
        admin.server.database.override_limit(1, "users", "9", &ends_at).await;
        admin.set_plan_limit(allows(Some(3))).await.unwrap();
        let now = admin.limit_now(None).await;
        assert_eq!((now.limit, now.source()), (Some(9), LimitSource::Override));
        let at = Timestamp { seconds: later.timestamp(), nanos: 0 };
        let after = admin.limit_now(Some(at)).await;
        assert_eq!((after.limit, after.source()), (Some(5), LimitSource::Plan));
        admin.end_limit(end("users")).await.unwrap();
        assert_eq!(admin.limit_now(None).await.limit, Some(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_less_than_its_plan_says_now_is_not_advised_to_take_that_plan() {
    for mut admin in both().await {
        let database = admin.server.database.again().await;
        let with_finance =
            "UPDATE plans SET included_modules = '[\"finance\"]' WHERE slug = 'starter'";
        database.execute(with_finance).await;
        database
            .execute("UPDATE entitlement_plan_features SET enabled = false, value = NULL")
            .await;
        for slug in ["starter", "growth"] {
            let more = SetPlanFeatureRequest { plan_slug: slug.into(), ..says(Some(true), None) };
            admin.set_plan_feature(more).await.unwrap();
        }
        admin.set_plan_limit(allows(Some(50))).await.unwrap();
        let decision = admin.feature_now().await.decision.unwrap();
        assert_eq!((decision.enabled, decision.reason()), (false, FeatureReason::Plan));
        assert_eq!(decision.plan_slugs, ["growth"]);
        let limit = admin.limit_now(None).await;
        assert_eq!((limit.reason(), limit.source()), (LimitReason::Exceeded, LimitSource::Plan));
        assert_eq!(limit.plan_slugs, ["growth", "professional", "enterprise"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explanations_and_the_tenant_say_since_when_it_is_kept() {
    for mut admin in both().await {
        admin.set_plan_feature(says(Some(false), None)).await.unwrap();
        let request = UpsertPlanRequest {
            slug: "starter".into(),
            max_users: Some(3),
            existing_tenants: ExistingTenants::Keep.into(),
            ..Default::default()
        };
        let request = admin.by(Role::Owner, request);
        admin.client.upsert_plan(request).await.unwrap();
        let kept_at = Some(Timestamp { seconds: NOW.timestamp(), nanos: 0 });

        let request = ExplainFeatureRequest {
            tenant: id(1),
            module_code: "finance".into(),
            feature_key: "rows".into(),
            at: None,
        };
        let why = admin.server.client.explain_feature(request).await.unwrap().into_inner();
        assert_eq!(why.rules[3].found, format!("starter: on, {KEPT}"));
        let kept = why.kept.unwrap();
        assert_eq!(
            (kept.enabled, kept.value.as_deref(), kept.kept_at),
            (Some(true), Some("7"), kept_at)
        );
        assert!(!why.plan.unwrap().enabled, "what the plan says now");

        let request = ExplainLimitRequest {
            tenant: id(1),
            limit_key: "users".into(),
            observed: Some(5),
            ..Default::default()
        };
        let why = admin.server.client.explain_limit(request).await.unwrap().into_inner();
        assert_eq!(why.rules[4].found, format!("5, {KEPT}"));
        let kept = why.kept.unwrap();
        assert_eq!((kept.limit, kept.kept_at), (Some(5), kept_at));
        assert_eq!(why.plan.unwrap().limit, Some(3), "what the plan allows now");

        let request = admin.by(Role::Viewer, GetTenantRequest { tenant: id(1) });
        let tenant = admin.client.get_tenant(request).await.unwrap().into_inner();
        let kept = &tenant.kept_features[0];
        assert_eq!((kept.feature_key.as_str(), kept.enabled), ("rows", Some(true)));
        assert_eq!((&kept.value, kept.kept_at), (&number(7.0), kept_at));
        let kept = &tenant.kept_limits[0];
        assert_eq!(
            (kept.limit_key.as_str(), kept.limit, kept.kept_at),
            ("users", Some(5), kept_at)
        );
        let of_both = [KeepingTenants { plan_slug: "starter".into(), tenants: 2 }];
        assert_eq!(admin.list_features("").await[0].keeping, of_both);
        let limits = admin.list_limits().await;
        let users = limits.iter().find(|limit| limit.limit_key == "users").unwrap();
        assert_eq!(users.keeping, of_both);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_each_tenant_shows_what_it_keeps_and_the_whole_record_the_plan_once() {
    for mut admin in both().await {
        let request = SetPlanLimitRequest {
            reason: "a new price list".into(),
            request_id: "keep-1".into(),
            ..allows(Some(3))
        };
        let edit = admin.set_plan_limit(request.clone()).await.unwrap();
        assert_eq!((edit.kept_tenants, edit.changed_tenants), (2, 0));
        // Under its id it is done once, and answered by the row about the plan.
        assert_eq!(admin.set_plan_limit(request).await.unwrap(), edit);
        let again = UpsertPlanRequest {
            slug: "starter".into(),
            max_users: Some(2),
            max_transactions_monthly: Some(10),
            existing_tenants: ExistingTenants::Keep.into(),
            ..Default::default()
        };
        let again = admin.by(Role::Owner, again);
        admin.client.upsert_plan(again).await.unwrap();

        let field = |event: &AuditEvent, name: &str| {
            event.after.as_ref().unwrap().fields[name].kind.clone().unwrap()
        };
        for tenant in [1, 2] {
            let history = admin.history(id(tenant)).await;
            let actions: Vec<&str> = history.iter().map(|event| event.action.as_str()).collect();
            assert_eq!(actions, ["UpsertPlan", "SetPlanLimit"], "it kept its users before");
            assert_eq!(
                field(&history[0], "limit_key"),
                Kind::StringValue("transactions_monthly".into())
            );
            let kept = &history[1];
            assert_eq!(kept.subject, format!("tenant-{tenant}"));
            assert_eq!((kept.reason.as_str(), &kept.before), ("a new price list", &None));
            assert_eq!(field(kept, "limit"), Kind::NumberValue(5.0));
        }
        let all = admin.history(String::new()).await;
        let all: Vec<&str> = all.iter().map(|event| event.subject.as_str()).collect();
        assert_eq!(all, ["starter", "starter", "finance/rows"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_ended_for_one_tenant_and_goes_with_it() {
    for mut admin in both().await {
        admin.set_plan_feature(says(Some(false), None)).await.unwrap();
        admin.set_plan_limit(allows(Some(3))).await.unwrap();

        let preview = PreviewFeatureChangeRequest {
            change: Some(preview_feature_change_request::Change::EndKeptLimit(end_limit("users"))),
        };
        let preview = admin.by(Role::Viewer, preview);
        let would = admin.features.preview_feature_change(preview).await.unwrap().into_inner();
        let Some(preview_feature_change_response::Change::KeptLimit(would)) = would.change else {
            panic!("{would:?}")
        };
        assert_eq!((would.before.unwrap().limit, would.after), (Some(5), None));
        assert_eq!(admin.terms().await, (true, number(7.0), Some(5)), "nothing was changed");

        let once = EndKeptLimitRequest { request_id: "end-1".into(), ..end_limit("users") };
        let mut ends = Vec::new();
        for _ in 0..2 {
            let request = admin.by(Role::Operator, once.clone());
            let ended = admin.features.end_kept_limit(request).await.unwrap().into_inner();
            ends.push(ended.change.unwrap().before.unwrap().limit);
        }
        assert_eq!(ends, [Some(5), Some(5)]);
        let event = admin.newest_event().await;
        assert_eq!((event.action.as_str(), event.tenant_id), ("EndKeptLimit", id(1)));
        let request = admin.by(Role::Operator, end_feature("rows"));
        let ended = admin.features.end_kept_feature(request).await.unwrap().into_inner();
        let before = ended.change.unwrap().before.unwrap();
        assert_eq!((before.enabled, before.value), (Some(true), number(7.0)));
        assert_eq!(admin.terms().await, (false, None, Some(3)));
        assert_eq!(admin.count("entitlement_kept_features").await, 1, "the other tenant's");
        // What is not there is no error, and what nobody knows is.
        let request = admin.by(Role::Operator, end_limit("users"));
        let nothing = admin.features.end_kept_limit(request).await.unwrap().into_inner();
        assert_eq!(nothing.change.unwrap().before, None);
        let request = admin.by(Role::Operator, end_limit("nope"));
        let unknown = admin.features.end_kept_limit(request).await.unwrap_err();
        assert_eq!(violations(&unknown), [violation("UNKNOWN_LIMIT", "nope")]);
        let request = admin.by(Role::Operator, end_feature("nope"));
        let unknown = admin.features.end_kept_feature(request).await.unwrap_err();
        assert_eq!(violations(&unknown), [violation("UNKNOWN_FEATURE", "finance/nope")]);
        let viewer = admin.by(Role::Viewer, end_limit("users"));
        let denied = admin.features.end_kept_limit(viewer).await.unwrap_err();
        assert_eq!(reason_of(&denied), "CALLER_NOT_ALLOWED");

        // An override of its own is ended by itself, and leaves what is kept alone.
        admin.set_limit(limit("users", Some(9))).await.unwrap();
        admin.server.database.set_status(2, "cancelled").await;
        let request = DeleteTenantRequest {
            tenant: id(2),
            name: "Tenant 2".into(),
            keep_schema: true,
            ..Default::default()
        };
        let request = admin.by(Role::Owner, request);
        admin.client.delete_tenant(request).await.unwrap();
        for table in ["entitlement_kept_features", "entitlement_kept_limits"] {
            assert_eq!(admin.count(table).await, 0, "{table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tenant_of_a_plan_keeps_it_and_has_a_row_in_the_record_however_many_there_are() {
    for mut admin in both().await {
        let database = admin.server.database.again().await;
        let (ids, id) = if database.is_sqlite() {
            (
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)",
                "randomblob(16)",
            )
        } else {
            ("WITH n (i) AS (SELECT generate_series(1, 2500))", "gen_random_uuid()")
        };
        let many = format!(
            "{ids} INSERT INTO tenants (id, name, subdomain, database_schema, status, plan_id)
             SELECT {id}, 'Many', 'many-' || i, 'tenant_many_' || i, 'active', p.id FROM n, plans p WHERE p.slug = 'starter'"
        );
        database.execute(&many).await;
        let edit = admin.set_plan_limit(allows(Some(3))).await.unwrap();
        assert_eq!((edit.kept_tenants, edit.changed_tenants), (2_502, 0));
        assert_eq!(admin.count("entitlement_kept_limits").await, 2_502);
        let recorded = "entitlement_audit WHERE action = 'SetPlanLimit' AND tenant_id IS NOT NULL";
        assert_eq!(admin.count(recorded).await, 2_502);
    }
}
