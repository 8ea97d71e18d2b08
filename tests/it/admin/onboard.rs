//! OnboardTenant and RetryProvisioning.

use std::{fs, path::Path};

use entitlementd::{
    domain::Role,
    proto::v1::{
        BillingCycle, DecisionReason, EnableModulesRequest, ListAuditEventsRequest,
        OnboardTenantRequest, OnboardTenantResponse, RetryProvisioningRequest,
        RetryProvisioningResponse, SetTenantStatusRequest, TenantStatus,
    },
};
use futures_util::future::join_all;
use prost_types::{Struct, Value, value::Kind};
use tempfile::TempDir;
use tonic::{Code, Status};

use super::Admin;
use crate::harness::{
    Database,
    server::{field_violations, reason_of},
    until_so,
};

/// The example that ships.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/tenant-template");

impl Admin {
    async fn onboard(
        &mut self,
        request: OnboardTenantRequest,
    ) -> Result<OnboardTenantResponse, Status> {
        let request = self.by(Role::Operator, request);
        self.client.onboard_tenant(request).await.map(tonic::Response::into_inner)
    }

    async fn retry(&mut self, tenant: &str) -> Result<RetryProvisioningResponse, Status> {
        let request = RetryProvisioningRequest { tenant: tenant.into(), ..Default::default() };
        let request = self.by(Role::Operator, request);
        self.client.retry_provisioning(request).await.map(tonic::Response::into_inner)
    }

    /// What was done, the oldest first.
    async fn actions(&mut self) -> Vec<String> {
        let request = self.by(Role::Viewer, ListAuditEventsRequest::default());
        let events = self.client.list_audit_events(request).await.unwrap().into_inner().events;
        events.into_iter().rev().map(|event| event.action).collect()
    }

    async fn tables(&self, schema: &str) -> i64 {
        let query = format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'");
        self.server.database.one(&query).await.try_get("", "count").unwrap()
    }

    async fn status(&self, subdomain: &str) -> String {
        let query = format!("SELECT status FROM tenants WHERE subdomain = '{subdomain}'");
        self.server.database.one(&query).await.try_get("", "status").unwrap()
    }
}

fn test_company() -> OnboardTenantRequest {
    OnboardTenantRequest {
        name: "Test Company".into(),
        subdomain: "testcompany".into(),
        plan_slug: "starter".into(),
        ..Default::default()
    }
}

