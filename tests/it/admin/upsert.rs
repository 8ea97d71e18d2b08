//! UpsertModule and UpsertPlan.

use entitlementd::{
    domain::Role,
    proto::v1::{
        BatchCheckModulesRequest, BillingCycle, CatalogueModule, CataloguePlan, CodeList,
        DecisionReason, ExplainModuleRequest, ListAuditEventsRequest, ListEnabledModulesRequest,
        ListTenantIdsRequest, UpsertModuleRequest, UpsertPlanRequest,
    },
};
use tonic::{Code, Status};

use super::{
    Admin,
    mutate::{enabling, violation, violations},
};
use crate::harness::{Database, Row, id, server::field_violations};

impl Admin {
    async fn upsert_module(
        &mut self,
        request: UpsertModuleRequest,
    ) -> Result<CatalogueModule, Status> {
        let request = self.by(Role::Owner, request);
        Ok(self.client.upsert_module(request).await?.into_inner().module.unwrap())
    }

    async fn upsert_plan(&mut self, request: UpsertPlanRequest) -> Result<CataloguePlan, Status> {
        let request = self.by(Role::Owner, request);
        Ok(self.client.upsert_plan(request).await?.into_inner().plan.unwrap())
    }

    /// Waits until the server has heard of the catalogue's last change.
    async fn until_allowed(&mut self, module: &str) {
        while !self.server.check(1, module).await.allowed {
            tokio::task::yield_now().await;
        }
    }
}

fn module(code: &str) -> UpsertModuleRequest {
    UpsertModuleRequest { code: code.into(), ..Default::default() }
}

fn plan(slug: &str) -> UpsertPlanRequest {
    UpsertPlanRequest { slug: slug.into(), ..Default::default() }
}

fn list(codes: &[&str]) -> Option<CodeList> {
    Some(CodeList { codes: codes.iter().map(ToString::to_string).collect() })
}

