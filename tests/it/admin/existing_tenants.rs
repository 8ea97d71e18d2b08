//! What becomes of a plan's tenants when what the plan says is changed.

use entitlementd::{
    domain::Role,
    proto::v1::{
        CheckFeatureRequest, CheckLimitRequest, ExistingTenants, LimitKind, SetPlanFeatureRequest,
        SetPlanLimitRequest, UpsertLimitRequest, UpsertPlanRequest,
    },
};
use prost_types::Value;

use super::{
    Admin,
    features::{feature, number},
    mutate::{violation, violations},
};
use crate::harness::{Database, Row, id, instant};

/// What one tenant is answered: whether the feature is on and its value, and of each limit whether
/// one more than five is allowed, and the limit.
type Answers = ((bool, Option<Value>), Vec<(bool, Option<i64>)>);

const LIMITS: [&str; 3] = ["users", "transactions_monthly", "warehouses"];
/// On `starter`: without anything of their own, with flags, with overrides. Then one of `growth`,
/// and one without a plan.
const TENANTS: u32 = 8;
/// Those of `starter` without a flag, and without an override that holds.
const WITHOUT_FLAG: [u32; 4] = [1, 4, 5, 6];
const WITHOUT_OVERRIDE: [u32; 4] = [1, 2, 3, 5];

#[derive(Clone, Debug)]
enum Edit {
    Feature(SetPlanFeatureRequest),
    Limit(SetPlanLimitRequest),
    Plan(UpsertPlanRequest),
}

fn says(enabled: Option<bool>, value: Option<Value>) -> Edit {
    Edit::Feature(SetPlanFeatureRequest {
        plan_slug: "starter".into(),
        module_code: "finance".into(),
        feature_key: "rows".into(),
        enabled,
        value,
        ..Default::default()
    })
}

fn allows(key: &str, limit: Option<i64>) -> Edit {
    Edit::Limit(SetPlanLimitRequest {
        plan_slug: "starter".into(),
        limit_key: key.into(),
        limit,
        ..Default::default()
    })
}

fn plan(max_users: i32, max_transactions_monthly: i32) -> Edit {
    Edit::Plan(UpsertPlanRequest {
        slug: "starter".into(),
        max_users: Some(max_users),
        max_transactions_monthly: Some(max_transactions_monthly),
        ..Default::default()
    })
}

fn edits() -> Vec<Edit> {
    vec![
        says(Some(true), number(8.0)),
        says(Some(true), None),
        says(Some(false), None),
        says(None, None),
        allows("users", Some(3)),
        allows("users", Some(0)),
        allows("users", None),
        allows("transactions_monthly", Some(5)),
        allows("warehouses", Some(4)),
        allows("warehouses", None),
        plan(9, 2),
        plan(0, 0),
    ]
}

/// How many tenants kept what they had, and for how many it was changed; `None`: UpsertPlan does not
/// say.
type Affected = Option<(u64, u64)>;

impl Admin {
    async fn edit(
        &mut self,
        edit: Edit,
        tenants: ExistingTenants,
    ) -> Result<Affected, tonic::Status> {
        match edit {
            Edit::Feature(mut request) => {
                request.set_existing_tenants(tenants);
                let edit = self.set_plan_feature(request).await?;
                Ok(Some((edit.kept_tenants, edit.changed_tenants)))
            }
            Edit::Limit(mut request) => {
                request.set_existing_tenants(tenants);
                let edit = self.set_plan_limit(request).await?;
                Ok(Some((edit.kept_tenants, edit.changed_tenants)))
            }
            Edit::Plan(mut request) => {
                request.set_existing_tenants(tenants);
                let request = self.by(Role::Owner, request);
                self.client.upsert_plan(request).await?;
                Ok(None)
            }
        }
    }

    /// What is answered past the cache.
    async fn answers(&mut self) -> Vec<Answers> {
        self.server.outlive_the_catalogue(301).await;
        let mut all = Vec::new();
        for tenant in 1..=TENANTS {
            let request = CheckFeatureRequest {
                tenant_id: id(tenant),
                module_code: "finance".into(),
                feature_key: "rows".into(),
                min_revision: Some(1),
                at: None,
            };
            let answer = self.server.client.check_feature(request).await.unwrap().into_inner();
            let decision = answer.decision.unwrap();
            let mut limits = Vec::new();
            for key in LIMITS {
                let request = CheckLimitRequest {
                    tenant_id: id(tenant),
                    limit_key: key.into(),
                    observed: Some(5),
                    amount: 1,
                    min_revision: Some(1),
                    at: None,
                };
                let answer = self.server.client.check_limit(request).await.unwrap().into_inner();
                limits.push((answer.allowed, answer.limit));
            }
            all.push(((decision.enabled, decision.value), limits));
        }
        all
    }

