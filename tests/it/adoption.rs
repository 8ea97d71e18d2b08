//! The ERP's own databases, made by hand in each variant of the field, are served as they are.

use entitlementd::{
    domain::Role,
    proto::v1::{
        ChangePlanRequest, DecisionReason, DisableModulesRequest, EnableModulesRequest,
        ListEnabledModulesRequest, OnboardTenantRequest,
    },
};
use tonic::Code;

use crate::admin::Admin;
use crate::harness::{Database, Server, id, postgres, process};

/// A variant, and what follows from what it lacks.
pub struct Variant {
    pub schema: &'static str,
    /// May a tenant have two rows for one module?
    several_rows: bool,
    /// May a row have no tenant, status or start?
    nullable: bool,
}

pub const ALEMBIC: Variant = Variant {
    schema: include_str!("../fixtures/variant_alembic.sql"),
    several_rows: false,
    nullable: false,
};
pub const LIVE: Variant = Variant {
    schema: include_str!("../fixtures/variant_live.sql"),
    several_rows: true,
    nullable: false,
};
pub const STARTUP: Variant = Variant {
    schema: include_str!("../fixtures/variant_startup.sql"),
    several_rows: true,
    nullable: true,
};

pub const ROWS: &str = include_str!("../fixtures/rows.sql");

/// Everything in the database but what is ours, as pg_dump has it: triggers of the change log are
/// the one addition.
fn dump(database: &Database, existing: &[String]) -> String {
    let mut arguments = vec!["--no-comments".to_owned()];
    arguments.extend(existing.iter().map(|table| format!("--table={table}")));
    arguments.push(database.name.clone());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let dump = postgres::shared().run("pg_dump", &arguments);
    // Newer versions of pg_dump guard a dump with a random word.
    let dump =
        dump.lines().filter(|line| !line.contains("restrict")).collect::<Vec<_>>().join("\n");
    let is_ours = |block: &&str| {
        block.starts_with("Name: ")
            && block.contains(" entitlement_")
            && block.contains("; Type: TRIGGER;")
    };
    dump.split("--\n-- ").filter(|block| !is_ours(block)).collect()
}

async fn adopt(variant: &Variant) -> Server {
    let database = Database::empty_postgres().await;
    database.execute(variant.schema).await;
    database.execute(ROWS).await;
    if variant.nullable {
        let without_keys = "INSERT INTO modules (name) VALUES ('No code'); INSERT INTO plans (name) VALUES ('No slug')";
        database.execute(without_keys).await;
    }
    let existing: Vec<String> = variant
        .schema
        .lines()
        .filter_map(|line| Some(line.strip_prefix("CREATE TABLE ")?.split(' ').next()?.to_owned()))
        .collect();
    let before = dump(&database, &existing);
    process::migrate(&database.url);
    let server = Server::start(database).await;
    assert_eq!(dump(&server.database, &existing), before, "an adopted table was changed");
    server
}

async fn serves_the_rows(variant: &Variant) {
    let mut server = adopt(variant).await;
    assert!(server.check(1, "finance").await.allowed);
    assert!(
        server.check(1, "hrms").await.allowed,
        "a trial without an end, of a module no longer sold"
    );
    assert_eq!(server.check(1, "crm_service").await.reason(), DecisionReason::SubscriptionInactive);
    assert_eq!(server.check(1, "marketing").await.reason(), DecisionReason::NotSubscribed);
    assert_eq!(server.check(2, "finance").await.reason(), DecisionReason::TenantNotServed);
    let list = server
        .list(ListEnabledModulesRequest { tenant_id: id(1), ..Default::default() })
        .await
        .unwrap();
    let codes: Vec<_> =
        list.modules.iter().map(|module| (module.code.as_str(), module.sections.clone())).collect();
    assert_eq!(codes, [("hrms", vec![]), ("finance", vec![12, 13])]);
    assert_eq!(
        server.resolve("", "acme.erp.example", "").await.unwrap().tenant.unwrap().plan_slug,
        "growth"
    );

    assert_eq!(
        server.check(3, "finance").await.freshness.unwrap().valid_until,
        None,
        "infinity never comes"
    );
    assert_eq!(server.check(3, "hrms").await.reason(), DecisionReason::SubscriptionNotStarted);
    assert_eq!(server.check(3, "crm_service").await.reason(), DecisionReason::SubscriptionExpired);
    assert!(server.check(3, "marketing").await.allowed, "years that no program can read");

    if variant.several_rows {
        several_rows_for_one_module(&mut server).await;
    }
    if variant.nullable {
        nulls_everywhere(&mut server).await;
    }
}

