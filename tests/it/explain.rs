//! ExplainModule, ExplainFeature and ExplainLimit.

mod features;
mod limits;

use entitlementd::proto::v1::{DecisionReason, ExplainModuleRequest, RuleOutcome};

use crate::{
    harness::{Database, Row, Server, id, instant},
    on_both,
};

fn request(tenant: &str, module: &str) -> ExplainModuleRequest {
    ExplainModuleRequest { tenant: tenant.into(), module_code: module.into(), at: None }
}

on_both! {
    async fn it_shows_every_line_every_fact_and_what_the_cache_holds(server: Server) {
        server.database.mk_tenant(1, "acme", " Active").await;
        server.database.mk_subscription(1, "finance", Row { expires: Some(-60), ..Row::default() }).await;
        server.check(1, "finance").await;
        server.database.set_status(1, "suspended").await;
        for tenant in [id(1), "ACME".to_owned()] {
            let answer = server.client.explain_module(request(&tenant, "finance")).await.unwrap().into_inner();
            assert_eq!(answer.decision.as_ref().unwrap().reason(), DecisionReason::TenantSuspended, "the database's word");
            let cached = answer.cached.clone().unwrap();
            assert!(cached.held);
            assert_eq!(cached.decision.unwrap().reason(), DecisionReason::SubscriptionExpired, "the cache's word");
            assert_eq!(answer.tenant.clone().unwrap().status.as_deref(), Some("suspended"));
            assert_eq!(answer.module.clone().unwrap().name, "Finance & Accounting");
            assert_eq!(answer.rules.len(), 9);
            let outcomes: Vec<_> = answer.rules.iter().take(3).map(|rule| rule.outcome()).collect();
            assert_eq!(outcomes, [RuleOutcome::Passed, RuleOutcome::Decides, RuleOutcome::NotReached]);
            let row = &answer.subscriptions[0];
            assert_eq!((row.status.as_deref(), row.reason()), (Some("active"), DecisionReason::SubscriptionExpired));
            assert!(!row.decides, "the tenant's status does");
        }
    }

    async fn it_shows_words_as_they_are_stored(server: Server) {
        server.database.mk_tenant(1, "acme", " Active").await;
        server.database.mk_subscription(1, "finance", Row { status: "TRIAL ", ..Row::default() }).await;
        let answer = server.client.explain_module(request("acme", "finance")).await.unwrap().into_inner();
        assert_eq!(answer.tenant.unwrap().status.as_deref(), Some(" Active"));
        assert_eq!(answer.subscriptions[0].status.as_deref(), Some("TRIAL "));
        assert!(answer.subscriptions[0].decides);
        assert!(!answer.cached.unwrap().held);
    }

    async fn an_unknown_tenant_or_module_is_an_answer(server: Server) {
        for tenant in [id(9), "nobody".to_owned()] {
            let answer = server.client.explain_module(request(&tenant, "finance")).await.unwrap().into_inner();
            assert_eq!(answer.decision.unwrap().reason(), DecisionReason::TenantNotFound);
            assert!(answer.tenant.is_none());
            assert!(answer.module.is_some());
        }
        server.database.mk_tenant(1, "acme", "active").await;
        let answer = server.client.explain_module(request("acme", "nothing")).await.unwrap().into_inner();
        assert_eq!(answer.decision.unwrap().reason(), DecisionReason::ModuleNotFound);
        assert!(answer.module.is_none());
    }
}

#[tokio::test]
async fn each_of_several_rows_is_shown_with_its_own_words_and_one_decides() {
    let mut server = Server::start(Database::postgres().await).await;
    server.database.mk_tenant(1, "acme", "active").await;
    for (module, status, starts) in [
        ("finance", " Cancelled", -50),
        ("hrms", "expired", -90),
        ("finance", "active", -70),
        ("crm_service", "suspended", -80),
    ] {
        let row = Row { status, starts, expires: Some(-10), ..Row::default() };
        server.database.mk_subscription(1, module, row).await;
    }
    let answer =
        server.client.explain_module(request("acme", "finance")).await.unwrap().into_inner();
    let words = answer
        .subscriptions
        .iter()
        .map(|row| (row.status.as_deref().unwrap(), row.reason(), row.decides));
    assert_eq!(
        words.collect::<Vec<_>>(),
        [
            ("active", DecisionReason::SubscriptionExpired, true),
            (" Cancelled", DecisionReason::SubscriptionCancelled, false),
        ]
    );
    let starts = answer.subscriptions.iter().map(|row| row.starts_at.unwrap().seconds);
    assert_eq!(starts.collect::<Vec<_>>(), [-70, -50].map(|starts| instant(starts).timestamp()));
}
