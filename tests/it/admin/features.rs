//! FeatureAdminService: definitions, flags and overrides.

use entitlementd::{
    domain::Role,
    proto::v1::{
        CheckFeatureRequest, CheckLimitRequest, DefinedFeature, DefinedLimit,
        DeleteTenantFlagRequest, EndLimitOverrideRequest, FeatureEdit, FeatureReason,
        FeatureValueType, LimitEdit, LimitKind, LimitOverrideChange, LimitSource,
        ListAuditEventsRequest, ListFeaturesRequest, ListLimitsRequest,
        PreviewFeatureChangeRequest, SetLimitOverrideRequest, SetPlanFeatureRequest,
        SetPlanLimitRequest, SetTenantFlagRequest, TenantFlagChange, UpsertFeatureRequest,
        UpsertLimitRequest, preview_feature_change_request::Change,
        preview_feature_change_response,
    },
};
use prost_types::{Struct, Value, value::Kind};
use tonic::{Code, Status};

use super::{
    Admin,
    mutate::{violation, violations},
};
use crate::harness::{
    Database, Row, id,
    server::{field_violations, reason_of},
};

pub fn number(number: f64) -> Option<Value> {
    Some(Value { kind: Some(Kind::NumberValue(number)) })
}

pub fn text(text: &str) -> Option<Value> {
    Some(Value { kind: Some(Kind::StringValue(text.to_owned())) })
}

pub fn feature(key: &str) -> UpsertFeatureRequest {
    UpsertFeatureRequest {
        module_code: "finance".into(),
        feature_key: key.into(),
        ..Default::default()
    }
}

fn flag(key: &str) -> SetTenantFlagRequest {
    SetTenantFlagRequest {
        tenant: id(1),
        module_code: "finance".into(),
        feature_key: key.into(),
        enabled: true,
        ..Default::default()
    }
}

fn no_flag(key: &str) -> DeleteTenantFlagRequest {
    DeleteTenantFlagRequest {
        tenant: "tenant-1".into(),
        module_code: "finance".into(),
        feature_key: key.into(),
        ..Default::default()
    }
}

fn limit(key: &str, limit: Option<i64>) -> SetLimitOverrideRequest {
    SetLimitOverrideRequest {
        tenant: "tenant-1".into(),
        limit_key: key.into(),
        limit,
        ..Default::default()
    }
}

fn end(key: &str) -> EndLimitOverrideRequest {
    EndLimitOverrideRequest { tenant: id(1), limit_key: key.into(), ..Default::default() }
}

impl Admin {
    pub async fn define(&mut self, request: UpsertFeatureRequest) -> Result<FeatureEdit, Status> {
        let request = self.by(Role::Owner, request);
        Ok(self.features.upsert_feature(request).await?.into_inner().change.unwrap())
    }

    pub async fn define_limit(&mut self, request: UpsertLimitRequest) -> Result<LimitEdit, Status> {
        let request = self.by(Role::Owner, request);
        Ok(self.features.upsert_limit(request).await?.into_inner().change.unwrap())
    }

    pub async fn set_plan_feature(
        &mut self,
        request: SetPlanFeatureRequest,
    ) -> Result<FeatureEdit, Status> {
        let request = self.by(Role::Owner, request);
        Ok(self.features.set_plan_feature(request).await?.into_inner().change.unwrap())
    }

    pub async fn set_plan_limit(
        &mut self,
        request: SetPlanLimitRequest,
    ) -> Result<LimitEdit, Status> {
        let request = self.by(Role::Owner, request);
        Ok(self.features.set_plan_limit(request).await?.into_inner().change.unwrap())
    }