async fn several_rows_for_one_module(server: &mut Server) {
    server
        .database
        .execute(
            "INSERT INTO tenants (id, name, subdomain, database_schema, status)
             VALUES ('00000000-0000-4000-8000-000000000007', 'Two', 'two', 'tenant_two', 'active');
             INSERT INTO tenant_subscriptions (tenant_id, module_id, status, starts_at, expires_at)
             SELECT t.id, m.id, s.status, '2026-01-01Z', s.expires_at::timestamptz
             FROM tenants t, modules m, (VALUES
                ('finance', 'cancelled', NULL), ('finance', 'active', '2026-12-01Z'), ('finance', 'active', '2026-12-24Z'),
                ('hrms', 'suspended', NULL), ('hrms', 'active', '2026-06-01Z')) s (code, status, expires_at)
             WHERE t.subdomain = 'two' AND m.code = s.code",
        )
        .await;
    let granted = server.check(7, "finance").await;
    assert!(granted.allowed, "one that grants wins");
    let christmas = granted.freshness.unwrap().valid_until.unwrap();
    assert_eq!(christmas.seconds, 1_798_070_400, "over all rows");
    let denied = server.check(7, "hrms").await;
    assert_eq!(denied.reason(), DecisionReason::SubscriptionExpired, "the row that got furthest");
}

async fn nulls_everywhere(server: &mut Server) {
    server
        .database
        .execute(
            "INSERT INTO tenants (id, subdomain) VALUES ('00000000-0000-4000-8000-000000000008', 'nulls');
             INSERT INTO tenants (id, status) VALUES ('00000000-0000-4000-8000-000000000009', 'pending');
             INSERT INTO tenant_subscriptions (tenant_id, module_id, status)
             SELECT '00000000-0000-4000-8000-000000000009', id, 'active' FROM modules WHERE code = 'finance';
             INSERT INTO tenant_subscriptions (tenant_id, module_id)
             SELECT '00000000-0000-4000-8000-000000000009', id FROM modules WHERE code = 'hrms';
             INSERT INTO tenant_subscriptions (tenant_id) VALUES ('00000000-0000-4000-8000-000000000009');
             INSERT INTO tenant_subscriptions (status) VALUES ('active');
             INSERT INTO plans (slug) VALUES ('empty');",
        )
        .await;
    assert_eq!(
        server.check(8, "finance").await.reason(),
        DecisionReason::TenantNotServed,
        "no status"
    );
    assert!(server.check(9, "finance").await.allowed, "a right without a start has started");
    assert_eq!(
        server.check(9, "hrms").await.reason(),
        DecisionReason::SubscriptionInactive,
        "no status"
    );
}