fn with_modules(subdomain: &str, modules: &[&str]) -> OnboardTenantRequest {
    OnboardTenantRequest {
        name: "Test Company".into(),
        subdomain: subdomain.into(),
        module_codes: modules.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

async fn admin_of(database: Database, template: &str) -> Admin {
    Admin::of(
        database,
        &["--changes", "auto", "--poll-interval", "20ms", "--tenant-template", template],
    )
    .await
}

/// A template whose finance is broken until it is mended.
fn broken_template() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, sql) in [
        ("_base/001.sql", "CREATE TABLE first (id int)"),
        ("finance/001.sql", "CREATE TABLE second (id int)"),
        ("finance/002.sql", "CREATE TABLE third (id nonsense)"),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, sql).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_template_sets_for_its_session_concerns_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("_base")).unwrap();
    // As pg_dump writes it. The last one holds for what comes after it alone: a millisecond is less than
    // most things take.
    let dumped = "SELECT pg_catalog.set_config('search_path', '', false);
                  CREATE TABLE tenant_testcompany.first (id int);
                  SELECT pg_catalog.set_config('search_path', 'tenant_testcompany', false);
                  SET statement_timeout = 1";
    fs::write(folder.path().join("_base/001.sql"), dumped).unwrap();
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", crate::harness::Row::default()).await;
    let mut admin = admin_of(database, folder.path().to_str().unwrap()).await;
    admin.onboard(test_company()).await.unwrap();
    for _ in 0..20 {
        assert!(admin.server.check_past_the_cache(1, "finance").await.allowed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_brought_in_and_served_at_once() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let is_sqlite = database.is_sqlite();
        let mut admin = admin_of(database, EXAMPLE).await;
        let onboarded = admin.onboard(test_company()).await.unwrap();
        let change = onboarded.change.unwrap();
        assert_eq!(
            change.added_module_codes,
            ["d2c_storefront", "oms_fulfillment", "system_admin"]
        );
        let after = change.after.unwrap();
        assert_eq!((after.status.as_str(), after.plan_slug.as_str()), ("active", "starter"));
        assert_eq!(after.price_monthly, "19997.00");
        // The plan has a price of its own, and none for a year.
        assert_eq!(
            (after.plan_price.as_str(), after.plan_billing_cycle()),
            ("19999.00", BillingCycle::Monthly)
        );
        assert_eq!((after.total_monthly.as_str(), after.total_yearly.as_str()), ("19999.00", ""));
        assert!(after.modules_beside_plan.is_empty() && after.beside_plan_monthly == "0.00");
        if is_sqlite {
            assert_eq!(
                (onboarded.database_schema.as_str(), onboarded.applied_files.len()),
                ("", 0)
            );
        } else {
            assert_eq!(onboarded.database_schema, "tenant_testcompany");
            assert_eq!(onboarded.applied_files, ["_base/001_people.sql", "_base/002_audit.sql"]);
            assert_eq!(admin.tables("tenant_testcompany").await, 6);
        }
        let resolved =
            admin.server.resolve("", "testcompany.erp.example", "").await.unwrap().tenant.unwrap();
        assert_eq!(
            (resolved.id, resolved.database_schema.as_str()),
            (change.tenant_id, "tenant_testcompany")
        );
        assert_eq!(admin.actions().await, ["OnboardTenant", "ProvisionTenant"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_tenant_gets_what_was_asked_for_and_the_base_modules() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut admin = admin_of(database, EXAMPLE).await;
        let seats = Value { kind: Some(Kind::NumberValue(5.0)) };
        let request = OnboardTenantRequest {
            billing_cycle: BillingCycle::Yearly.into(),
            trial_days: 14,
            settings: Some(Struct { fields: [("seats".to_owned(), seats)].into() }),
            ..with_modules("acme", &["hrms"])
        };
        let after = admin.onboard(request).await.unwrap().change.unwrap().after.unwrap();
        let codes: Vec<_> = after
            .modules
            .iter()
            .map(|module| (module.module_code.as_str(), module.is_trial))
            .collect();
        assert_eq!(codes, [("hrms", true), ("system_admin", true)]);
        let query = "SELECT CAST(settings AS text) || CAST(trial_ends_at IS NOT NULL AS text) AS row FROM tenants";
        let row: String = admin.server.database.one(query).await.try_get("", "row").unwrap();
        assert!(row.replace(' ', "").starts_with(r#"{"seats":5}"#), "{row}");
        let id = admin.server.resolve("", "acme.erp.example", "").await.unwrap().tenant.unwrap().id;
        let request = entitlementd::proto::v1::CheckModuleRequest {
            tenant_id: id,
            module_code: "hrms".into(),
            ..Default::default()
        };
        assert!(admin.server.check_request(request.clone()).await.unwrap().allowed);
        admin.server.advance(14 * 86_400);
        assert_eq!(
            admin.server.check_request(request).await.unwrap().reason(),
            DecisionReason::TrialEnded
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_come_is_told_why_and_leaves_nothing_behind() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.mk_tenant(1, "taken", "active").await;
        let mut admin = admin_of(database, EXAMPLE).await;
        let bad = OnboardTenantRequest {
            trial_days: 400,
            subdomain: "admin\n".into(),
            ..Default::default()
        };
        let error = admin.onboard(bad).await.unwrap_err();
        assert_eq!(field_violations(&error), ["name", "subdomain", "plan_slug", "trial_days"]);
        let nul = Value { kind: Some(Kind::StringValue("a\0".into())) };
        let settings = Some(Struct { fields: [("x".to_owned(), nul)].into() });
        let bad = OnboardTenantRequest { settings, ..test_company() };
        assert_eq!(field_violations(&admin.onboard(bad).await.unwrap_err()), ["settings"]);
        let reserved = OnboardTenantRequest { subdomain: "admin".into(), ..test_company() };
        assert_eq!(field_violations(&admin.onboard(reserved).await.unwrap_err()), ["subdomain"]);
        let taken = OnboardTenantRequest { subdomain: "taken".into(), ..test_company() };
        let error = admin.onboard(taken).await.unwrap_err();
        assert_eq!(
            (error.code(), reason_of(&error).as_str()),
            (Code::AlreadyExists, "SUBDOMAIN_TAKEN")
        );
        for request in [
            OnboardTenantRequest { plan_slug: "nope".into(), ..test_company() },
            with_modules("testcompany", &["sales_distribution"]),
            with_modules("testcompany", &["nope"]),
        ] {
            let error = admin.onboard(request).await.unwrap_err();
            assert_eq!(
                (error.code(), reason_of(&error).as_str()),
                (Code::FailedPrecondition, "CHANGE_REFUSED")
            );
        }
        let query = "SELECT CAST(count(*) AS text) AS count FROM tenants";
        assert_eq!(
            admin.server.database.one(query).await.try_get::<String>("", "count").unwrap(),
            "1"
        );
        assert!(admin.actions().await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_for_one_subdomain_one_wins() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut admin = admin_of(database, EXAMPLE).await;
        let ask = || {
            let (mut client, request) =
                (admin.client.clone(), admin.by(Role::Operator, test_company()));
            async move { client.onboard_tenant(request).await }
        };
        let answers = join_all((0..8).map(|_| ask())).await;
        let refused: Vec<&Status> =
            answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert_eq!(refused.len(), 7);
        assert!(refused.iter().all(|status| reason_of(status) == "SUBDOMAIN_TAKEN"), "{refused:?}");
        assert_eq!(admin.actions().await, ["OnboardTenant", "ProvisionTenant"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_subdomains_that_are_cut_to_the_same_schema_do_not_share_it() {
    let mut admin = admin_of(Database::postgres().await, EXAMPLE).await;
    let long = "a".repeat(56);
    let named = |subdomain: String| OnboardTenantRequest { subdomain, ..test_company() };
    let one = admin.onboard(named(format!("{long}1"))).await.unwrap();
    assert_eq!(one.database_schema.len(), 63);
    let error = admin.onboard(named(format!("{long}2"))).await.unwrap_err();
    assert_eq!(reason_of(&error), "SUBDOMAIN_TAKEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_was_corrected_counts_once_it_is_read_again() {
    let template = broken_template();
    let path = template.path().to_str().unwrap();
    let mut admin = admin_of(Database::postgres().await, path).await;
    admin.onboard(with_modules("acme", &["finance"])).await.unwrap_err();
    fs::write(template.path().join("finance/002.sql"), "CREATE TABLE third (id int)").unwrap();
    admin.server.running.reload();
    until_so("it is set up", async || admin.retry("acme").await.is_ok()).await;
    assert_eq!(admin.tables("tenant_acme").await, 4);
    // A folder that is none changes nothing.
    fs::rename(template.path().join("_base"), template.path().join("base")).unwrap();
    admin.server.running.reload();
    admin.onboard(with_modules("other", &["finance"])).await.unwrap();
    assert_eq!(admin.tables("tenant_other").await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setup_that_fails_is_kept_with_its_cause_and_taken_up_again() {
    let template = broken_template();
    let path = template.path().to_str().unwrap();
    let mut admin = admin_of(Database::postgres().await, path).await;
    let request =
        OnboardTenantRequest { request_id: "r-1".into(), ..with_modules("acme", &["finance"]) };
    for _ in 0..2 {
        let error = admin.onboard(request.clone()).await.unwrap_err();
        assert_eq!(
            (error.code(), reason_of(&error).as_str()),
            (Code::FailedPrecondition, "TEMPLATE_FAILED")
        );
        assert!(
            error.message().starts_with("the file finance/002.sql of the tenant template failed")
        );
        assert!(!error.message().contains("nonsense"));
        assert_eq!(
            (admin.status("acme").await.as_str(), admin.tables("tenant_acme").await),
            ("failed", 0)
        );
    }
    assert_eq!(
        admin.actions().await,
        ["OnboardTenant", "ProvisioningFailed", "ProvisioningFailed"]
    );
    let history = crate::harness::process::run(&[
        "tenant",
        "history",
        "acme",
        "--database-url",
        &admin.server.database.url,
    ]);
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(
        history.contains("nonsense") && history.contains("status pending_setup -> failed"),
        "{history}"
    );

    // The template is read when the server starts, or is told to.
    fs::write(template.path().join("finance/002.sql"), "CREATE TABLE third (id int)").unwrap();
    let database = admin.server.database.again().await;
    admin.server.running.stop().await.unwrap();
    let mut admin = admin_of(database, path).await;
    let retried = admin.retry("acme").await.unwrap();
    assert_eq!(retried.applied_files, ["_base/001.sql", "finance/001.sql", "finance/002.sql"]);
    assert_eq!(
        (admin.status("acme").await.as_str(), admin.tables("tenant_acme").await),
        ("active", 4)
    );
    // Again, there is nothing to do; and the first request is answered as it has turned out.
    assert!(admin.retry("acme").await.unwrap().applied_files.is_empty());
    let again = admin.onboard(request).await.unwrap();
    assert_eq!(again.change.unwrap().after.unwrap().status, "active");
    assert_eq!(admin.actions().await.last().unwrap(), "ProvisionTenant");
    assert_eq!(admin.actions().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_is_enabled_later_brings_its_tables_or_is_refused() {
    let mut admin = admin_of(Database::postgres().await, EXAMPLE).await;
    admin.onboard(test_company()).await.unwrap();
    let enable = |module: &str| EnableModulesRequest {
        tenant: "testcompany".into(),
        module_codes: vec![module.into()],
        ..Default::default()
    };
    admin.enable(enable("finance")).await.unwrap();
    assert_eq!(admin.tables("tenant_testcompany").await, 8);
    // Off and on again: a file is applied once.
    let off = entitlementd::proto::v1::DisableModulesRequest {
        tenant: "testcompany".into(),
        module_codes: vec!["finance".into()],
        ..Default::default()
    };
    admin.disable(off).await.unwrap();
    admin.enable(enable("finance")).await.unwrap();
    // A table that is in the way: the module is not enabled, and nothing is half done.
    admin.server.database.execute("CREATE TABLE tenant_testcompany.employees (id int)").await;
    let error = admin.enable(enable("hrms")).await.unwrap_err();
    assert_eq!(reason_of(&error), "TEMPLATE_FAILED");
    let change = admin.preview(entitlementd::proto::v1::preview_change_request::Change::Disable(
        entitlementd::proto::v1::DisableModulesRequest {
            tenant: "testcompany".into(),
            module_codes: vec!["finance".into()],
            ..Default::default()
        },
    ));
    let held = change.await.unwrap().before.unwrap().modules;
    assert!(!held.iter().any(|module| module.module_code == "hrms"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_is_never_made_for_a_tenant_that_is_gone_or_in_one_that_is_not_its_own() {
    let mut admin = admin_of(Database::postgres().await, EXAMPLE).await;
    admin.server.database.mk_tenant(1, "gone", "cancelled").await;
    admin.server.database.mk_tenant(2, "shared", "pending_setup").await;
    admin.server.database.mk_tenant(3, "public", "failed").await;
    admin
        .server
        .database
        .execute(
            "UPDATE tenants SET database_schema = 'tenant_gone' WHERE subdomain = 'shared';
             UPDATE tenants SET database_schema = 'public' WHERE subdomain = 'public'",
        )
        .await;
    for tenant in ["gone", "shared", "public"] {
        let error = admin.retry(tenant).await.unwrap_err();
        assert_eq!(
            (error.code(), reason_of(&error).as_str()),
            (Code::FailedPrecondition, "CHANGE_REFUSED"),
            "{tenant}"
        );
        assert_eq!(admin.tables(&format!("tenant_{tenant}")).await, 0);
    }
    assert_eq!(
        (admin.status("gone").await.as_str(), admin.status("shared").await.as_str()),
        ("cancelled", "failed")
    );
    assert_eq!(admin.retry("nobody").await.unwrap_err().code(), Code::NotFound);
    // Setting up is for the setup: no administrator makes such a tenant active by hand.
    let by_hand = SetTenantStatusRequest {
        tenant: "shared".into(),
        status: TenantStatus::Active.into(),
        ..Default::default()
    };
    assert_eq!(admin.set_status(by_hand).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_ends_the_transaction_is_told_of() {
    let template = tempfile::tempdir().unwrap();
    fs::create_dir(template.path().join("_base")).unwrap();
    fs::write(template.path().join("_base/001.sql"), "CREATE TABLE first (id int); COMMIT")
        .unwrap();
    let mut admin = admin_of(Database::postgres().await, template.path().to_str().unwrap()).await;
    let error = admin.onboard(test_company()).await.unwrap_err();
    assert_eq!(reason_of(&error), "TEMPLATE_FAILED");
}

#[test]
fn a_template_that_is_not_whole_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |path: &Path| {
        let path = path.to_str().unwrap();
        let output = crate::harness::process::run(&["serve", "--demo", "--tenant-template", path]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = serve(&folder.path().join("none"));
    assert!(
        code == Some(2)
            && error.contains("--tenant-template names")
            && error.contains("cannot be read"),
        "{error}"
    );
    let (code, error) = serve(folder.path());
    assert!(code == Some(2) && error.contains("_base, which is not there"), "{error}");
    fs::create_dir(folder.path().join("_base")).unwrap();
    fs::write(folder.path().join("lost.sql"), "SELECT 1").unwrap();
    let (code, error) = serve(folder.path());
    assert!(
        code == Some(2) && error.contains("lost.sql, which lies beside the folders"),
        "{error}"
    );
}
