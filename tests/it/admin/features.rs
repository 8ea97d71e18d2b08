//! FeatureAdminService: definitions and lists.

use entitlementd::{
    domain::Role,
    proto::v1::{
        AuditEvent, CheckFeatureRequest, CheckLimitRequest, DefinedFeature, DefinedLimit,
        DeleteTenantFlagRequest, EndLimitOverrideRequest, FeatureEdit, FeatureReason,
        FeatureValueType, LimitEdit, LimitKind, LimitOverrideChange, LimitSource,
        ListAuditEventsRequest, ListFeaturesRequest, ListLimitsRequest, SetLimitOverrideRequest,
        SetPlanFeatureRequest, SetPlanLimitRequest, SetTenantFlagRequest, TenantFlagChange,
        UpsertFeatureRequest, UpsertLimitRequest,
    },
};
use prost_types::{Value, value::Kind};
use tonic::Status;

use super::Admin;
use crate::harness::{Database, Row, id};

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

pub fn flag(key: &str) -> SetTenantFlagRequest {
    SetTenantFlagRequest {
        tenant: id(1),
        module_code: "finance".into(),
        feature_key: key.into(),
        enabled: true,
        ..Default::default()
    }
}

pub fn no_flag(key: &str) -> DeleteTenantFlagRequest {
    DeleteTenantFlagRequest {
        tenant: "tenant-1".into(),
        module_code: "finance".into(),
        feature_key: key.into(),
        ..Default::default()
    }
}

pub fn limit(key: &str, limit: Option<i64>) -> SetLimitOverrideRequest {
    SetLimitOverrideRequest {
        tenant: "tenant-1".into(),
        limit_key: key.into(),
        limit,
        ..Default::default()
    }
}

pub fn end(key: &str) -> EndLimitOverrideRequest {
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

    pub async fn set_flag(
        &mut self,
        request: SetTenantFlagRequest,
    ) -> Result<TenantFlagChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.features.set_tenant_flag(request).await?.into_inner().change.unwrap())
    }

    pub async fn delete_flag(
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

    pub async fn end_limit(
        &mut self,
        request: EndLimitOverrideRequest,
    ) -> Result<LimitOverrideChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.features.end_limit_override(request).await?.into_inner().change.unwrap())
    }

    pub async fn list_features(&mut self, module: &str) -> Vec<DefinedFeature> {
        let request = ListFeaturesRequest { module_code: module.into() };
        let request = self.by(Role::Viewer, request);
        self.features.list_features(request).await.unwrap().into_inner().features
    }

    pub async fn list_limits(&mut self) -> Vec<DefinedLimit> {
        let request = self.by(Role::Viewer, ListLimitsRequest {});
        self.features.list_limits(request).await.unwrap().into_inner().limits
    }

    /// What a check answers at that revision: whether it is on, why, and its value.
    pub async fn feature_at(
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

    pub async fn limit_at(&mut self, key: &str, revision: u64) -> (Option<i64>, LimitSource) {
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

    pub async fn newest_event(&mut self) -> AuditEvent {
        let request = self.by(Role::Owner, ListAuditEventsRequest::default());
        self.client.list_audit_events(request).await.unwrap().into_inner().events.remove(0)
    }
}

pub async fn both() -> [Admin; 2] {
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
        assert_eq!(admin.list_features("").await, std::slice::from_ref(&expected));
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
