//! ExplainLimit, and `entitlementd check --limit`.

use entitlementd::proto::v1::{
    DecisionReason, ExplainLimitRequest, ExplainLimitResponse, LimitReason, LimitSource,
    RuleOutcome,
};
use serde_json::Value;
use tonic::Code;

use crate::{
    harness::{Database, Row, Server, field_violations, id, instant, process::run},
    on_both,
};

fn request(key: &str, observed: i64, amount: i64) -> ExplainLimitRequest {
    ExplainLimitRequest {
        tenant: "tenant-1".into(),
        limit_key: key.into(),
        at: None,
        observed: Some(observed),
        amount,
    }
}

async fn explain(server: &mut Server, request: ExplainLimitRequest) -> ExplainLimitResponse {
    server.client.explain_limit(request).await.unwrap().into_inner()
}

/// The reason, the line that decides, and what each line found.
fn told(answer: &ExplainLimitResponse) -> (LimitReason, i32, Vec<&str>) {
    let mut deciding = answer.rules.iter().filter(|rule| rule.outcome() == RuleOutcome::Decides);
    let line = deciding.next().unwrap().order;
    assert!(deciding.next().is_none(), "{:?}", answer.rules);
    let found = answer.rules.iter().map(|rule| rule.found.as_str()).collect();
    (answer.decision.as_ref().unwrap().reason(), line, found)
}

/// What the command line says of five users and one more: the exit code, the text, and JSON.
fn by_command(database: &Database, at: &str) -> (i32, String, Value) {
    let arguments = [
        ["check", "--tenant", "tenant-1", "--limit", "users", "--observed", "5"].as_slice(),
        &["--amount", "1", "--at", at, "--database-url", &database.url],
    ]
    .concat();
    let text = run(&arguments);
    let json = run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(text.status.code(), json.status.code());
    let code = text.status.code().unwrap();
    (code, String::from_utf8(text.stdout).unwrap(), serde_json::from_slice(&json.stdout).unwrap())
}