    /// How many flags and overrides there are.
    async fn own_rows(&self) -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM feature_flags) AS flags, (SELECT count(*) FROM entitlement_limit_overrides) AS overrides";
        let rows = self.server.database.one(sql).await;
        (rows.try_get("", "flags").unwrap(), rows.try_get("", "overrides").unwrap())
    }

    /// Everything as it was before the first edit.
    async fn begin_again(&self) {
        let database = &self.server.database;
        for table in [
            "feature_flags",
            "entitlement_limit_overrides",
            "entitlement_kept_features",
            "entitlement_kept_limits",
            "entitlement_plan_features",
            "entitlement_plan_limits",
        ] {
            database.execute(&format!("DELETE FROM {table}")).await;
        }
        database
            .execute("UPDATE plans SET max_users = 5, max_transactions_monthly = -7 WHERE slug = 'starter'")
            .await;
        database.plan_says("starter", "finance", "rows", true, "'7'").await;
        database
            .execute("INSERT INTO entitlement_plan_limits (plan_id, key, value) SELECT id, 'warehouses', 6 FROM plans WHERE slug = 'starter'")
            .await;
        database.flag(2, "finance", "rows", "false", "'{}'").await;
        database.flag(3, "finance", "rows", "true", "'9'").await;
        let at = |seconds| format!("'{}'", instant(seconds).to_rfc3339());
        for key in LIMITS {
            database.override_limit(4, key, "1", "NULL").await;
            database.override_limit(5, key, "1", &at(-10)).await;
            database.override_limit(6, key, "NULL", &at(10_000_000)).await;
        }
    }
}

async fn both() -> [Admin; 2] {
    let mut admins = Vec::new();
    for database in [Database::sqlite().await, Database::postgres().await] {
        for tenant in 1..=TENANTS {
            database.mk_subscribed(tenant, "finance", Row::default()).await;
            match tenant {
                7 => database.put_on_plan(tenant, "growth").await,
                8 => {}
                _ => database.put_on_plan(tenant, "starter").await,
            }
        }
        let mut admin = Admin::of(database, &["--enforce-limits", "on"]).await;
        let rows = entitlementd::proto::v1::UpsertFeatureRequest {
            default_value: number(1.0),
            ..feature("rows")
        };
        admin.define(rows).await.unwrap();
        let warehouses = UpsertLimitRequest {
            limit_key: "warehouses".into(),
            kind: LimitKind::Level.into(),
            ..Default::default()
        };
        admin.define_limit(warehouses).await.unwrap();
        admins.push(admin);
    }
    admins.try_into().unwrap_or_else(|_| unreachable!())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_what_they_had_is_answered_as_before() {
    for mut admin in both().await {
        for edit in edits() {
            admin.begin_again().await;
            let before = admin.answers().await;
            let affected = admin.edit(edit.clone(), ExistingTenants::Keep).await.unwrap();
            assert_eq!(admin.answers().await, before, "{edit:?}");
            assert!(affected.is_none_or(|affected| affected == (6, 0)), "{edit:?}: {affected:?}");
            // Nor does the next change reach them, whether they keep what they have or not.
            for tenants in [ExistingTenants::Keep, ExistingTenants::Apply] {
                for next in edits() {
                    if std::mem::discriminant(&next) != std::mem::discriminant(&edit) {
                        continue;
                    }
                    let affected = admin.edit(next, tenants).await.unwrap();
                    assert!(affected.is_none_or(|(_, changed)| changed == 0), "{affected:?}");
                }
            }
            assert_eq!(admin.answers().await, before, "{edit:?}");
            assert_eq!(admin.own_rows().await, (2, 9), "nothing became their own");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_applies_to_tenants_concerns_exactly_those_without_anything_of_their_own() {
    for mut admin in both().await {
        for edit in edits() {
            admin.begin_again().await;
            let before = admin.answers().await;
            let affected = admin.edit(edit.clone(), ExistingTenants::Apply).await.unwrap();
            assert!(affected.is_none_or(|affected| affected == (0, 4)), "{edit:?}: {affected:?}");
            let after = admin.answers().await;
            let concerned = match edit {
                Edit::Feature(_) => WITHOUT_FLAG,
                Edit::Limit(_) | Edit::Plan(_) => WITHOUT_OVERRIDE,
            };
            let changed: Vec<u32> = (1..=TENANTS)
                .zip(before.iter().zip(&after))
                .filter(|(_, (before, after))| before != after)
                .map(|(tenant, _)| tenant)
                .collect();
            assert_eq!(changed, concerned, "{edit:?}");
            assert_eq!(admin.own_rows().await, (2, 9), "{edit:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_of_tenants_must_be_said_where_there_are_any() {
    for mut admin in both().await {
        admin.begin_again().await;
        let before = admin.answers().await;
        for edit in edits() {
            let refused = admin.edit(edit, ExistingTenants::Unspecified).await.unwrap_err();
            assert_eq!(violations(&refused), [violation("PLAN_HAS_TENANTS", "starter")]);
            assert!(refused.message().contains("tenants (6)"), "{}", refused.message());
        }
        assert_eq!(admin.answers().await, before);
        // What is as it was, or of a plan without tenants, concerns nobody.
        for edit in [allows("users", Some(5)), says(Some(true), number(7.0))] {
            let affected = admin.edit(edit, ExistingTenants::Unspecified).await.unwrap();
            assert_eq!(affected, Some((0, 0)));
        }
        let lonely = SetPlanLimitRequest {
            plan_slug: "enterprise".into(),
            limit_key: "users".into(),
            limit: Some(0),
            ..Default::default()
        };
        let edit = admin.set_plan_limit(lonely).await.unwrap();
        let of = |slug: &str| {
            edit.after
                .as_ref()
                .unwrap()
                .plans
                .iter()
                .find(|plan| plan.plan_slug == slug)
                .unwrap()
                .limit
        };
        assert_eq!((of("enterprise"), of("starter")), (Some(0), Some(5)));
    }
}