async fn both() -> [Admin; 2] {
    let mut admins = Vec::new();
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.mk_subscribed(1, "finance", Row::default()).await;
        admins.push(Admin::of(database, &["--changes", "auto", "--poll-interval", "20ms"]).await);
    }
    admins.try_into().unwrap_or_else(|_| unreachable!())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_is_added_sold_and_retired() {
    for mut admin in both().await {
        let payroll = UpsertModuleRequest {
            name: Some("Payroll".into()),
            dependencies: list(&["hrms"]),
            price_monthly: "1999.5".into(),
            price_yearly: "21594".into(),
            ..module("payroll")
        };
        let made = admin.upsert_module(payroll).await.unwrap();
        assert_eq!(
            (made.price_monthly.as_str(), made.price_yearly.as_str(), made.on_sale),
            ("1999.50", "21594.00", true)
        );
        let along = entitlementd::proto::v1::EnableModulesRequest {
            include_dependencies: true,
            ..enabling(&["payroll"])
        };
        let enabled = admin.enable(along).await.unwrap();
        assert_eq!(enabled.added_module_codes, ["hrms", "payroll"]);
        assert_eq!(enabled.after.unwrap().price_yearly, "183574.00");

        // What is left out stays as it is.
        let retired = admin
            .upsert_module(UpsertModuleRequest { on_sale: Some(false), ..module("payroll") })
            .await
            .unwrap();
        assert_eq!(CatalogueModule { on_sale: true, ..retired }, made);
        admin.until_allowed("payroll").await;
        let other = entitlementd::proto::v1::EnableModulesRequest {
            tenant: "tenant-2".into(),
            ..enabling(&["payroll"])
        };
        admin.server.database.mk_tenant(2, "tenant-2", "active").await;
        let refused = admin.enable(other).await.unwrap_err();
        assert_eq!(
            violations(&refused),
            [violation("MISSING_DEPENDENCY", "payroll"), violation("RETIRED_MODULE", "payroll")]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_is_renamed_goes_on_being_what_it_was_under_its_old_code() {
    for mut admin in both().await {
        assert!(admin.server.check(1, "finance").await.allowed);
        let renamed = UpsertModuleRequest { new_code: "accounting".into(), ..module("finance") };
        assert_eq!(admin.upsert_module(renamed).await.unwrap().code, "accounting");
        admin.until_allowed("accounting").await;
        let old = admin.server.check(1, "finance").await;
        assert_eq!((old.allowed, old.reason()), (true, DecisionReason::Enabled));
        // Wherever a code is asked for, it is the same module; wherever one is told, it is the new
        // one.
        let listed = admin
            .server
            .list(ListEnabledModulesRequest { tenant_id: id(1), ..Default::default() })
            .await
            .unwrap();
        assert_eq!(
            listed.modules.iter().map(|module| module.code.as_str()).collect::<Vec<_>>(),
            ["accounting"]
        );
        let batch = BatchCheckModulesRequest {
            tenant_id: id(1),
            module_codes: vec!["finance".into(), "accounting".into(), "nope".into()],
            ..Default::default()
        };
        let batch = admin.server.client.batch_check_modules(batch).await.unwrap().into_inner();
        assert_eq!(
            batch.decisions.iter().map(|one| one.allowed).collect::<Vec<_>>(),
            [true, true, false]
        );
        let jobs = ListTenantIdsRequest { module_code: "finance".into(), ..Default::default() };
        assert_eq!(
            admin.server.client.list_tenant_ids(jobs).await.unwrap().into_inner().tenant_ids,
            [id(1)]
        );
        let why = ExplainModuleRequest { tenant: id(1), module_code: "finance".into(), at: None };
        let why = admin.server.client.explain_module(why).await.unwrap().into_inner();
        assert!(why.decision.unwrap().allowed && why.subscriptions.iter().any(|row| row.decides));

        // Not subscribed is told with the plans that have it, by the old code too.
        admin.server.database.mk_tenant(2, "tenant-2", "active").await;
        let denied = admin.server.check(2, "finance").await;
        assert_eq!((denied.reason(), denied.plan_slugs.len()), (DecisionReason::NotSubscribed, 3));
        let plans = "SELECT CAST(count(*) AS text) AS count FROM plans WHERE CAST(included_modules AS text) LIKE '%\"finance\"%'";
        assert_eq!(
            admin.server.database.one(plans).await.try_get::<String>("", "count").unwrap(),
            "0"
        );

        // The old code is nobody else's, and a second rename is honoured from the first on.
        let taken = UpsertModuleRequest { name: Some("X".into()), ..module("finance") };
        assert_eq!(
            violations(&admin.upsert_module(taken).await.unwrap_err()),
            [violation("CODE_TAKEN", "finance")]
        );
        let taken = UpsertModuleRequest { new_code: "hrms".into(), ..module("accounting") };
        assert_eq!(
            violations(&admin.upsert_module(taken).await.unwrap_err())[0],
            violation("CODE_TAKEN", "hrms")
        );
        admin
            .upsert_module(UpsertModuleRequest {
                new_code: "ledger".into(),
                ..module("accounting")
            })
            .await
            .unwrap();
        admin.until_allowed("ledger").await;
        assert!(
            admin.server.check(1, "finance").await.allowed
                && admin.server.check(1, "accounting").await.allowed
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_break_the_catalogue_is_refused_with_everything_that_is_wrong() {
    for mut admin in both().await {
        let circle = UpsertModuleRequest {
            dependencies: list(&["sales_distribution", "nope"]),
            ..module("oms_fulfillment")
        };
        let refused = admin.upsert_module(circle).await.unwrap_err();
        let found = violations(&refused);
        assert!(
            found.contains(&violation("UNKNOWN_MODULE", "nope"))
                && found.contains(&violation("CIRCLE", "oms_fulfillment"))
        );
        assert!(
            refused.message().contains("oms_fulfillment -> sales_distribution -> oms_fulfillment"),
            "{refused}"
        );
        assert!(
            found.contains(&violation("BROKEN_PLAN", "starter")),
            "its plans lack the new dependency: {found:?}"
        );
        let itself = UpsertModuleRequest { dependencies: list(&["hrms"]), ..module("hrms") };
        assert!(
            violations(&admin.upsert_module(itself).await.unwrap_err())
                .contains(&violation("CIRCLE", "hrms"))
        );

        let retired = UpsertModuleRequest { on_sale: Some(false), ..module("oms_fulfillment") };
        let found = violations(&admin.upsert_module(retired).await.unwrap_err());
        assert_eq!(found.iter().filter(|(kind, _)| kind == "HAS_DEPENDENT").count(), 3);
        assert_eq!(found.iter().filter(|(kind, _)| kind == "BROKEN_PLAN").count(), 4);
        assert_eq!(
            violations(&admin.upsert_module(module("new")).await.unwrap_err()),
            [violation("NO_NAME", "new")]
        );

        let broken =
            UpsertPlanRequest { modules: list(&["sales_distribution", "nope"]), ..plan("sales") };
        let found = violations(&admin.upsert_plan(broken).await.unwrap_err());
        assert_eq!(
            found,
            [
                violation("NO_NAME", "sales"),
                violation("UNKNOWN_MODULE", "nope"),
                violation("BROKEN_PLAN", "sales")
            ]
        );

        let bad = UpsertModuleRequest {
            name: Some(" ".into()),
            price_monthly: "-1".into(),
            price_yearly: "1.005".into(),
            dependencies: list(&[""]),
            ..module("")
        };
        let fields = field_violations(&admin.upsert_module(bad).await.unwrap_err());
        assert_eq!(
            fields,
            ["code", "name", "dependencies.codes[0]", "price_monthly", "price_yearly"]
        );
        let bad =
            UpsertPlanRequest { max_users: Some(-1), price: "100000000".into(), ..plan("starter") };
        assert_eq!(
            field_violations(&admin.upsert_plan(bad).await.unwrap_err()),
            ["price", "max_users"]
        );
        let request = admin.by(Role::Operator, module("finance"));
        assert_eq!(
            admin.client.upsert_module(request).await.unwrap_err().code(),
            Code::PermissionDenied
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_added_changed_and_recorded_once_for_a_request() {
    for mut admin in both().await {
        let request = UpsertPlanRequest {
            name: Some("People".into()),
            modules: list(&["system_admin", "hrms"]),
            price: "6999".into(),
            billing_cycle: BillingCycle::Yearly.into(),
            max_users: Some(10),
            request_id: "r-1".into(),
            ..plan("people")
        };
        let made = admin.upsert_plan(request.clone()).await.unwrap();
        assert_eq!(
            (made.price.as_str(), made.billing_cycle.as_str(), made.max_users),
            ("6999.00", "yearly", Some(10))
        );
        assert_eq!(
            (made.module_codes.as_slice(), made.on_sale),
            (["hrms".to_owned(), "system_admin".to_owned()].as_slice(), true)
        );
        let unlimited =
            UpsertPlanRequest { max_users: Some(0), on_sale: Some(false), ..plan("people") };
        let changed = admin.upsert_plan(unlimited).await.unwrap();
        assert_eq!(
            (changed.max_users, changed.on_sale, changed.price.as_str()),
            (None, false, "6999.00")
        );
        assert_eq!(admin.upsert_plan(request).await.unwrap(), made, "the first answer");
        let events = admin.by(Role::Viewer, ListAuditEventsRequest::default());
        let events = admin.client.list_audit_events(events).await.unwrap().into_inner().events;
        let told: Vec<_> =
            events.iter().map(|event| (event.action.as_str(), event.subject.as_str())).collect();
        assert_eq!(told, [("UpsertPlan", "people"), ("UpsertPlan", "people")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_does_the_same() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let run = |arguments: &[&str]| {
            let output = crate::harness::process::run(
                &[arguments, &["--json", "--database-url", &database.url]].concat(),
            );
            (
                output.status.code(),
                serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default(),
            )
        };
        let payroll = [
            "module",
            "upsert",
            "payroll",
            "--name",
            "Payroll",
            "--dependencies",
            "hrms",
            "--price-monthly",
            "1999",
        ];
        let (code, json) = run(&payroll);
        assert_eq!(
            (code, &json["dependencies"], &json["price_monthly"]),
            (Some(0), &serde_json::json!(["hrms"]), &"1999.00".into())
        );
        let (_, json) =
            run(&["module", "upsert", "payroll", "--new-code", "wages", "--dependencies", ""]);
        assert_eq!(
            (&json["code"], &json["dependencies"], &json["name"]),
            (&"wages".into(), &serde_json::json!([]), &"Payroll".into())
        );
        let (_, json) = run(&[
            "plan",
            "upsert",
            "people",
            "--name",
            "People",
            "--modules",
            "system_admin,wages",
            "--max-users",
            "0",
        ]);
        assert_eq!(
            (&json["module_codes"], &json["max_users"]),
            (&serde_json::json!(["system_admin", "wages"]), &serde_json::Value::Null)
        );
        assert_eq!(run(&["module", "upsert", "wages", "--on-sale", "false"]).0, Some(1));
        assert_eq!(run(&["module", "upsert", "wages", "--price-yearly", "1,5"]).0, Some(2));
    }
}
