//! GetTenant.

use entitlementd::{
    domain::Role,
    proto::v1::{DecisionReason, GetTenantRequest, GetTenantResponse},
};
use tonic::{Code, Status};

use super::Admin;
use crate::harness::{
    Database, Row, id,
    server::{field_violations, reason_of},
};

async fn get(admin: &mut Admin, tenant: &str) -> Result<GetTenantResponse, Status> {
    let request = admin.by(Role::Viewer, GetTenantRequest { tenant: tenant.to_owned() });
    admin.client.get_tenant(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_shown_with_every_module_that_it_has_or_had() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.mk_subscribed(1, "finance", Row { expires: Some(60), ..Row::default() }).await;
        database.mk_subscription(1, "hrms", Row { status: "cancelled", ..Row::default() }).await;
        let mut admin = Admin::of(database, &[]).await;
        for name in [id(1), id(1).to_uppercase(), "tenant-1".to_owned(), "TENANT-1".to_owned()] {
            let found = get(&mut admin, &name).await.unwrap();
            assert_eq!(found.tenant.unwrap().id, id(1), "{name}");
            let modules: Vec<_> = found
                .modules
                .iter()
                .map(|module| {
                    (
                        module.module_code.as_str(),
                        module.allowed,
                        module.reason(),
                        module.subscriptions.len(),
                    )
                })
                .collect();
            let wanted = [
                ("finance", true, DecisionReason::Enabled, 1),
                ("hrms", false, DecisionReason::SubscriptionCancelled, 1),
            ];
            assert_eq!(modules, wanted);
            assert!(
                found.modules[0].valid_until.is_some() && found.modules[0].subscriptions[0].decides
            );
        }

        // Written by hand, and seen at once; time is judged at the moment of asking.
        admin.server.advance(60);
        let found = get(&mut admin, "tenant-1").await.unwrap();
        assert_eq!(found.modules[0].reason(), DecisionReason::SubscriptionExpired);
        admin.server.database.set_status(1, "suspended").await;
        let found = get(&mut admin, "tenant-1").await.unwrap();
        assert_eq!(found.tenant.unwrap().status.as_deref(), Some("suspended"));
        assert!(
            found.modules.iter().all(|module| module.reason() == DecisionReason::TenantSuspended)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revision_is_one_that_a_check_can_ask_for() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut admin = Admin::of(database, &["--changes", "poll"]).await;
    let before = get(&mut admin, "tenant-1").await.unwrap().revision;
    admin.server.database.execute("UPDATE tenant_subscriptions SET status = 'cancelled'").await;
    let after = get(&mut admin, "tenant-1").await.unwrap().revision;
    assert!(after > before && before > 0, "{before} {after}");
    let request = entitlementd::proto::v1::CheckModuleRequest {
        min_revision: Some(after),
        ..crate::harness::server::check_request(1, "finance")
    };
    assert!(!admin.server.check_request(request).await.unwrap().allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_there_is_not_found_and_what_names_nobody_is_refused() {
    let mut admin = Admin::of(Database::sqlite().await, &[]).await;
    for name in [id(9), "nobody".to_owned()] {
        let error = get(&mut admin, &name).await.unwrap_err();
        assert_eq!(
            (error.code(), reason_of(&error).as_str()),
            (Code::NotFound, "TENANT_NOT_FOUND")
        );
    }
    for name in ["", "a b", "' OR 1=1 --", "tenant-1\n"] {
        let error = get(&mut admin, name).await.unwrap_err();
        assert_eq!(
            (error.code(), field_violations(&error)),
            (Code::InvalidArgument, vec!["tenant".to_owned()]),
            "{name:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_shown_with_its_flags_its_limits_and_what_it_costs() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
        database.flag(1, "finance", "rows", "true", "'7'").await;
        database.override_limit(1, "users", "9", "NULL").await;
        let mut admin = Admin::of(database, &[]).await;
        let found = get(&mut admin, "tenant-1").await.unwrap();
        let flag = &found.flags[0];
        assert_eq!((flag.feature_key.as_str(), flag.enabled), ("rows", true));
        assert_eq!(flag.value, super::features::number(7.0));
        assert_eq!(found.limit_overrides[0].limit, Some(9));
        let limits: Vec<_> =
            found.limits.iter().map(|limit| (limit.key.as_str(), limit.limit)).collect();
        assert_eq!(limits, [("transactions_monthly", Some(1000)), ("users", Some(9))]);
        let cost = found.entitlements.unwrap();
        assert_eq!(
            (cost.plan_price.as_str(), cost.total_monthly.as_str()),
            ("19999.00", "29998.00")
        );
        assert_eq!(
            (cost.beside_plan_monthly.as_str(), cost.total_yearly.as_str()),
            ("9999.00", "")
        );
        assert_eq!(cost.modules_beside_plan, ["finance"]);

        // A database in trouble is shown as far as it can be.
        admin.server.database.execute("ALTER TABLE modules DROP COLUMN price_monthly").await;
        let found = get(&mut admin, "tenant-1").await.unwrap();
        assert_eq!((found.entitlements, found.flags.len()), (None, 1));
    }
}
