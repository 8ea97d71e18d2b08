//! ExplainFeature, and `entitlementd check --feature`.

use entitlementd::proto::v1::{
    DecisionReason, ExplainFeatureRequest, ExplainFeatureResponse, FeatureReason, RuleOutcome,
};
use serde_json::Value;
use tonic::Code;

use crate::{
    features::Defined,
    harness::{Database, Row, Server, field_violations, id, process::run},
    on_both,
};

const KEY: &str = "multi_currency";

fn request(tenant: &str, module: &str) -> ExplainFeatureRequest {
    ExplainFeatureRequest {
        tenant: tenant.into(),
        module_code: module.into(),
        feature_key: KEY.into(),
        at: None,
    }
}

async fn explain(server: &mut Server) -> ExplainFeatureResponse {
    server.client.explain_feature(request("tenant-1", "finance")).await.unwrap().into_inner()
}

/// The reason, the line that decides, and what each line found.
fn told(answer: &ExplainFeatureResponse) -> (FeatureReason, i32, Vec<&str>) {
    let mut deciding = answer.rules.iter().filter(|rule| rule.outcome() == RuleOutcome::Decides);
    let line = deciding.next().unwrap().order;
    assert!(deciding.next().is_none(), "{:?}", answer.rules);
    let found = answer.rules.iter().map(|rule| rule.found.as_str()).collect();
    (answer.decision.as_ref().unwrap().reason(), line, found)
}

/// What the command line says of it: the exit code, the text, and JSON.
fn by_command(database: &Database) -> (i32, String, Value) {
    let arguments = [
        ["check", "--tenant", "tenant-1", "--module", "finance"].as_slice(),
        &["--feature", KEY, "--database-url", &database.url],
    ]
    .concat();
    let text = run(&arguments);
    let json = run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(text.status.code(), json.status.code());
    let code = text.status.code().unwrap();
    (code, String::from_utf8(text.stdout).unwrap(), serde_json::from_slice(&json.stdout).unwrap())
}

