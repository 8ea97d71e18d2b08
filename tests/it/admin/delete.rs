//! DeleteTenant.

use entitlementd::{
    domain::Role,
    proto::v1::{
        DecisionReason, DeleteTenantRequest, ListAuditEventsRequest, OnboardTenantRequest,
        TenantChange, TenantStatus,
    },
};
use sea_orm::{ConnectionTrait, TransactionTrait};
use tonic::{Code, Status};

use super::{
    Admin,
    mutate::{status, violations},
};
use crate::harness::{
    Database, Row, id, process,
    server::{field_violations, reason_of},
};

fn deletion(name: &str) -> DeleteTenantRequest {
    DeleteTenantRequest { tenant: "tenant-1".into(), name: name.into(), ..Default::default() }
}

async fn delete(admin: &mut Admin, request: DeleteTenantRequest) -> Result<TenantChange, Status> {
    let request = admin.by(Role::Owner, request);
    Ok(admin.client.delete_tenant(request).await?.into_inner().change.unwrap())
}

fn kinds(status: &Status) -> Vec<String> {
    violations(status).into_iter().map(|(kind, _)| kind).collect()
}

/// What `tenant provision` comes to, and its words.
fn provision(admin: &Admin, template: &tempfile::TempDir) -> (Option<i32>, String) {
    let folder = template.path().to_str().unwrap();
    let url = &admin.server.database.url;
    let fixed =
        ["tenant", "provision", "tenant-1", "--tenant-template", folder, "--database-url", url];
    let output = process::run(&fixed);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

async fn rows(admin: &Admin) -> i64 {
    let tables =
        ["tenants", "tenant_subscriptions", "feature_flags", "billing_history", "usage_metrics"];
    let counts: Vec<String> =
        tables.iter().map(|table| format!("(SELECT count(*) FROM {table})")).collect();
    let query = format!("SELECT CAST({} AS bigint) AS count", counts.join(" + "));
    admin.server.database.one(&query).await.try_get("", "count").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_deleted_in_two_steps_with_its_name_repeated() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let tenant = database.uuid(&id(1));
        database.mk_subscribed(1, "finance", Row::default()).await;
        database
            .execute(&format!(
                "INSERT INTO feature_flags (tenant_id, module_code, feature_key) VALUES ({tenant}, 'finance', 'x');
                 INSERT INTO usage_metrics (tenant_id, metric_type) VALUES ({tenant}, 'orders');
                 INSERT INTO billing_history (tenant_id, invoice_number, billing_period_start, billing_period_end,
                    amount, total_amount, status) VALUES
                    ({tenant}, 'INV-1', '2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z', 1, 1, 'paid'),
                    ({tenant}, 'INV-2', '2026-02-01T00:00:00Z', '2026-03-01T00:00:00Z', 1, 1, 'pending')"
            ))
            .await;
        let is_sqlite = database.is_sqlite();
        if !is_sqlite {
            database
                .execute(
                    r#"CREATE SCHEMA "tenant_tenant-1"; CREATE TABLE "tenant_tenant-1".x (id int)"#,
                )
                .await;
        }
        let mut admin =
            Admin::of(database, &["--changes", "auto", "--poll-interval", "20ms"]).await;
        let refused = delete(&mut admin, deletion("tenant 1")).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason_of(&refused).as_str()),
            (Code::FailedPrecondition, "CHANGE_REFUSED")
        );
        assert_eq!(kinds(&refused), ["NOT_CANCELLED", "OTHER_NAME", "UNPAID_INVOICES"]);
        admin.set_status(status(TenantStatus::Cancelled)).await.unwrap();
        assert_eq!(
            kinds(&delete(&mut admin, deletion("Tenant 1")).await.unwrap_err()),
            ["UNPAID_INVOICES"]
        );
        assert_eq!(rows(&admin).await, 6);

        let forced =
            DeleteTenantRequest { force: true, request_id: "r-1".into(), ..deletion("Tenant 1") };
        let gone = delete(&mut admin, forced.clone()).await.unwrap();
        assert_eq!(
            (gone.tenant_id.as_str(), gone.removed_module_codes.as_slice()),
            (id(1).as_str(), ["finance".to_owned()].as_slice())
        );
        assert_eq!(rows(&admin).await, 0);
        if !is_sqlite {
            let query = "SELECT count(*) FROM pg_namespace WHERE nspname = 'tenant_tenant-1'";
            assert_eq!(
                admin.server.database.one(query).await.try_get::<i64>("", "count").unwrap(),
                0
            );
        }
        let request = entitlementd::proto::v1::CheckModuleRequest {
            min_revision: Some(gone.revision),
            ..crate::harness::server::check_request(1, "finance")
        };
        assert_eq!(
            admin.server.check_request(request).await.unwrap().reason(),
            DecisionReason::TenantNotFound
        );

        // Sent again it is answered as it was; a new one finds nobody. The record outlives the
        // tenant.
        assert_eq!(delete(&mut admin, forced).await.unwrap(), gone);
        assert_eq!(
            delete(&mut admin, deletion("Tenant 1")).await.unwrap_err().code(),
            Code::NotFound
        );
        let request = ListAuditEventsRequest { tenant_id: id(1), ..Default::default() };
        let request = admin.by(Role::Viewer, request);
        let events = admin.client.list_audit_events(request).await.unwrap().into_inner().events;
        assert_eq!(
            events.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(),
            ["DeleteTenant", "SetTenantStatus"]
        );
        assert!(events[0].after.is_none() && events[0].before.is_some());
        // The subdomain is to be had again.
        let again = OnboardTenantRequest {
            name: "Again".into(),
            subdomain: "tenant-1".into(),
            plan_slug: "starter".into(),
            ..Default::default()
        };
        let again = admin.by(Role::Operator, again);
        admin.client.onboard_tenant(again).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_alone_deletes_and_never_a_schema_that_another_tenant_uses() {
    let database = Database::postgres().await;
    database.mk_tenant(1, "tenant-1", "cancelled").await;
    database.mk_tenant(2, "tenant-2", "active").await;
    database
        .execute(
            r#"UPDATE tenants SET database_schema = 'tenant_tenant-2';
               CREATE SCHEMA "tenant_tenant-2"; CREATE TABLE "tenant_tenant-2".x (id int)"#,
        )
        .await;
    let mut admin = Admin::of(database, &[]).await;
    let request = admin.by(Role::Operator, deletion("Tenant 1"));
    assert_eq!(
        admin.client.delete_tenant(request).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    assert_eq!(
        kinds(&delete(&mut admin, deletion("Tenant 1")).await.unwrap_err()),
        ["FOREIGN_SCHEMA"]
    );
    admin
        .server
        .database
        .execute("UPDATE tenants SET database_schema = 'public' WHERE subdomain = 'tenant-1'")
        .await;
    assert_eq!(
        kinds(&delete(&mut admin, deletion("Tenant 1")).await.unwrap_err()),
        ["FOREIGN_SCHEMA"]
    );
    assert_eq!(rows(&admin).await, 2);
    let error = delete(&mut admin, DeleteTenantRequest::default()).await.unwrap_err();
    assert_eq!(field_violations(&error), ["tenant", "name"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_not_known_to_be_the_tenants_is_neither_dropped_nor_filled() {
    let database = Database::postgres().await;
    let template = tempfile::tempdir().unwrap();
    std::fs::create_dir(template.path().join("_base")).unwrap();
    std::fs::write(
        template.path().join("_base/1.sql"),
        "CREATE TABLE IF NOT EXISTS users (id int)",
    )
    .unwrap();
    database.mk_tenant(1, "tenant-1", "cancelled").await;
    let mut admin = Admin::of(database, &[]).await;
    let execute = async |admin: &Admin, sql: &str| admin.server.database.execute(sql).await;
    for schema in ["auth", "tenants", "tenant_", "Tenant_1", "tenant_a.b", "tenant_é;"] {
        let rename =
            format!("CREATE SCHEMA \"{schema}\"; UPDATE tenants SET database_schema = '{schema}'");
        execute(&admin, &rename).await;
        assert_eq!(
            kinds(&delete(&mut admin, deletion("Tenant 1")).await.unwrap_err()),
            ["FOREIGN_SCHEMA"],
            "{schema}"
        );
        execute(&admin, "UPDATE tenants SET status = 'pending'").await;
        let (code, error) = provision(&admin, &template);
        assert!(
            code == Some(1) && error.contains("cannot be confirmed as this tenant's"),
            "{schema}: {error}"
        );
        execute(&admin, "UPDATE tenants SET status = 'cancelled'").await;
        execute(&admin, &format!("CREATE TABLE \"{schema}\".kept (id int)")).await;
    }
    let kept = DeleteTenantRequest { keep_schema: true, ..deletion("Tenant 1") };
    delete(&mut admin, kept).await.unwrap();
    execute(&admin, "SELECT * FROM auth.kept").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_any_name_goes_with_the_tenant_that_it_was_made_for_and_with_no_other() {
    let database = Database::postgres().await;
    let template = tempfile::tempdir().unwrap();
    std::fs::create_dir(template.path().join("_base")).unwrap();
    std::fs::write(template.path().join("_base/1.sql"), "CREATE TABLE users (id int)").unwrap();
    database.mk_tenant(1, "tenant-1", "pending").await;
    database.mk_tenant(2, "tenant-2", "cancelled").await;
    database
        .execute("UPDATE tenants SET database_schema = 'ours' WHERE subdomain = 'tenant-1'")
        .await;
    let mut admin = Admin::of(database, &[]).await;
    assert_eq!(provision(&admin, &template).0, Some(0));
    // The first is gone from the table, by hand, and another one's row comes to name its schema.
    let taken = "UPDATE tenants SET database_schema = 'elsewhere', status = 'cancelled' WHERE subdomain = 'tenant-1';
                 UPDATE tenants SET database_schema = 'ours' WHERE subdomain = 'tenant-2'";
    admin.server.database.execute(taken).await;
    let other = DeleteTenantRequest { tenant: "tenant-2".into(), ..deletion("Tenant 2") };
    assert_eq!(kinds(&delete(&mut admin, other).await.unwrap_err()), ["FOREIGN_SCHEMA"]);
    let back = "UPDATE tenants SET database_schema = 'elsewhere_2' WHERE subdomain = 'tenant-2';
                UPDATE tenants SET database_schema = 'ours' WHERE subdomain = 'tenant-1'";
    admin.server.database.execute(back).await;
    delete(&mut admin, deletion("Tenant 1")).await.unwrap();
    let left = admin
        .server
        .database
        .one("SELECT count(*) AS count FROM pg_namespace WHERE nspname = 'ours'")
        .await;
    assert_eq!(left.try_get::<i64>("", "count").unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_schema_go_together_or_not_at_all() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.set_status(1, "cancelled").await;
    // Somebody else's table leans on the tenant, so that its row cannot go.
    database
        .execute(
            r#"CREATE SCHEMA "tenant_tenant-1"; CREATE TABLE "tenant_tenant-1".x (id int);
               CREATE TABLE others (tenant_id uuid REFERENCES tenants (id));
               INSERT INTO others SELECT id FROM tenants"#,
        )
        .await;
    let mut admin = Admin::of(database, &[]).await;
    let error = delete(&mut admin, deletion("Tenant 1")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(rows(&admin).await, 2);
    admin.server.database.execute(r#"SELECT * FROM "tenant_tenant-1".x"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_may_take_longer_than_other_requests() {
    let database = Database::postgres().await;
    database.mk_tenant(1, "tenant-1", "cancelled").await;
    let lock = database.connection.begin().await.unwrap();
    lock.execute_unprepared("SELECT 1 FROM tenants FOR UPDATE").await.unwrap();
    let mut admin = Admin::of(database.again().await, &["--request-timeout", "100ms"]).await;
    // The database's own limit on a statement ends it, and that comes later than other requests'
    // deadline.
    let error = delete(&mut admin, deletion("Tenant 1")).await.unwrap_err();
    assert_eq!(
        (error.code(), reason_of(&error).as_str()),
        (Code::Unavailable, "STORE_UNAVAILABLE")
    );
    lock.rollback().await.unwrap();
    delete(&mut admin, deletion("Tenant 1")).await.unwrap();
}
