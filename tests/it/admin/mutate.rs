//! SetTenantStatus, EnableModules, DisableModules, ChangePlan and PreviewChange.

use entitlementd::{
    domain::Role,
    proto::v1::{
        BillingCycle, ChangePlanRequest, CheckModuleRequest, DecisionReason, DisableModulesRequest,
        EnableModulesRequest, ListAuditEventsRequest, ListModulesRequest, PreviewChangeRequest,
        SetTenantStatusRequest, TenantChange, TenantEntitlements, TenantStatus,
        preview_change_request::Change,
    },
};
use prost_types::Timestamp;
use sea_orm::{ConnectionTrait, TransactionTrait};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::Admin;
use crate::harness::{
    Database, NOW, Row, id,
    server::{check_request, field_violations, reason_of},
};

impl Admin {
    pub async fn enable(&mut self, request: EnableModulesRequest) -> Result<TenantChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.client.enable_modules(request).await?.into_inner().change.unwrap())
    }

    pub async fn disable(
        &mut self,
        request: DisableModulesRequest,
    ) -> Result<TenantChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.client.disable_modules(request).await?.into_inner().change.unwrap())
    }

    pub async fn change_plan(
        &mut self,
        request: ChangePlanRequest,
    ) -> Result<TenantChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.client.change_plan(request).await?.into_inner().change.unwrap())
    }

    pub async fn set_status(
        &mut self,
        request: SetTenantStatusRequest,
    ) -> Result<TenantChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.client.set_tenant_status(request).await?.into_inner().change.unwrap())
    }

    pub async fn preview(&mut self, change: Change) -> Result<TenantChange, Status> {
        let request = self.by(Role::Viewer, PreviewChangeRequest { change: Some(change) });
        Ok(self.client.preview_change(request).await?.into_inner().change.unwrap())
    }

    /// What a check says that is as fresh as the change.
    async fn check_after(&mut self, change: &TenantChange, module: &str) -> DecisionReason {
        let request =
            CheckModuleRequest { min_revision: Some(change.revision), ..check_request(1, module) };
        self.server.check_request(request).await.unwrap().reason()
    }
}

