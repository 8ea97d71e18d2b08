//! What FeatureAdminService refuses, to whom, and what it only shows.

use entitlementd::{
    domain::Role,
    proto::v1::{
        EndKeptFeatureRequest, EndKeptLimitRequest, FeatureReason, FeatureValueType, LimitKind,
        LimitSource, ListLimitsRequest, PreviewFeatureChangeRequest, SetLimitOverrideRequest,
        SetPlanFeatureRequest, SetPlanLimitRequest, SetTenantFlagRequest, SetTimeZoneRequest,
        UpsertFeatureRequest, UpsertLimitRequest, preview_feature_change_request::Change,
        preview_feature_change_response,
    },
};
use tonic::Code;

use super::{
    Admin,
    features::{both, end, feature, flag, limit, no_flag, number, text},
    mutate::{violation, violations},
};
use crate::harness::{Database, id, server::field_violations};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_would_switch_tenants_features_off_is_refused_and_names_them() {
    for mut admin in both().await {
        // A flag that nobody has defined takes any value, under a former code of its module too.
        let database = admin.server.database.again().await;
        database.flag(1, "finance", "rows", "true", "'\"many\"'").await;
        let numbers =
            UpsertFeatureRequest { value_type: FeatureValueType::Int64.into(), ..feature("rows") };
        let refused = admin.define(numbers.clone()).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("VALUE_TYPE", "finance/rows")]);
        assert!(refused.message().contains("the tenant '"), "{}", refused.message());

        let any = UpsertFeatureRequest {
            value_type: FeatureValueType::Unspecified.into(),
            ..numbers.clone()
        };
        admin.define(any.clone()).await.unwrap();
        assert!(admin.define(numbers.clone()).await.is_err(), "the flag is as it was");
        database.execute("UPDATE feature_flags SET config = '7' WHERE feature_key = 'rows'").await;
        admin.define(numbers).await.unwrap();
        // No type is named, and none is changed.
        database
            .execute("UPDATE feature_flags SET config = 'true' WHERE feature_key = 'rows'")
            .await;
        admin.define(any).await.unwrap();
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
            Change::EndKeptFeature(EndKeptFeatureRequest {
                tenant: id(1),
                module_code: "finance".into(),
                feature_key: "rows".into(),
                ..Default::default()
            }),
            Change::EndKeptLimit(EndKeptLimitRequest {
                tenant: id(1),
                limit_key: "users".into(),
                ..Default::default()
            }),
            Change::SetTimeZone(SetTimeZoneRequest {
                tenant: id(1),
                time_zone: "Asia/Kolkata".into(),
                ..Default::default()
            }),
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
                Would::KeptFeature(change) => change.after.is_none(),
                Would::KeptLimit(change) => change.after.is_none(),
                Would::TimeZone(change) => change.after != change.before,
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