on_both! {
    async fn each_source_is_shown_and_the_first_that_applies_decides(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        let nobody = explain(&mut server).await;
        assert_eq!(told(&nobody), (FeatureReason::NotFound, 6, vec!["ENABLED", "no value", "none", "no plan", "not defined", ""]));
        assert!(nobody.flags.is_empty() && nobody.plan.is_none() && nobody.definition.is_none());

        database.put_on_plan(1, "growth").await;
        database.define("finance", Defined { value_type: "int64", is_on: true, value: "'7'", ..Defined::default() }).await;
        let defined = explain(&mut server).await;
        assert_eq!(told(&defined), (FeatureReason::Default, 5, vec!["ENABLED", "7, as int64", "none", "growth: nothing", "on", ""]));
        let definition = defined.definition.unwrap();
        assert_eq!((definition.value_type.as_str(), definition.default_value.as_deref()), ("int64", Some("7")));
        assert!(definition.is_on_by_default && defined.plan.is_none());

        database.plan_says("growth", "finance", KEY, false, "'8'").await;
        let planned = explain(&mut server).await;
        assert_eq!(told(&planned), (FeatureReason::Plan, 4, vec!["ENABLED", "8, as int64", "none", "growth: off", "on", ""]));
        let plan = planned.plan.unwrap();
        assert_eq!((plan.plan_slug.as_str(), plan.enabled, plan.value.as_deref()), ("growth", false, Some("8")));
        let (code, text, json) = by_command(&database);
        assert_eq!((code, &json["reason"], &json["rules"][3]["outcome"]), (1, &"PLAN".into(), &"DECIDES".into()));
        assert!(text.starts_with("decision     DENIED  PLAN\n"), "{text}");
        assert!(text.contains("plan         growth: off, value 8\n"), "{text}");

        database.flag(1, "finance", KEY, "true", "'{\"a\": [1]}'").await;
        let unreadable = explain(&mut server).await;
        assert_eq!(told(&unreadable).0, FeatureReason::ValueUnreadable);
        assert_eq!((told(&unreadable).1, told(&unreadable).2[1]), (2, "{\"a\": [1]}, which is not int64"));
        assert!(unreadable.flags[0].decides, "its value does");
        let (code, text, _) = by_command(&database);
        assert!(code == 1 && text.contains("which is not int64"), "{text}");

        database.execute("UPDATE feature_flags SET config = '9'").await;
        let on = explain(&mut server).await;
        assert_eq!(told(&on), (FeatureReason::Tenant, 3, vec!["ENABLED", "9, as int64", "on", "growth: off", "on", ""]));
        assert!(on.decision.unwrap().enabled && on.flags[0].decides);
        let (code, text, json) = by_command(&database);
        assert_eq!((code, &json["enabled"], &json["value"]), (0, &true.into(), &"9".into()));
        assert!(text.starts_with("decision     ALLOWED  TENANT\nvalue        9\n"), "{text}");

        database.set_status(1, "suspended").await;
        let denied = explain(&mut server).await;
        assert_eq!((told(&denied).0, told(&denied).1), (FeatureReason::ModuleDenied, 1));
        assert_eq!(denied.module_decision.unwrap().reason(), DecisionReason::TenantSuspended);
        assert!(!denied.flags[0].decides, "what the flag says does not count");
    }

    async fn every_row_with_the_key_is_shown_as_it_is_stored_and_one_decides(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        // Some of the ERP's programs allow NULL there; SQLite cannot be taught to.
        let null = if database.is_sqlite() { ["false", "'null'"] } else { ["NULL", "NULL"] };
        for column in ["is_enabled", "config"].iter().filter(|_| !database.is_sqlite()) {
            database.execute(&format!("ALTER TABLE feature_flags ALTER COLUMN {column} DROP NOT NULL")).await;
        }
        for (module, is_on, config) in
            [("finance", null[0], null[1]), ("finance", "false", "'{\"limit\": 5}'"), ("Finance", "true", "'{}'")]
        {
            database.flag(1, module, KEY, is_on, config).await;
            let since = if is_on == "false" && config != "'null'" { "02" } else { "01" };
            let row = format!("module_code = '{module}' AND updated_at > '2026-06-01'");
            database.execute(&format!("UPDATE feature_flags SET updated_at = '2026-{since}-01T00:00:00Z' WHERE {row}")).await;
        }
        database.flag(1, "finance", "another", "true", "'{}'").await;
        let answer = explain(&mut server).await;
        assert_eq!(told(&answer).0, FeatureReason::Tenant);
        let rows: Vec<_> = answer.flags.iter().map(|flag| {
            (flag.module_code.as_str(), flag.is_enabled, flag.config.as_deref(), flag.decides)
        }).collect();
        assert_eq!(rows, [
            ("finance", Some(false), Some("{\"limit\": 5}"), true),
            if database.is_sqlite() { ("finance", Some(false), Some("null"), false) } else { ("finance", None, None, false) },
            ("Finance", Some(true), Some("{}"), false),
        ]);
        assert_eq!(answer.flags[1].updated_at.unwrap().seconds, 1_767_225_600);
        assert!(answer.flags.iter().all(|flag| flag.id.len() == 36));
        let (_, text, _) = by_command(&database);
        assert_eq!(text.matches(", decides").count(), 1, "{text}");
        assert!(text.contains("module \"Finance\", is_enabled true, config {}, updated 2026-01-01T00:00:00Z"), "{text}");
    }

    async fn the_cache_is_asked_beside_the_database(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.flag(1, "finance", KEY, "true", "'{}'").await;
        assert!(!explain(&mut server).await.cached.unwrap().held);
        server.check(1, "finance").await;
        database.execute("UPDATE feature_flags SET is_enabled = false").await;
        let answer = explain(&mut server).await;
        assert!(!answer.decision.unwrap().enabled, "the database's word");
        let cached = answer.cached.unwrap();
        assert!(cached.held && cached.feature.unwrap().enabled, "the cache's word");
        assert!(cached.decision.is_none());
    }

    async fn nobody_and_nothing_are_answers_and_nonsense_is_none(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        for (tenant, module, reason) in [
            (id(9), "finance", DecisionReason::TenantNotFound),
            ("nobody".to_owned(), "finance", DecisionReason::TenantNotFound),
            (id(1), "nothing", DecisionReason::ModuleNotFound),
        ] {
            let answer = server.client.explain_feature(request(&tenant, module)).await.unwrap().into_inner();
            assert_eq!(answer.decision.unwrap().module_reason(), reason);
            assert_eq!(answer.tenant.is_some(), tenant == id(1));
        }
        let wrong = ExplainFeatureRequest { feature_key: "a\nb".into(), ..request("a b", "") };
        let refused = server.client.explain_feature(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(field_violations(&refused), ["tenant", "module_code", "feature_key"]);
        for wrong in [["--feature", ""], ["--limit", "users"], ["--observed", "3"]] {
            let url = ["--database-url", &server.database.url];
            let output = run(&[&["check", "--tenant", "acme", "--module", "finance"], &url[..], &wrong].concat());
            assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        }
    }
}
