//! What is written through a core that sits on a replica, and whoever wrote it reads.

use entitlementd::proto::v1::{
    CheckLimitRequest, CheckModuleRequest, DecisionReason, LimitReason, TenantStatus,
};

use super::{Region, is_stale, until_known};
use crate::{
    admin::mutate::status,
    harness::{id, server::check_request},
    replicas::loads,
    usage::{ORDERS, client, mk_customer, order, reserve},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrators_change_is_in_the_answer_that_names_its_revision() {
    let region = Region::with(2).await;
    let mut admin = region.administered_core().await;
    assert!(admin.server.check(1, "finance").await.allowed);
    // The replica does not get it.
    region.replica.pause_replay().await;
    let change = admin.set_status(status(TenantStatus::Suspended)).await.unwrap();
    let as_fresh =
        CheckModuleRequest { min_revision: Some(change.revision), ..check_request(1, "finance") };
    for _ in 0..3 {
        let answer = admin.server.check_request(as_fresh.clone()).await.unwrap();
        assert_eq!(answer.reason(), DecisionReason::TenantSuspended, "{answer:?}");
        assert!(!is_stale(&answer) && answer.freshness.unwrap().revision >= change.revision);
    }
    // What was read at the primary is not kept: no change of the replica's log would end it.
    assert!(admin.server.check(1, "finance").await.allowed);

    region.replica.resume_replay().await;
    until_known(&mut admin.server, 1).await;
    let before = loads(&region.primary).await;
    admin.server.check_request(as_fresh).await.unwrap();
    assert_eq!(loads(&region.primary).await, before, "once the replica has it, it is not asked");
    region.is_only_read();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_counted_at_the_primary_by_the_limit_that_is_there() {
    let region = Region::with(0).await;
    mk_customer(&region.database).await;
    region.replica.catch_up(&region.primary).await;
    let mut core = region.core(&["--enforce-limits", "on"]).await;
    let mut usage = client(&core).await;
    assert!(reserve(&mut usage, order("o-1", 7)).await.granted);
    let asked = CheckLimitRequest {
        tenant_id: id(1),
        limit_key: ORDERS.to_owned(),
        amount: 1,
        ..Default::default()
    };
    // The replica does not get it.
    region.replica.pause_replay().await;
    region.database.limit_of_plan("starter", "max_transactions_monthly", "8").await;
    let refused = reserve(&mut usage, order("o-2", 2)).await;
    let state = refused.state.unwrap();
    assert_eq!(
        (refused.granted, state.limit, state.reason()),
        (false, Some(8), LimitReason::Exceeded)
    );
    assert!(reserve(&mut usage, order("o-2", 1)).await.granted);
    let counted = core.client.check_limit(asked).await.unwrap().into_inner();
    assert_eq!(counted.used, 8, "the counter is the primary's");
    region.database.verify_usage().await;
    region.replica.resume_replay().await;
    region.is_only_read();
}