    async fn set_flag(
        &mut self,
        request: SetTenantFlagRequest,
    ) -> Result<TenantFlagChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.features.set_tenant_flag(request).await?.into_inner().change.unwrap())
    }

    async fn delete_flag(
        &mut self,
        request: DeleteTenantFlagRequest,
    ) -> Result<TenantFlagChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.features.delete_tenant_flag(request).await?.into_inner().change.unwrap())
    }

    pub async fn set_limit(
        &mut self,
        request: SetLimitOverrideRequest,
    ) -> Result<LimitOverrideChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.features.set_limit_override(request).await?.into_inner().change.unwrap())
    }

    async fn end_limit(
        &mut self,
        request: EndLimitOverrideRequest,
    ) -> Result<LimitOverrideChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.features.end_limit_override(request).await?.into_inner().change.unwrap())
    }

    async fn list_features(&mut self, module: &str) -> Vec<DefinedFeature> {
        let request = ListFeaturesRequest { module_code: module.into() };
        let request = self.by(Role::Viewer, request);
        self.features.list_features(request).await.unwrap().into_inner().features
    }

    async fn list_limits(&mut self) -> Vec<DefinedLimit> {
        let request = self.by(Role::Viewer, ListLimitsRequest {});
        self.features.list_limits(request).await.unwrap().into_inner().limits
    }

    /// What a check answers at that revision: whether it is on, why, and its value.
    async fn feature_at(
        &mut self,
        key: &str,
        revision: u64,
    ) -> (bool, FeatureReason, Option<Value>) {
        let request = CheckFeatureRequest {
            tenant_id: id(1),
            module_code: "finance".into(),
            feature_key: key.into(),
            min_revision: Some(revision),
            at: None,
        };
        let answer = self.server.client.check_feature(request).await.unwrap().into_inner();
        let decision = answer.decision.unwrap();
        (decision.enabled, decision.reason(), decision.value)
    }

    async fn limit_at(&mut self, key: &str, revision: u64) -> (Option<i64>, LimitSource) {
        let request = CheckLimitRequest {
            tenant_id: id(1),
            limit_key: key.into(),
            observed: Some(0),
            min_revision: Some(revision),
            ..Default::default()
        };
        let answer = self.server.client.check_limit(request).await.unwrap().into_inner();
        (answer.limit, answer.source())
    }

    async fn newest_event(&mut self) -> entitlementd::proto::v1::AuditEvent {
        let request = self.by(Role::Owner, ListAuditEventsRequest::default());
        self.client.list_audit_events(request).await.unwrap().into_inner().events.remove(0)
    }
}