pub fn enabling(modules: &[&str]) -> EnableModulesRequest {
    EnableModulesRequest {
        tenant: "tenant-1".into(),
        module_codes: modules.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

pub fn disabling(modules: &[&str]) -> DisableModulesRequest {
    DisableModulesRequest {
        tenant: "tenant-1".into(),
        module_codes: modules.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

pub fn status(status: TenantStatus) -> SetTenantStatusRequest {
    let reason = "the invoice is unpaid".into();
    SetTenantStatusRequest {
        tenant: "tenant-1".into(),
        status: status.into(),
        reason,
        ..Default::default()
    }
}

fn plan(slug: &str) -> ChangePlanRequest {
    ChangePlanRequest { tenant: "tenant-1".into(), plan_slug: slug.into(), ..Default::default() }
}

fn codes(entitlements: Option<&TenantEntitlements>) -> Vec<&str> {
    entitlements.unwrap().modules.iter().map(|module| module.module_code.as_str()).collect()
}

/// The types of what stands in the way, each with its subject.
pub fn violations(status: &Status) -> Vec<(String, String)> {
    assert_eq!(
        (status.code(), reason_of(status).as_str()),
        (Code::FailedPrecondition, "CHANGE_REFUSED")
    );
    let details = status.get_error_details();
    let failure = details.precondition_failure().unwrap();
    failure
        .violations
        .iter()
        .map(|violation| (violation.r#type.clone(), violation.subject.clone()))
        .collect()
}

pub fn violation(kind: &str, subject: &str) -> (String, String) {
    (kind.to_owned(), subject.to_owned())
}

/// A server that hears of changes, with a tenant that has the base module and the one that others
/// need.
async fn admin_of(database: Database) -> Admin {
    database.mk_subscribed(1, "system_admin", Row::default()).await;
    database.mk_subscription(1, "oms_fulfillment", Row::default()).await;
    Admin::of(database, &["--changes", "auto", "--poll-interval", "20ms"]).await
}

async fn both() -> [Admin; 2] {
    [admin_of(Database::sqlite().await).await, admin_of(Database::postgres().await).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_is_enabled_and_disabled_and_enabled_again() {
    for mut admin in both().await {
        let on = admin.enable(enabling(&["finance"])).await.unwrap();
        assert_eq!(
            (on.tenant_id.as_str(), on.added_module_codes.as_slice()),
            (id(1).as_str(), ["finance".to_owned()].as_slice())
        );
        assert_eq!(codes(on.before.as_ref()), ["oms_fulfillment", "system_admin"]);
        assert_eq!(codes(on.after.as_ref()), ["finance", "oms_fulfillment", "system_admin"]);
        assert_eq!(on.before.as_ref().unwrap().price_monthly, "15998.00");
        let after = on.after.as_ref().unwrap();
        // The yearly price is the catalogue's own: 139990 + 32390 + 107990.
        assert_eq!(
            (after.price_monthly.as_str(), after.price_yearly.as_str()),
            ("25997.00", "280370.00")
        );
        assert_eq!(admin.check_after(&on, "finance").await, DecisionReason::Enabled);

        let off = admin.disable(disabling(&["finance"])).await.unwrap();
        assert_eq!(
            (off.removed_module_codes.as_slice(), off.after),
            (["finance".to_owned()].as_slice(), on.before)
        );
        assert!(off.revision > on.revision);
        let request =
            CheckModuleRequest { min_revision: Some(off.revision), ..check_request(1, "finance") };
        assert_eq!(
            admin.server.check_request(request).await.unwrap().reason(),
            DecisionReason::SubscriptionCancelled
        );

        // The row is taken up again: the live database may hold it to one row for each module.
        let again = admin.enable(enabling(&["finance"])).await.unwrap();
        assert_eq!(admin.check_after(&again, "finance").await, DecisionReason::Enabled);
        // What is so already is no change, and no error.
        let same = admin.enable(enabling(&["finance"])).await.unwrap();
        assert_eq!(
            (same.before, same.after, same.revision),
            (again.after.clone(), again.after, again.revision)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_stands_in_the_way_is_named_at_once_and_nothing_is_done() {
    for mut admin in both().await {
        admin
            .server
            .database
            .execute("UPDATE modules SET is_active = false WHERE code = 'hrms'")
            .await;
        let off = admin.disable(DisableModulesRequest {
            include_dependents: true,
            ..disabling(&["oms_fulfillment"])
        });
        off.await.unwrap();
        let refused = admin
            .enable(enabling(&["finance", "sales_distribution", "hrms", "nope"]))
            .await
            .unwrap_err();
        let wanted = [
            violation("MISSING_DEPENDENCY", "sales_distribution"),
            violation("RETIRED_MODULE", "hrms"),
            violation("UNKNOWN_MODULE", "nope"),
        ];
        assert_eq!(violations(&refused), wanted);
        assert!(
            refused.message().contains(
                "The module 'sales_distribution' requires 'oms_fulfillment', which is not"
            )
        );
        let refused = admin.disable(disabling(&["system_admin", "nope"])).await.unwrap_err();
        assert_eq!(
            violations(&refused),
            [violation("BASE_MODULE", "system_admin"), violation("UNKNOWN_MODULE", "nope")]
        );
        let now = admin.preview(Change::Enable(enabling(&["finance"]))).await.unwrap();
        assert_eq!(codes(now.before.as_ref()), ["system_admin"]);

        let along = EnableModulesRequest {
            include_dependencies: true,
            ..enabling(&["sales_distribution"])
        };
        let along = admin.enable(along).await.unwrap();
        assert_eq!(along.added_module_codes, ["oms_fulfillment", "sales_distribution"]);
        let refused = admin.disable(disabling(&["oms_fulfillment"])).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("HAS_DEPENDENT", "oms_fulfillment")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_is_what_happens_and_changes_nothing() {
    for mut admin in both().await {
        let request =
            EnableModulesRequest { include_dependencies: true, ..enabling(&["scm_ai", "finance"]) };
        let preview = admin.preview(Change::Enable(request.clone())).await.unwrap();
        assert_eq!(preview, admin.preview(Change::Enable(request.clone())).await.unwrap());
        let done = admin.enable(request).await.unwrap();
        assert!(done.revision > preview.revision);
        assert_eq!(TenantChange { revision: preview.revision, ..done }, preview);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_can_end_by_itself() {
    for mut admin in both().await {
        let at = |seconds: i64| Some(Timestamp { seconds: NOW.timestamp() + seconds, nanos: 0 });
        let trial = EnableModulesRequest { trial_ends_at: at(60), ..enabling(&["finance"]) };
        let trial = admin.enable(trial).await.unwrap();
        let held = &trial.after.as_ref().unwrap().modules[0];
        assert_eq!((held.ends_at, held.is_trial), (at(60), true));
        assert_eq!(admin.check_after(&trial, "finance").await, DecisionReason::Enabled);
        admin.server.advance(60);
        assert_eq!(admin.server.check(1, "finance").await.reason(), DecisionReason::TrialEnded);
        // The customer buys it.
        let bought = admin.enable(enabling(&["finance"])).await.unwrap();
        assert_eq!(admin.check_after(&bought, "finance").await, DecisionReason::Enabled);
        let held = &bought.after.as_ref().unwrap().modules[0];
        assert_eq!((held.ends_at, held.is_trial), (None, false));

        // And gives it up: what is paid for stays to the end of the month.
        let ending = DisableModulesRequest { at_period_end: true, ..disabling(&["finance"]) };
        let ending = admin.disable(ending).await.unwrap();
        assert!(ending.removed_module_codes.is_empty());
        assert_eq!(ending.after.as_ref().unwrap().modules[0].ends_at, at(60 + 30 * 86_400));
        assert_eq!(admin.check_after(&ending, "finance").await, DecisionReason::Enabled);
        admin.server.advance(30 * 86_400);
        assert_eq!(
            admin.server.check(1, "finance").await.reason(),
            DecisionReason::SubscriptionExpired
        );

        let past = EnableModulesRequest { expires_at: at(0), ..enabling(&["finance"]) };
        assert_eq!(
            violations(&admin.enable(past).await.unwrap_err()),
            [violation("PAST", "expires_at")]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_brings_its_modules_and_takes_those_of_the_one_before() {
    for mut admin in both().await {
        let starter = admin.change_plan(plan("starter")).await.unwrap();
        assert_eq!(
            codes(starter.after.as_ref()),
            ["d2c_storefront", "oms_fulfillment", "system_admin"]
        );
        let yearly = BillingCycle::Yearly.into();
        let growth = admin
            .change_plan(ChangePlanRequest { billing_cycle: yearly, ..plan("growth") })
            .await
            .unwrap();
        assert_eq!(growth.added_module_codes, ["crm_service", "finance", "procurement"]);
        let query = "SELECT CAST(price_paid AS text) AS price, s.billing_cycle FROM tenant_subscriptions s \
                     JOIN modules m ON m.id = s.module_id WHERE m.code = 'finance'";
        let row = admin.server.database.one(query).await;
        let price: String = row.try_get("", "price").unwrap();
        assert_eq!(
            (
                price.trim_end_matches(".0").trim_end_matches(".00"),
                row.try_get::<String>("", "billing_cycle").unwrap().as_str()
            ),
            ("107990", "yearly")
        );
        // A module beside the plan stays, and so does what it needs.
        admin.enable(enabling(&["hrms"])).await.unwrap();
        let back = admin.change_plan(plan("starter")).await.unwrap();
        assert_eq!(
            codes(back.after.as_ref()),
            ["d2c_storefront", "hrms", "oms_fulfillment", "system_admin"]
        );
        assert_eq!(back.after.as_ref().unwrap().plan_slug, "starter");
        assert_eq!(
            admin.check_after(&back, "finance").await,
            DecisionReason::SubscriptionCancelled
        );
        let refused = admin.change_plan(plan("nope")).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("UNKNOWN_PLAN", "nope")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_says_who_is_served() {
    for mut admin in both().await {
        let suspended = admin.set_status(status(TenantStatus::Suspended)).await.unwrap();
        assert_eq!(suspended.after.as_ref().unwrap().status, "suspended");
        assert_eq!(
            admin.check_after(&suspended, "system_admin").await,
            DecisionReason::TenantSuspended
        );
        // A tenant that is not served is sold nothing.
        let refused = admin.enable(enabling(&["finance"])).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("TENANT_STATUS", "suspended")]);
        let active = admin.set_status(status(TenantStatus::Active)).await.unwrap();
        assert_eq!(admin.check_after(&active, "system_admin").await, DecisionReason::Enabled);
        admin.set_status(status(TenantStatus::Cancelled)).await.unwrap();
        let refused = admin.set_status(status(TenantStatus::Suspended)).await.unwrap_err();
        assert_eq!(violations(&refused), [violation("TRANSITION", "suspended")]);
        assert_eq!(refused.message(), r#"A tenant that is "cancelled" cannot become "suspended"."#);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_request_is_named_field_by_field() {
    let mut admin = admin_of(Database::sqlite().await).await;
    let error = admin.set_status(SetTenantStatusRequest::default()).await.unwrap_err();
    assert_eq!(field_violations(&error), ["status", "tenant"]);
    let unexplained =
        SetTenantStatusRequest { reason: String::new(), ..status(TenantStatus::Suspended) };
    assert_eq!(field_violations(&admin.set_status(unexplained).await.unwrap_err()), ["reason"]);
    assert_eq!(
        field_violations(&admin.set_status(status(TenantStatus::Pending)).await.unwrap_err()),
        ["status"]
    );
    let bad = EnableModulesRequest {
        billing_cycle: 7,
        reason: "two\nlines".into(),
        request_id: "a b".into(),
        ..enabling(&["finance", ""])
    };
    let error = admin.enable(bad).await.unwrap_err();
    assert_eq!(
        field_violations(&error),
        ["module_codes[1]", "billing_cycle", "reason", "request_id"]
    );
    assert_eq!(
        field_violations(&admin.disable(disabling(&[])).await.unwrap_err()),
        ["module_codes"]
    );
    let nothing = admin.by(Role::Viewer, PreviewChangeRequest { change: None });
    assert_eq!(
        field_violations(&admin.client.preview_change(nothing).await.unwrap_err()),
        ["change"]
    );
    let nobody = EnableModulesRequest { tenant: "nobody".into(), ..enabling(&["finance"]) };
    let error = admin.enable(nobody).await.unwrap_err();
    assert_eq!((error.code(), reason_of(&error).as_str()), (Code::NotFound, "TENANT_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_changes_nothing() {
    let mut admin = admin_of(Database::sqlite().await).await;
    let request = admin.by(Role::Viewer, enabling(&["finance"]));
    let error = admin.client.enable_modules(request).await.unwrap_err();
    assert_eq!(
        (error.code(), reason_of(&error).as_str()),
        (Code::PermissionDenied, "CALLER_NOT_ALLOWED")
    );
    let request = admin.by(Role::Viewer, status(TenantStatus::Suspended));
    let error = admin.client.set_tenant_status(request).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(
        !admin.server.check(1, "finance").await.allowed
            && admin.server.check(1, "system_admin").await.allowed
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_written_by_hand_are_changed_in_the_columns_that_differ_alone() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database
        .execute(
            "UPDATE tenant_subscriptions SET starts_at = '-infinity', settings = '{\"seats\": 5}', price_paid = 7777",
        )
        .await;
    let mut admin = Admin::of(database, &["--changes", "auto"]).await;
    admin.disable(disabling(&["finance"])).await.unwrap();
    let query = "SELECT CAST(starts_at AS text) || settings || price_paid || status AS row FROM tenant_subscriptions";
    let row: String = admin.server.database.one(query).await.try_get("", "row").unwrap();
    assert_eq!(row, r#"-infinity{"seats": 5}7777.00cancelled"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dependency_is_not_disabled_while_its_dependent_is_being_enabled() {
    for mut admin in both().await {
        for _ in 0..10 {
            let on = admin.by(Role::Operator, enabling(&["sales_distribution"]));
            let off = admin.by(Role::Operator, disabling(&["oms_fulfillment"]));
            let (mut one, mut other) = (admin.client.clone(), admin.client.clone());
            let (on, off) = tokio::join!(one.enable_modules(on), other.disable_modules(off));
            // Whoever comes second is refused.
            assert_ne!(on.is_ok(), off.is_ok());
            let back = EnableModulesRequest {
                include_dependencies: true,
                ..enabling(&["sales_distribution"])
            };
            admin.enable(back).await.unwrap();
            admin.disable(disabling(&["sales_distribution"])).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_enabled_by_many_at_once_has_one_row() {
    for mut admin in both().await {
        let ask = || {
            let (mut client, request) =
                (admin.client.clone(), admin.by(Role::Operator, enabling(&["finance"])));
            async move { client.enable_modules(request).await.unwrap().into_inner().change.unwrap() }
        };
        let changes = futures_util::future::join_all((0..8).map(|_| ask())).await;
        assert_eq!(
            changes.iter().filter(|change| !change.added_module_codes.is_empty()).count(),
            1
        );
        let query = "SELECT CAST(count(*) AS text) AS count FROM tenant_subscriptions s \
                     JOIN modules m ON m.id = s.module_id WHERE m.code = 'finance'";
        let count: String = admin.server.database.one(query).await.try_get("", "count").unwrap();
        assert_eq!(count, "1");
        assert!(
            admin
                .preview(Change::Enable(enabling(&["finance"])))
                .await
                .unwrap()
                .added_module_codes
                .is_empty()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_many_modules_fits_into_a_header() {
    let mut admin = admin_of(Database::sqlite().await).await;
    let codes: Vec<String> =
        (0..100).map(|number| format!("{number:02}{}", "🛒".repeat(48))).collect();
    let request = EnableModulesRequest { module_codes: codes, ..enabling(&[]) };
    let refused = admin.enable(request).await.unwrap_err();
    let found = violations(&refused);
    assert!((3..20).contains(&found.len()) && found[0].0 == "UNKNOWN_MODULE", "{}", found.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_waits_for_somebody_else_gives_up_and_disturbs_no_check() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.mk_subscribed(2, "finance", Row::default()).await;
    let lock = database.connection.begin().await.unwrap();
    lock.execute_unprepared("SELECT 1 FROM tenants WHERE subdomain = 'tenant-1' FOR UPDATE")
        .await
        .unwrap();
    let mut admin = Admin::of(database.again().await, &["--changes", "auto"]).await;
    let error = admin.disable(disabling(&["finance"])).await.unwrap_err();
    assert_eq!(
        (error.code(), reason_of(&error).as_str()),
        (Code::Unavailable, "STORE_UNAVAILABLE")
    );
    // A tenant that is not held is loaded as if nothing had been.
    assert!(admin.server.check(2, "finance").await.allowed);
    lock.rollback().await.unwrap();
    admin.disable(disabling(&["finance"])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_becomes_of_another_type_fails_no_change() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.execute("UPDATE tenants SET subdomain = 'tenant-1'").await;
    let mut admin = Admin::of(database, &[]).await;
    let change = async |admin: &mut Admin| {
        // More often than there are connections.
        for _ in 0..6 {
            admin.enable(enabling(&["hrms"])).await.unwrap();
            admin.disable(disabling(&["hrms"])).await.unwrap();
            assert!(admin.server.check_past_the_cache(1, "finance").await.allowed);
        }
    };
    change(&mut admin).await;
    for wider in [
        "ALTER TABLE tenants ALTER name TYPE varchar(300)",
        "ALTER TABLE tenants ALTER name TYPE text, ALTER database_schema TYPE text, ALTER subdomain TYPE varchar(200)",
        "ALTER TABLE tenant_subscriptions ALTER billing_cycle TYPE text, ALTER status TYPE varchar(99)",
        "ALTER TABLE modules ALTER code TYPE varchar(99), ALTER dependencies TYPE json, ALTER dependencies DROP DEFAULT",
        "ALTER TABLE plans ALTER slug TYPE text, ALTER included_modules TYPE json",
        "ALTER TABLE entitlement_audit ALTER request TYPE json",
    ] {
        admin.server.database.execute(wider).await;
        change(&mut admin).await;
        let request = admin.by(Role::Viewer, ListAuditEventsRequest::default());
        admin.client.list_audit_events(request).await.unwrap();
        let request = admin.by(Role::Viewer, ListModulesRequest::default());
        admin.client.list_modules(request).await.unwrap();
    }
}
