//! ListTenants.

use entitlementd::{
    domain::Role,
    proto::v1::{ListTenantsRequest, ListTenantsResponse, TenantStatus},
};
use tonic::Status;

use super::Admin;
use crate::harness::{Database, Row, id, process, server::field_violations};

async fn list(
    admin: &mut Admin,
    request: ListTenantsRequest,
) -> Result<ListTenantsResponse, Status> {
    let request = admin.by(Role::Viewer, request);
    admin.client.list_tenants(request).await.map(tonic::Response::into_inner)
}

/// The numbers of the tenants that are found, and how many there are.
async fn found(admin: &mut Admin, request: ListTenantsRequest) -> (Vec<u32>, u64) {
    let page = list(admin, request).await.unwrap();
    let number = |id: &str| id[24..].parse().unwrap();
    (page.tenants.iter().map(|tenant| number(&tenant.id)).collect(), page.total)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_found_by_status_plan_module_and_text() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        for (number, subdomain, status) in [
            (1, "acme", "active"),
            (2, "acme-two", " Active"),
            (3, "bolt_x", "suspended"),
            (4, "boltax", "on_holiday"),
            (5, "zeta", "active"),
        ] {
            database.mk_tenant(number, subdomain, status).await;
        }
        database.mk_subscription(1, "finance", Row::default()).await;
        database.mk_subscription(2, "finance", Row { expires: Some(0), ..Row::default() }).await;
        database
            .mk_subscription(
                3,
                "finance",
                Row { trial_ends: Some(1), is_trial: true, ..Row::default() },
            )
            .await;
        database.mk_subscription(4, "finance", Row { status: "cancelled", ..Row::default() }).await;
        database
            .mk_subscription(
                5,
                "finance",
                Row { starts: 60, trial_ends: Some(0), ..Row::default() },
            )
            .await;
        database
            .execute(
                "UPDATE tenants SET plan_id = (SELECT id FROM plans WHERE slug = 'starter') WHERE subdomain = 'zeta';
                 UPDATE tenants SET name = 'Blue 100% Ltd' WHERE subdomain = 'acme'",
            )
            .await;
        let mut admin = Admin::of(database, &[]).await;
        let request = ListTenantsRequest::default;
        let status = |status: TenantStatus| ListTenantsRequest {
            statuses: vec![status.into()],
            ..request()
        };
        let text = |text: &str| ListTenantsRequest { text: text.into(), ..request() };
        for (request, wanted) in [
            (request(), vec![1, 2, 3, 4, 5]),
            (status(TenantStatus::Active), vec![1, 2, 5]),
            (status(TenantStatus::Other), vec![4]),
            (status(TenantStatus::Failed), vec![]),
            (ListTenantsRequest { plan_slug: "starter".into(), ..request() }, vec![5]),
            (ListTenantsRequest { plan_slug: "nope".into(), ..request() }, vec![]),
            (ListTenantsRequest { module_code: "finance".into(), ..request() }, vec![1, 3, 5]),
            (text("ACME"), vec![1, 2]),
            (text("blue 100%"), vec![1]),
            (text("bolt_"), vec![3]),
            (text("%"), vec![]),
            (text("' OR 1=1 --"), vec![]),
            (
                ListTenantsRequest {
                    module_code: "finance".into(),
                    ..status(TenantStatus::Active)
                },
                vec![1, 5],
            ),
        ] {
            let shown = format!("{request:?}");
            let total = wanted.len() as u64;
            assert_eq!(found(&mut admin, request).await, (wanted, total), "{shown}");
        }
        let page = list(&mut admin, text("bolt_")).await.unwrap().tenants.remove(0);
        assert_eq!(
            (page.status(), page.status_word.as_str()),
            (TenantStatus::Suspended, "suspended")
        );
        assert_eq!((page.id, page.database_schema.as_str()), (id(3), "tenant_bolt_x"));

        let first =
            list(&mut admin, ListTenantsRequest { page_size: 3, ..request() }).await.unwrap();
        assert_eq!((first.tenants.len(), first.total), (3, 5));
        let page_token = first.next_page_token;
        let rest = list(&mut admin, ListTenantsRequest { page_size: 3, page_token, ..request() })
            .await
            .unwrap();
        assert_eq!((rest.tenants.len(), rest.total, rest.next_page_token.as_str()), (2, 5, ""));
        let bad = ListTenantsRequest {
            statuses: vec![0],
            module_code: "a\nb".into(),
            text: "x".repeat(101),
            page_token: "3".into(),
            ..request()
        };
        let violations = field_violations(&list(&mut admin, bad).await.unwrap_err());
        assert_eq!(violations, ["module_code[0]", "text", "statuses", "page_token"]);
    }
}

/// auto_explain tells the client each plan, and sqlx tells the log.
const EXPLAIN: &str = "
    ALTER DATABASE \"NAME\" SET session_preload_libraries = 'auto_explain';
    ALTER DATABASE \"NAME\" SET auto_explain.log_min_duration = 0;
    ALTER DATABASE \"NAME\" SET auto_explain.log_level = 'notice';";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_a_hundred_thousand_tenants_is_found_by_an_index_in_at_most_three_statements()
{
    let database = Database::postgres().await;
    database
        .execute(
            "INSERT INTO tenants (id, name, subdomain, database_schema, status, plan_id)
             SELECT gen_random_uuid(), 'Company ' || i, 'c' || i, 'tenant_c' || i,
                    CASE WHEN i % 100 = 0 THEN 'suspended' ELSE 'active' END, p.id
             FROM generate_series(1, 100000) i JOIN plans p ON p.display_order = 1 + i % 4;
             INSERT INTO tenant_subscriptions (tenant_id, module_id, starts_at)
             SELECT t.id, m.id, now() FROM tenants t JOIN modules m ON m.code IN ('system_admin', 'finance')
                OR (m.code = 'hrms' AND t.status = 'suspended');
             ANALYZE",
        )
        .await;
    database.execute(&EXPLAIN.replace("NAME", &database.name)).await;
    for filter in [
        vec![],
        vec!["--status", "active"],
        vec!["--status", "suspended"],
        vec!["--status", "failed"],
        vec!["--plan", "growth"],
        vec!["--module", "finance"],
        vec!["--module", "hrms"],
        vec!["c123"],
        vec!["nobody"],
        vec!["--status", "suspended", "--plan", "growth", "--module", "hrms", "c1"],
        vec!["--after", "80000000-0000-4000-8000-000000000000", "--plan", "growth"],
    ] {
        let fixed = ["tenant", "list", "--database-url", &database.url, "--log-format", "json"];
        let output = process::run(&[&fixed[..], &filter].concat());
        assert!(output.status.success());
        let log = String::from_utf8(output.stderr).unwrap();
        let plans: Vec<&str> = log.lines().filter(|line| line.contains("Query Text")).collect();
        assert!((2..=3).contains(&plans.len()), "{filter:?}: {log}");
        let pages: Vec<&&str> = plans.iter().filter(|plan| plan.contains("LIMIT")).collect();
        assert_eq!(pages.len(), 1, "{filter:?}: {log}");
        // Where no tenant has such a status, no tenant is looked at.
        let finds = pages[0].contains("Index") || pages[0].contains("One-Time Filter: false");
        let is_by_index = finds && !pages[0].contains("Seq Scan on tenants");
        assert!(is_by_index, "{filter:?}: {}", pages[0].replace("\\n", "\n"));
    }
}