on_both! {
    async fn each_source_is_shown_and_the_first_that_applies_says_what_the_limit_is(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        let none = explain(&mut server, request("users", 5, 1)).await;
        assert_eq!(told(&none), (LimitReason::NoPlan, 4, vec!["served", "none", "defined, level", "none", "", ""]));
        assert!(none.definition.unwrap().is_column_of_plans && none.plan.is_none() && none.limit_override.is_none());
        let unknown = explain(&mut server, request("printers", 0, 0)).await;
        assert_eq!((told(&unknown).0, told(&unknown).1), (LimitReason::NotFound, 3));

        database.put_on_plan(1, "starter").await;
        database.limit_of_plan("starter", "max_users", "5").await;
        let planned = explain(&mut server, request("users", 5, 1)).await;
        assert_eq!(told(&planned), (LimitReason::Exceeded, 5, vec!["served", "none", "defined, level", "starter", "5", ""]));
        let decision = planned.decision.unwrap();
        assert_eq!((decision.allowed, decision.limit, decision.source()), (true, Some(5), LimitSource::Plan), "nothing is enforced here");
        assert!(!decision.plan_slugs.is_empty() && decision.message.contains("'users' of 5"));
        let now = instant(0).to_rfc3339();
        let (code, text, json) = by_command(&database, &now);
        assert_eq!((code, &json["reason"], &json["limit"]), (1, &"EXCEEDED".into(), &5.into()));
        assert!(text.starts_with("decision     DENIED  EXCEEDED\n"), "{text}");
        assert!(text.contains("limit        5: 5 used, 1 more wanted\n") && text.contains("plan         starter: 5\n"), "{text}");
        let alone = explain(&mut server, ExplainLimitRequest { observed: None, ..request("users", 0, 0) }).await;
        assert_eq!((told(&alone).0, alone.decision.unwrap().used), (LimitReason::Within, 0));

        database.limit_of_plan("starter", "max_users", "NULL").await;
        let unlimited = explain(&mut server, request("users", 5, 1)).await;
        assert_eq!((told(&unlimited).0, told(&unlimited).1, told(&unlimited).2[4]), (LimitReason::Unlimited, 6, "unlimited"));

        database.set_status(1, "suspended").await;
        let denied = explain(&mut server, request("users", 5, 1)).await;
        assert_eq!((told(&denied).0, told(&denied).1, told(&denied).2[0]), (LimitReason::TenantDenied, 1, "TENANT_SUSPENDED"));
        assert_eq!(denied.decision.unwrap().tenant_reason(), DecisionReason::TenantSuspended);
    }

    async fn an_override_is_shown_with_its_reason_and_whether_it_is_over(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
        database.limit_of_plan("starter", "max_users", "3").await;
        let end = instant(1_000);
        database.override_limit(1, "users", "50", &format!("'{}'", end.to_rfc3339())).await;
        let reason = "agreed with sales: until the next price list";
        database.execute(&format!("UPDATE entitlement_limit_overrides SET reason = '{reason}'")).await;
        let own = explain(&mut server, request("users", 5, 1)).await;
        assert_eq!((told(&own).0, told(&own).1), (LimitReason::Within, 2));
        assert!(told(&own).2[1].starts_with("50, until 2026-11-23T12:16:40"), "{own:?}");
        let row = own.limit_override.unwrap();
        assert_eq!((row.value, row.ends_at.unwrap().seconds, row.is_over), (Some(50), end.timestamp(), false));
        assert_eq!(row.reason, reason);
        assert_eq!(own.decision.unwrap().valid_until.unwrap().seconds, end.timestamp());
        let (code, text, json) = by_command(&database, &instant(0).to_rfc3339());
        assert_eq!((code, &json["limit_override"]["reason"]), (0, &reason.into()));
        assert!(text.contains("override     50, ends 2026-11-23T12:16:40Z\n"), "{text}");
        assert!(text.contains(&format!("reason \"{reason}\"")), "{text}");

        let at = Some(prost_types::Timestamp { seconds: end.timestamp(), nanos: 0 });
        let over = explain(&mut server, ExplainLimitRequest { at, ..request("users", 5, 1) }).await;
        assert_eq!((told(&over).0, told(&over).1), (LimitReason::OverLimit, 5));
        assert!(over.limit_override.unwrap().is_over);
        let (code, text, _) = by_command(&database, &end.to_rfc3339());
        assert!(code == 1 && text.contains("override     50, ends 2026-11-23T12:16:40Z, which has passed\n"), "{text}");

        // One that nobody has defined, and without a limit.
        database.override_limit(1, "printers", "NULL", "NULL").await;
        let printers = explain(&mut server, request("printers", 9, 9)).await;
        assert_eq!((told(&printers).0, told(&printers).2[1], told(&printers).2[2]), (LimitReason::Unlimited, "unlimited", "not defined"));
        assert!(printers.definition.is_none() && printers.limit_override.unwrap().value.is_none());
    }

    async fn the_cache_is_asked_beside_the_database(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.override_limit(1, "users", "5", "NULL").await;
        assert!(!explain(&mut server, request("users", 5, 1)).await.cached.unwrap().held);
        server.check(1, "finance").await;
        database.execute("UPDATE entitlement_limit_overrides SET value = 50").await;
        let answer = explain(&mut server, request("users", 5, 1)).await;
        assert_eq!(answer.decision.unwrap().limit, Some(50), "the database's word");
        assert_eq!(answer.cached.unwrap().limit.unwrap().limit, Some(5), "the cache's word");
    }

    async fn nobody_is_an_answer_and_nonsense_is_none(server: Server) {
        for tenant in [id(9), "nobody".to_owned()] {
            let nobody = explain(&mut server, ExplainLimitRequest { tenant, ..request("users", 0, 1) }).await;
            assert_eq!(nobody.decision.unwrap().tenant_reason(), DecisionReason::TenantNotFound);
            assert!(nobody.tenant.is_none());
        }
        let wrong = ExplainLimitRequest { tenant: "a b".into(), ..request("", -1, -1) };
        let refused = server.client.explain_limit(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(field_violations(&refused), ["tenant", "limit_key", "amount", "observed"]);
    }
}
