//! SetTenantFlag, DeleteTenantFlag, SetLimitOverride and EndLimitOverride.

use entitlementd::{
    domain::Role,
    proto::v1::{
        DeleteTenantFlagRequest, FeatureReason, LimitSource, SetLimitOverrideRequest,
        SetTenantFlagRequest,
    },
};
use prost_types::{Struct, Value, value::Kind};

use super::features::{both, end, feature, flag, limit, no_flag, number};
use crate::harness::{id, server::reason_of};

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