/// Rows that the ERP wrote are changed like our own: taken up again, ended, and joined by new ones.
async fn is_changed(variant: &Variant) {
    let server = adopt(variant).await;
    let mut admin = Admin::of(server.database, &["--changes", "auto"]).await;
    let codes = |codes: &[&str]| codes.iter().map(ToString::to_string).collect();
    let enabling = |modules: &[&str]| EnableModulesRequest {
        tenant: "acme".into(),
        module_codes: codes(modules),
        ..Default::default()
    };
    let disabling = |tenant: &str, modules: &[&str]| DisableModulesRequest {
        tenant: tenant.into(),
        module_codes: codes(modules),
        ..Default::default()
    };
    admin.enable(enabling(&["marketing", "crm_service"])).await.unwrap();
    let ending = DisableModulesRequest { at_period_end: true, ..disabling("acme", &["finance"]) };
    let ending = admin.disable(ending).await.unwrap().after.unwrap();
    let finance = ending.modules.iter().find(|module| module.module_code == "finance").unwrap();
    // It is paid for by the year, since 2026-01-01.
    assert_eq!(finance.ends_at.unwrap().seconds, 1_798_761_600);
    let cheap = ChangePlanRequest {
        tenant: "acme".into(),
        plan_slug: "cheap".into(),
        ..Default::default()
    };
    let cheap = admin.change_plan(cheap).await.unwrap();
    assert_eq!(
        (cheap.added_module_codes, cheap.removed_module_codes),
        (vec![], vec!["finance".to_owned()])
    );
    admin.disable(disabling("ends", &["finance", "marketing"])).await.unwrap();

    let changed = "SELECT count(*) FROM tenant_subscriptions WHERE status = 'cancelled'";
    assert_eq!(admin.server.database.one(changed).await.try_get::<i64>("", "count").unwrap(), 3);
    for (number, module, allowed) in [
        (1, "marketing", true),
        (1, "crm_service", true),
        (1, "hrms", true),
        (1, "finance", false),
        (3, "finance", false),
        (3, "marketing", false),
    ] {
        assert_eq!(
            admin.server.check_past_the_cache(number, module).await.allowed,
            allowed,
            "{number} {module}"
        );
    }
    let onboarding = OnboardTenantRequest {
        name: "New".into(),
        subdomain: "newcomer".into(),
        plan_slug: "cheap".into(),
        ..Default::default()
    };
    // A module of the plan is no longer sold: that is seen before anything is written.
    let request = admin.by(Role::Operator, onboarding.clone());
    assert_eq!(
        admin.client.onboard_tenant(request).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    let modules = OnboardTenantRequest {
        plan_slug: String::new(),
        module_codes: codes(&["finance"]),
        ..onboarding
    };
    let request = admin.by(Role::Operator, modules);
    let change = admin.client.onboard_tenant(request).await.unwrap().into_inner().change.unwrap();
    assert_eq!(change.after.unwrap().status, "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_of_every_variant_are_changed() {
    for variant in [&ALEMBIC, &LIVE, &STARTUP] {
        is_changed(variant).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variant_of_the_first_migration_is_served_unchanged() {
    serves_the_rows(&ALEMBIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variant_of_the_live_database_is_served_unchanged() {
    serves_the_rows(&LIVE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variant_made_at_startup_is_served_unchanged() {
    serves_the_rows(&STARTUP).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_is_made_wider_breaks_no_statement_that_is_prepared() {
    let mut server = adopt(&LIVE).await;
    assert!(server.check(1, "finance").await.allowed);
    server
        .database
        .execute(
            "ALTER TABLE tenants ALTER COLUMN name TYPE varchar(500), ALTER COLUMN status TYPE text;
             ALTER TABLE modules ALTER COLUMN code TYPE varchar(80);
             ALTER TABLE tenant_subscriptions ALTER COLUMN status TYPE varchar(99)",
        )
        .await;
    assert!(server.check_past_the_cache(1, "finance").await.allowed);
    assert!(server.check(3, "finance").await.allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_with_one_subdomain_are_never_taken_for_one() {
    let mut server = adopt(&LIVE).await;
    server
        .database
        .execute("ALTER TABLE tenants DROP CONSTRAINT tenants_subdomain_key; UPDATE tenants SET subdomain = 'acme'")
        .await;
    let status = server.resolve("", "acme.erp.example", "").await.unwrap_err();
    assert_eq!(crate::harness::reason_of(&status), "STORE_UNREADABLE");
    assert!(server.check(1, "finance").await.allowed, "by id there is no doubt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_lacks_a_column_stops_the_migration_and_names_both() {
    let database = Database::empty_postgres().await;
    database.execute(LIVE.schema).await;
    database
        .execute("ALTER TABLE tenant_subscriptions DROP COLUMN trial_ends_at; ALTER TABLE tenants DROP COLUMN status")
        .await;
    let output = process::run(&["migrate", "--database-url", &database.url]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("the table tenants has no column status"), "{error}");
    assert!(
        error.contains("the table tenant_subscriptions has no column trial_ends_at"),
        "{error}"
    );
    let tables = postgres::shared()
        .run("psql", &["-Atc", "SELECT to_regclass('billing_history')", &database.name]);
    assert_eq!(tables.trim(), "", "nothing was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_tells_the_index_that_an_adopted_table_lacks_and_makes_none() {
    let database = Database::empty_postgres().await;
    database.execute(LIVE.schema).await;
    process::migrate(&database.url);
    let output = process::run(&["migrate", "--status", "--database-url", &database.url]);
    let told = String::from_utf8(output.stdout).unwrap();
    let advice: Vec<&str> = told.lines().filter(|line| line.starts_with("CREATE")).collect();
    assert_eq!(
        advice,
        [
            "CREATE INDEX CONCURRENTLY idx_tenant_subscriptions_tenant_id ON tenant_subscriptions (tenant_id);"
        ]
    );
    database.execute(advice[0]).await;
    let output = process::run(&["migrate", "--status", "--database-url", &database.url]);
    assert!(!String::from_utf8(output.stdout).unwrap().contains("CREATE"));
}
