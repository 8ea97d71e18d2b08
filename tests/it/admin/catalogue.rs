//! ListModules and ListPlans.

use entitlementd::{
    domain::Role,
    proto::v1::{
        CatalogueModule, ListEnabledModulesRequest, ListModulesRequest, ListPlansRequest,
        TenantStatus,
    },
};
use serde_json::Value;
use tonic::{Code, Status};

use super::{
    Admin,
    mutate::{disabling, enabling, status},
};
use crate::harness::{
    Database, Row, Server, id,
    process::{self, run},
    server::reason_of,
};

async fn modules(admin: &mut Admin, on_sale_only: bool) -> Result<Vec<CatalogueModule>, Status> {
    let request = admin.by(Role::Viewer, ListModulesRequest { on_sale_only });
    Ok(admin.client.list_modules(request).await?.into_inner().modules)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_come_with_what_they_cost_and_need() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut admin = Admin::of(database, &[]).await;
        let found = modules(&mut admin, false).await.unwrap();
        assert_eq!(
            (found.len(), found[0].code.as_str(), found[9].code.as_str()),
            (10, "oms_fulfillment", "system_admin")
        );
        let finance = found.iter().find(|module| module.code == "finance").unwrap();
        assert_eq!(
            (
                finance.name.as_str(),
                finance.price_monthly.as_str(),
                finance.price_yearly.as_str(),
                finance.on_sale
            ),
            ("Finance & Accounting", "9999.00", "107990.00", true)
        );
        let sales = found.iter().find(|module| module.code == "sales_distribution").unwrap();
        assert_eq!(sales.dependencies, ["oms_fulfillment"]);
        assert!(found[9].is_base_module && !finance.is_base_module);

        // By hand, and seen at once: nothing is held of it.
        let database = &admin.server.database;
        database.execute("UPDATE modules SET is_active = false, price_monthly = NULL, display_order = NULL WHERE code = 'finance'").await;
        database.execute("UPDATE modules SET price_yearly = 1234.5 WHERE code = 'hrms'").await;
        assert!(
            !modules(&mut admin, true).await.unwrap().iter().any(|module| module.code == "finance")
        );
        let found = modules(&mut admin, false).await.unwrap();
        let retired = found.last().unwrap();
        assert_eq!(
            (retired.code.as_str(), retired.price_monthly.as_str(), retired.on_sale),
            ("finance", "", false)
        );
        let hrms = found.iter().find(|module| module.code == "hrms").unwrap();
        assert_eq!(hrms.price_yearly, "1234.50");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_come_with_what_they_cost_and_hold() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.execute("UPDATE plans SET is_active = false WHERE slug = 'growth'").await;
        let mut admin = Admin::of(database, &[]).await;
        let request = admin.by(Role::Viewer, ListPlansRequest::default());
        let plans = admin.client.list_plans(request).await.unwrap().into_inner().plans;
        let slugs: Vec<&str> = plans.iter().map(|plan| plan.slug.as_str()).collect();
        assert_eq!(slugs, ["starter", "growth", "professional", "enterprise"]);
        let starter = &plans[0];
        assert_eq!(
            (starter.name.as_str(), starter.price.as_str(), starter.billing_cycle.as_str()),
            ("Starter", "19999.00", "monthly")
        );
        assert_eq!(starter.module_codes, ["d2c_storefront", "oms_fulfillment", "system_admin"]);
        assert_eq!((starter.max_users, starter.max_transactions_monthly), (Some(5), Some(1000)));
        assert_eq!((plans[3].max_users, plans[1].on_sale), (None, false));
        let request = admin.by(Role::Viewer, ListPlansRequest { on_sale_only: true });
        assert_eq!(admin.client.list_plans(request).await.unwrap().into_inner().plans.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_that_is_no_amount_is_never_shown_as_one() {
    let database = Database::postgres().await;
    let mut admin = Admin::of(database, &[]).await;
    admin
        .server
        .database
        .execute("UPDATE modules SET price_yearly = 'NaN' WHERE code = 'finance'")
        .await;
    let error = modules(&mut admin, false).await.unwrap_err();
    assert_eq!((error.code(), reason_of(&error).as_str()), (Code::Internal, "STORE_UNREADABLE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_that_is_no_amount_stops_no_change() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "hrms", Row::default()).await;
    let numeric =
        "ALTER TABLE modules ALTER price_monthly TYPE numeric; ALTER TABLE plans ALTER price_inr TYPE numeric;
                   UPDATE modules SET price_monthly = 'NaN', price_yearly = 'NaN' WHERE code IN ('finance', 'hrms');
                   UPDATE plans SET price_inr = 'NaN'; UPDATE tenant_subscriptions SET price_paid = 'NaN'";
    database.execute(numeric).await;
    let mut admin = Admin::of(database, &[]).await;
    admin.enable(enabling(&["finance"])).await.unwrap();
    admin.disable(disabling(&["finance"])).await.unwrap();
    admin.set_status(status(TenantStatus::Suspended)).await.unwrap();
    let kept = admin.server.database.one("SELECT min(price_paid)::text AS paid FROM tenant_subscriptions s JOIN modules m ON m.id = s.module_id WHERE m.code = 'hrms'").await;
    assert_eq!(
        kept.try_get::<String>("", "paid").unwrap(),
        "NaN",
        "what cannot be read is left as it is"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_too_long_to_be_read_is_taken_for_none_and_not_logged() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let long = if database.is_sqlite() {
            "'[\"' || hex(zeroblob(4000000)) || '\"]'"
        } else {
            "to_jsonb(ARRAY[repeat('x', 30000000)])"
        };
        database.mk_subscribed(1, "finance", Row::default()).await;
        database
            .execute(&format!("UPDATE modules SET sections = {long} WHERE code = 'finance'"))
            .await;
        database.execute("UPDATE modules SET frontend_routes = '[{\"a\": 1}, \"/f\"]' WHERE code = 'finance'").await;
        let url = database.url.clone();
        let mut server = Server::start(database).await;
        assert!(server.check(1, "finance").await.allowed);
        let listed = server
            .list(ListEnabledModulesRequest { tenant_id: id(1), ..Default::default() })
            .await
            .unwrap();
        assert_eq!(listed.modules[0].sections, [0; 0]);
        assert_eq!(listed.modules[0].frontend_routes, ["/f"]);
        let mut other =
            process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
        other.wait_for("\"ready\"");
        assert!(
            other.logged.contains("longer than 1 MiB") && other.logged.len() < 100_000,
            "{}",
            other.logged.len()
        );
    }
}

/// What a command prints, and its exit code.
fn cli(database: &Database, arguments: &[&str]) -> (i32, String) {
    let output = run(&[arguments, &["--database-url", &database.url]].concat());
    assert!(output.status.success() || output.stdout.is_empty());
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_lists_the_same_from_the_database_itself() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        database
            .execute(
                "UPDATE modules SET is_active = false, price_yearly = NULL WHERE code = 'scm_ai'",
            )
            .await;
        let (code, text) = cli(&database, &["module", "list"]);
        assert_eq!(code, 0);
        let line = |start: &str| {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap();
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(line("CODE"), ["CODE", "NAME", "MONTHLY", "YEARLY", "NEEDS", "NOTE"]);
        let retired = [
            "scm_ai",
            "Supply Chain & AI Insights",
            "8999.00",
            "-",
            "oms_fulfillment",
            "no longer sold",
        ];
        assert_eq!(line("scm_ai"), retired);
        assert_eq!(
            line("system_admin"),
            ["system_admin", "System Administration", "2999.00", "32390.00", "base"]
        );

        let (_, text) = cli(&database, &["module", "list", "--on-sale-only", "--json"]);
        let modules: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(modules.len(), 9);
        assert_eq!(
            (&modules[2]["code"], &modules[2]["price_yearly"]),
            (&"finance".into(), &"107990.00".into())
        );
        let (_, text) = cli(&database, &["plan", "list", "--json"]);
        let plans: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!((&plans[0]["slug"], &plans[3]["max_users"]), (&"starter".into(), &Value::Null));
    }
}

#[test]
fn a_list_of_a_database_that_is_not_there_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.db");
    let output = run(&["plan", "list", "--database-url", &format!("sqlite:{}", file.display())]);
    assert_eq!((output.status.code(), output.stdout.len(), file.exists()), (Some(2), 0, false));
}