async fn both() -> [Admin; 2] {
    let mut admins = Vec::new();
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
        admins.push(Admin::of(database, &["--changes", "auto", "--poll-interval", "20ms"]).await);
    }
    admins.try_into().unwrap_or_else(|_| unreachable!())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feature_is_defined_and_what_is_left_out_stays() {
    for mut admin in both().await {
        let rows = UpsertFeatureRequest {
            name: Some("Rows".into()),
            value_type: FeatureValueType::Int64.into(),
            default_enabled: Some(true),
            default_value: number(7.0),
            ..feature("rows")
        };
        let made = admin.define(rows).await.unwrap();
        assert_eq!(made.before, None);
        let made = made.after.unwrap();
        assert_eq!(
            (made.module_code.as_str(), made.value_type()),
            ("finance", FeatureValueType::Int64)
        );
        assert_eq!((made.default_enabled, &made.default_value), (true, &number(7.0)));

        let described =
            UpsertFeatureRequest { description: Some("How many.".into()), ..feature("rows") };
        let edit = admin.define(described).await.unwrap();
        assert_eq!(edit.before.as_ref(), Some(&made));
        let expected = DefinedFeature { description: "How many.".into(), ..made };
        assert_eq!(edit.after.as_ref(), Some(&expected));
        assert_eq!(admin.list_features("").await, [expected.clone()]);
        assert_eq!(admin.list_features("finance").await, [expected]);
        assert!(admin.list_features("hrms").await.is_empty());

        let off = UpsertFeatureRequest {
            default_value: Some(Value { kind: Some(Kind::NullValue(0)) }),
            default_enabled: Some(false),
            ..feature("rows")
        };
        let off = admin.define(off).await.unwrap().after.unwrap();
        assert_eq!((off.default_enabled, off.default_value), (false, None));
        let event = admin.newest_event().await;
        assert_eq!(
            (event.action.as_str(), event.subject.as_str()),
            ("UpsertFeature", "finance/rows")
        );
        assert!(event.before.is_some() && event.after.is_some() && event.tenant_id.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_defined_beside_the_two_of_plans() {
    for mut admin in both().await {
        let warehouses = UpsertLimitRequest {
            limit_key: "warehouses".into(),
            name: Some("Warehouses".into()),
            kind: LimitKind::Level.into(),
            ..Default::default()
        };
        let made = admin.define_limit(warehouses.clone()).await.unwrap().after.unwrap();
        assert_eq!((made.kind(), made.built_in), (LimitKind::Level, false));
        let unit = UpsertLimitRequest {
            unit: Some("warehouses".into()),
            kind: 0,
            name: None,
            ..warehouses
        };
        admin.define_limit(unit).await.unwrap();
        let plan = SetPlanLimitRequest {
            plan_slug: "growth".into(),
            limit_key: "warehouses".into(),
            limit: Some(3),
            ..Default::default()
        };
        admin.set_plan_limit(plan).await.unwrap();
        let limits = admin.list_limits().await;
        let keys: Vec<_> = limits.iter().map(|limit| limit.limit_key.as_str()).collect();
        assert_eq!(keys, ["transactions_monthly", "users", "warehouses"]);
        let of = |key: usize, slug: &str| {
            limits[key].plans.iter().find(|plan| plan.plan_slug == slug).unwrap().limit
        };
        assert_eq!((of(1, "starter"), of(1, "enterprise")), (Some(5), None));
        assert_eq!((of(2, "growth"), of(2, "starter")), (Some(3), None));
        assert_eq!(
            (limits[2].name.as_str(), limits[2].unit.as_str()),
            ("Warehouses", "warehouses")
        );
        assert!(limits[0].built_in && limits[0].kind() == LimitKind::Monthly);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_contradicts_itself_or_names_nothing_is_refused_with_everything_that_is_wrong() {
    for mut admin in both().await {
        let bool = FeatureValueType::Bool.into();
        let wrong = UpsertFeatureRequest {
            module_code: "nope".into(),
            value_type: bool,
            default_value: number(1.0),
            ..feature("rows")
        };
        let refused = admin.define(wrong).await.unwrap_err();
        assert_eq!(
            violations(&refused),
            [violation("UNKNOWN_MODULE", "nope"), violation("VALUE_TYPE", "nope/rows")]
        );
        let numbers = UpsertFeatureRequest {
            value_type: FeatureValueType::Int64.into(),
            default_value: number(7.0),
            ..feature("rows")
        };
        admin.define(numbers).await.unwrap();
        let plan = SetPlanFeatureRequest {
            plan_slug: "growth".into(),
            module_code: "finance".into(),
            feature_key: "rows".into(),
            enabled: Some(true),
            value: number(8.0),
            ..Default::default()
        };
        admin.set_plan_feature(plan.clone()).await.unwrap();
        let other = UpsertFeatureRequest { value_type: bool, ..feature("rows") };
        let refused = admin.define(other).await.unwrap_err();
        assert_eq!(violations(&refused), vec![violation("VALUE_TYPE", "finance/rows"); 2]);
        assert!(refused.message().contains("the plan 'growth'"), "{}", refused.message());

        let refused = admin
            .set_plan_feature(SetPlanFeatureRequest {
                plan_slug: "nope".into(),
                value: text("x"),
                ..plan
            })
            .await
            .unwrap_err();
        assert_eq!(
            violations(&refused),
            [violation("UNKNOWN_PLAN", "nope"), violation("VALUE_TYPE", "finance/rows")]
        );
        let refused = admin
            .set_flag(SetTenantFlagRequest { value: text("x"), ..flag("rows") })
            .await
            .unwrap_err();
        assert_eq!(violations(&refused), [violation("VALUE_TYPE", "finance/rows")]);
        let refused = admin.set_flag(flag("nope")).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("UNKNOWN_FEATURE", "finance/nope")]);
        let refused = admin.delete_flag(no_flag("nope")).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("UNKNOWN_FEATURE", "finance/nope")]);

        let past = SetLimitOverrideRequest {
            ends_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            ..limit("nope", Some(-1))
        };
        let refused = admin.set_limit(past).await.unwrap_err();
        assert_eq!(
            violations(&refused),
            [
                violation("UNKNOWN_LIMIT", "nope"),
                violation("NEGATIVE_LIMIT", "nope"),
                violation("PAST", "ends_at")
            ]
        );
        let refused = admin.end_limit(end("nope")).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("UNKNOWN_LIMIT", "nope")]);
        let new = |key: &str, kind: i32| UpsertLimitRequest {
            limit_key: key.into(),
            kind,
            ..Default::default()
        };
        let refused = admin.define_limit(new("warehouses", 0)).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("NO_KIND", "warehouses")]);
        let refused = admin.define_limit(new("users", 1)).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("BUILT_IN_LIMIT", "users")]);

        let malformed = UpsertFeatureRequest {
            module_code: String::new(),
            default_value: number(f64::NAN),
            value_type: 99,
            ..feature("a\n")
        };
        let malformed = admin.define(malformed).await.unwrap_err();
        assert_eq!(
            field_violations(&malformed),
            ["module_code", "feature_key", "value_type", "default_value"]
        );
        let long = UpsertFeatureRequest { default_value: text(&"x".repeat(2_000)), ..feature("a") };
        let long = admin.define(long).await.unwrap_err();
        assert_eq!(field_violations(&long), ["default_value"]);
        assert_eq!(
            admin.define_limit(new("a", 99)).await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_holds_once_it_is_set_whatever_rows_there_were_and_deleting_it_leaves_none() {
    for mut admin in both().await {
        let database = admin.server.database.again().await;
        // Two variants in the field have no unique key.
        for config in ["'1'", "'2'"] {
            database.flag(1, "finance", "rows", "true", config).await;
        }
        admin.define(feature("rows")).await.unwrap();
        let off = SetTenantFlagRequest { enabled: false, ..flag("rows") };
        let change = admin.set_flag(off).await.unwrap();
        assert!(change.before.unwrap().enabled);
        assert_eq!(change.tenant_id, id(1));
        let at = admin.feature_at("rows", change.revision).await;
        assert_eq!(at, (false, FeatureReason::Tenant, None));

        let list = Some(Value {
            kind: Some(Kind::StructValue(Struct {
                fields: [("most".to_owned(), number(3.0).unwrap())].into(),
            })),
        });
        let on = SetTenantFlagRequest {
            value: list.clone(),
            reason: "ordered by phone".into(),
            request_id: "flag-1".into(),
            ..flag("rows")
        };
        let change = admin.set_flag(on.clone()).await.unwrap();
        assert_eq!(change.after.as_ref().unwrap().value, list);
        assert_eq!(
            admin.feature_at("rows", change.revision).await,
            (true, FeatureReason::Tenant, list.clone())
        );
        // Under its id it is done once.
        let again = admin.set_flag(on.clone()).await.unwrap();
        assert_eq!((again.before, again.after), (change.before, change.after));
        let other = SetTenantFlagRequest { enabled: false, ..on };
        let reused = admin.set_flag(other).await.unwrap_err();
        assert_eq!(reason_of(&reused), "REQUEST_ID_REUSED");
        let event = admin.newest_event().await;
        assert_eq!(
            (event.action.as_str(), event.reason.as_str()),
            ("SetTenantFlag", "ordered by phone")
        );
        assert_eq!((event.tenant_id, event.subject.as_str()), (id(1), "tenant-1"));

        let gone = admin.delete_flag(no_flag("rows")).await.unwrap();
        assert_eq!((gone.before.unwrap().value, gone.after), (list, None));
        let at = admin.feature_at("rows", gone.revision).await;
        assert_eq!(at, (false, FeatureReason::Default, None));
        let rows = database.one("SELECT count(*) AS n FROM feature_flags").await;
        assert_eq!(rows.try_get::<i64>("", "n").unwrap(), 0);
        let nothing = admin.delete_flag(no_flag("rows")).await.unwrap();
        assert_eq!((nothing.before, nothing.after), (None, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_under_a_former_code_of_the_module_is_the_same_flag() {
    for mut admin in both().await {
        let database = admin.server.database.again().await;
        admin.define(feature("rows")).await.unwrap();
        database
            .execute("INSERT INTO entitlement_module_aliases (alias, module_id) SELECT 'ledger', id FROM modules WHERE code = 'finance'")
            .await;
        database.flag(1, "ledger", "rows", "true", "'{}'").await;
        let off =
            SetTenantFlagRequest { module_code: "ledger".into(), enabled: false, ..flag("rows") };
        let change = admin.set_flag(off).await.unwrap();
        assert!(change.before.unwrap().enabled);
        assert_eq!(change.after.unwrap().module_code, "finance");
        assert!(!admin.feature_at("rows", change.revision).await.0);
        let gone = DeleteTenantFlagRequest { module_code: "ledger".into(), ..no_flag("rows") };
        let gone = admin.delete_flag(gone).await.unwrap();
        assert!(gone.before.is_some());
        assert_eq!(admin.feature_at("rows", gone.revision).await.1, FeatureReason::Default);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_is_set_and_ended_and_goes_with_its_tenant() {
    for mut admin in both().await {
        let change =
            SetLimitOverrideRequest { reason: "a favour".into(), ..limit("users", Some(0)) };
        let change = admin.set_limit(change).await.unwrap();
        assert_eq!(change.before, None);
        assert_eq!(change.after.as_ref().unwrap().reason, "a favour");
        let at = admin.limit_at("users", change.revision).await;
        assert_eq!(at, (Some(0), LimitSource::Override));

        let until = prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 };
        let unlimited = SetLimitOverrideRequest { ends_at: Some(until), ..limit("users", None) };
        let change = admin.set_limit(unlimited).await.unwrap();
        assert_eq!(change.before.unwrap().limit, Some(0));
        assert_eq!(change.after.unwrap().ends_at, Some(until));
        let at = admin.limit_at("users", change.revision).await;
        assert_eq!(at, (None, LimitSource::Override));

        let ended = admin.end_limit(end("users")).await.unwrap();
        assert_eq!((ended.before.unwrap().ends_at, ended.after), (Some(until), None));
        let at = admin.limit_at("users", ended.revision).await;
        assert_eq!(at, (Some(5), LimitSource::Plan));

        admin.set_limit(limit("users", Some(9))).await.unwrap();
        let database = admin.server.database.again().await;
        database.set_status(1, "cancelled").await;
        let request = entitlementd::proto::v1::DeleteTenantRequest {
            tenant: id(1),
            name: "Tenant 1".into(),
            keep_schema: true,
            ..Default::default()
        };
        let request = admin.by(Role::Owner, request);
        admin.client.delete_tenant(request).await.unwrap();
        let left = database.one("SELECT count(*) AS n FROM entitlement_limit_overrides").await;
        assert_eq!(left.try_get::<i64>("", "n").unwrap(), 0);
        let unknown = admin.set_limit(limit("users", Some(9))).await.unwrap_err();
        assert_eq!(reason_of(&unknown), "TENANT_NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_says_what_the_change_would_do_and_does_nothing() {
    use preview_feature_change_response::Change as Would;

    for mut admin in both().await {
        admin.define(feature("rows")).await.unwrap();
        let before = admin.newest_event().await;
        let changes = [
            Change::UpsertFeature(feature("lines")),
            Change::UpsertLimit(UpsertLimitRequest {
                limit_key: "warehouses".into(),
                kind: LimitKind::Level.into(),
                ..Default::default()
            }),
            Change::SetTenantFlag(flag("rows")),
            Change::DeleteTenantFlag(no_flag("rows")),
            Change::SetLimitOverride(limit("users", Some(9))),
            Change::EndLimitOverride(end("users")),
            Change::SetPlanFeature(SetPlanFeatureRequest {
                plan_slug: "growth".into(),
                module_code: "finance".into(),
                feature_key: "rows".into(),
                enabled: Some(true),
                ..Default::default()
            }),
            Change::SetPlanLimit(SetPlanLimitRequest {
                plan_slug: "growth".into(),
                limit_key: "users".into(),
                limit: Some(0),
                ..Default::default()
            }),
        ];
        for change in changes {
            let asked = format!("{change:?}");
            let request =
                admin.by(Role::Viewer, PreviewFeatureChangeRequest { change: Some(change) });
            let answer = admin.features.preview_feature_change(request).await.unwrap();
            let would = answer.into_inner().change.unwrap();
            let after = match would {
                Would::Feature(edit) => edit.after.is_some(),
                Would::Limit(edit) => edit.after.is_some(),
                Would::Flag(change) => change.after.is_some() || asked.contains("Delete"),
                Would::LimitOverride(change) => change.after.is_some() || asked.contains("End"),
            };
            assert!(after, "{asked}");
        }
        let request = admin.by(Role::Viewer, PreviewFeatureChangeRequest { change: None });
        let nothing = admin.features.preview_feature_change(request).await.unwrap_err();
        assert_eq!(field_violations(&nothing), ["change"]);
        let refused = Change::SetTenantFlag(flag("nope"));
        let request = admin.by(Role::Viewer, PreviewFeatureChangeRequest { change: Some(refused) });
        let refused = admin.features.preview_feature_change(request).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("UNKNOWN_FEATURE", "finance/nope")]);
        assert_eq!(admin.newest_event().await, before);
        assert_eq!(admin.list_features("").await.len(), 1);
        assert_eq!(admin.list_limits().await.len(), 2);
        assert_eq!(admin.feature_at("rows", 1).await.1, FeatureReason::Default);
        assert_eq!(admin.limit_at("users", 1).await.1, LimitSource::Plan);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalogue_is_the_owners_and_tenants_terms_the_operators() {
    let mut admin = Admin::of(Database::sqlite().await, &[]).await;
    for role in [Role::Viewer, Role::Operator] {
        let denied = [
            admin.features.clone().upsert_feature(admin.by(role, feature("a"))).await.err(),
            admin
                .features
                .clone()
                .upsert_limit(admin.by(role, UpsertLimitRequest::default()))
                .await
                .err(),
            admin
                .features
                .clone()
                .set_plan_feature(admin.by(role, SetPlanFeatureRequest::default()))
                .await
                .err(),
            admin
                .features
                .clone()
                .set_plan_limit(admin.by(role, SetPlanLimitRequest::default()))
                .await
                .err(),
        ];
        for status in denied {
            assert_eq!(status.unwrap().code(), Code::PermissionDenied);
        }
    }
    let viewer = Role::Viewer;
    let denied = [
        admin.features.clone().set_tenant_flag(admin.by(viewer, flag("a"))).await.err(),
        admin.features.clone().delete_tenant_flag(admin.by(viewer, no_flag("a"))).await.err(),
        admin
            .features
            .clone()
            .set_limit_override(admin.by(viewer, limit("users", None)))
            .await
            .err(),
        admin.features.clone().end_limit_override(admin.by(viewer, end("users"))).await.err(),
    ];
    for status in denied {
        assert_eq!(status.unwrap().code(), Code::PermissionDenied);
    }
    let nobody = admin.features.list_limits(ListLimitsRequest {}).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
}
