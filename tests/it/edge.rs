//! An instance without a database answers what the one that it asks answers, or says that it may be
//! otherwise.

mod chain;
mod hold;
mod hold_modules;
mod hops;
mod hour;
mod outage;
mod resume;
mod rights;
mod state;

use entitlementd::proto::v1::{
    CheckModuleRequest, DecisionReason, ExplainModuleRequest, ListEnabledModulesRequest,
    ListTenantIdsRequest, ReserveUsageRequest, WatchChangesRequest,
    usage_service_client::UsageServiceClient, watch_changes_response::Event,
};
use tonic::Code;

use crate::{
    harness::{
        Database, Row, Server, id, reason_of,
        server::{check_request, connect},
        until_so,
    },
    metrics::SHOWN,
};

/// A core that hears of changes as they are committed.
async fn core() -> Server {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.mk_subscribed(2, "finance", Row::default()).await;
    Server::start_with(database, &SHOWN).await
}

impl Server {
    /// A check gives this reason before long, unmarked; until then, one of the two.
    async fn until_reason(&mut self, tenant: u32, before: DecisionReason, reason: DecisionReason) {
        until_so("the change has arrived", async || {
            let (found, stale) = self.reason_and_mark(tenant).await;
            assert!(found == reason || found == before, "{found:?}");
            found == reason && !stale
        })
        .await;
    }

    async fn is_granted_unmarked(&mut self, tenant: u32) {
        let found = self.reason_and_mark(tenant).await;
        assert_eq!(found, (DecisionReason::Enabled, false));
    }

    async fn is_granted_marked(&mut self, tenant: u32) {
        let found = self.reason_and_mark(tenant).await;
        assert_eq!(found, (DecisionReason::Enabled, true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_answers_what_its_core_answers() {
    let mut core = core().await;
    let mut edge = core.edge(&SHOWN).await;
    for _ in 0..2 {
        for (tenant, module) in
            [(1, "finance"), (1, "hrms"), (2, "finance"), (999, "finance"), (1, "none")]
        {
            let asked = check_request(tenant, module);
            let (here, there) =
                (edge.check(tenant, module).await, core.check(tenant, module).await);
            assert_eq!(here.reason(), there.reason(), "{asked:?}");
            assert_eq!(here.plan_slugs, there.plan_slugs, "{asked:?}");
            let [here, there] = [here, there].map(|answer| answer.freshness.unwrap());
            assert_eq!((here.revision, here.stale), (there.revision, there.stale), "{asked:?}");
        }
    }
    let request = ListEnabledModulesRequest { tenant_id: id(1), ..Default::default() };
    let (here, there) =
        (edge.list(request.clone()).await.unwrap(), core.list(request).await.unwrap());
    assert_eq!(here.modules, there.modules);
    let (here, there) = (
        edge.resolve("", "tenant-2.erp.example", "").await.unwrap(),
        core.resolve("", "tenant-2.erp.example", "").await.unwrap(),
    );
    assert_eq!(here.tenant.unwrap(), there.tenant.unwrap());
    edge.until_readyz(200, "ready").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_arrives_at_an_edge_and_at_those_who_watch_it() {
    use DecisionReason::{Enabled, TenantSuspended};
    let core = core().await;
    let mut edge = core.edge(&SHOWN).await;
    edge.is_granted_unmarked(1).await;
    let watched = WatchChangesRequest::default();
    let mut watch = edge.client.watch_changes(watched).await.unwrap().into_inner();
    core.database.set_status(1, "suspended").await;
    let revision = loop {
        match watch.message().await.unwrap().unwrap().event.unwrap() {
            Event::TenantChanged(changed) if changed.tenant_id == id(1) => break changed.revision,
            _ => {}
        }
    };
    assert!(revision > 0);
    let asked = CheckModuleRequest { min_revision: Some(revision), ..check_request(1, "finance") };
    let answer = edge.check_request(asked).await.unwrap();
    assert_eq!((answer.reason(), answer.freshness.unwrap().stale), (TenantSuspended, false));
    core.database.set_status(1, "active").await;
    edge.until_reason(1, TenantSuspended, Enabled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_the_edge_has_not_is_asked_for() {
    let mut core = core().await;
    let mut edge = core.edge(&SHOWN).await;
    let revision = core.check(1, "finance").await.freshness.unwrap().revision;
    let asked = |revision| CheckModuleRequest {
        min_revision: Some(revision),
        ..check_request(1, "finance")
    };
    let answer = edge.check_request(asked(revision)).await.unwrap();
    assert!(answer.allowed && answer.freshness.unwrap().revision >= revision);
    let status = edge.check_request(asked(revision + 100)).await.unwrap_err();
    assert_eq!(reason_of(&status), "NOT_FRESH_ENOUGH");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_a_database_is_not_answered_by_an_edge() {
    let core = core().await;
    let mut edge = core.edge(&[]).await;
    let explain = ExplainModuleRequest {
        tenant: id(1),
        module_code: "finance".to_owned(),
        ..Default::default()
    };
    let explained = edge.client.explain_module(explain).await.unwrap_err();
    let listed = edge.client.list_tenant_ids(ListTenantIdsRequest::default()).await.unwrap_err();
    let mut usage = UsageServiceClient::new(connect(&edge.running.address).await);
    let counted = usage.reserve_usage(ReserveUsageRequest::default()).await.unwrap_err();
    for status in [explained, listed, counted] {
        assert_eq!(
            (status.code(), reason_of(&status)),
            (Code::Unimplemented, "NO_DATABASE".to_owned())
        );
    }
}
