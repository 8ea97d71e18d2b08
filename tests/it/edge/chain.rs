//! An edge of an edge.

use entitlementd::proto::v1::{CheckModuleRequest, DecisionReason};

use super::core;
use crate::{
    harness::{proxy::Proxy, server::check_request, until_so},
    metrics::SHOWN,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_of_an_edge_answers_what_the_core_answers_and_hears_what_it_hears() {
    use DecisionReason::{Enabled, TenantSuspended};
    let mut core = core().await;
    let near = core.edge(&SHOWN).await;
    for flags in [&["--hold", "used"], &["--hold", "all"]] {
        let mut far = near.edge(&[&SHOWN[..], flags].concat()).await;
        far.is_granted_unmarked(1).await;
        core.database.set_status(1, "suspended").await;
        far.until_reason(1, Enabled, TenantSuspended).await;
        core.database.set_status(1, "active").await;
        far.until_reason(1, TenantSuspended, Enabled).await;
        let revision = core.check(1, "finance").await.freshness.unwrap().revision;
        let asked =
            CheckModuleRequest { min_revision: Some(revision), ..check_request(1, "finance") };
        let answer = far.check_request(asked).await.unwrap();
        assert_eq!((answer.allowed, answer.freshness.unwrap().stale), (true, false));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_break_at_either_hop_marks_and_a_suspension_is_never_granted_unmarked() {
    let core = core().await;
    let first = Proxy::to(core.port()).await;
    let near = core.unready_edge(&[first.port()], &SHOWN).await;
    let second = Proxy::to(near.port()).await;
    let mut far = core.unready_edge(&[second.port()], &SHOWN).await;
    far.wait_until_ready().await;
    far.is_granted_unmarked(1).await;
    let (mut by_core, mut by_near) = (core.edge(&SHOWN).await, near.edge(&SHOWN).await);
    for edge in [&mut by_core, &mut by_near] {
        edge.is_granted_unmarked(1).await;
    }
    for (network, beside, status, reason) in [
        (&first, &mut by_core, "suspended", DecisionReason::TenantSuspended),
        (&second, &mut by_near, "active", DecisionReason::Enabled),
    ] {
        network.black_hole();
        until_so("it is marked", async || far.check(1, "finance").await.freshness.unwrap().stale)
            .await;
        core.database.set_status(1, status).await;
        // Until then what is above has not said so to anybody, and vouches for what was before.
        until_so("who follows it beside the network knows", async || {
            beside.reason_and_mark(1).await == (reason, false)
        })
        .await;
        network.let_through();
        until_so("the change is known", async || {
            let (found, stale) = far.reason_and_mark(1).await;
            assert!(found == reason || stale, "{found:?}, unmarked");
            found == reason && !stale
        })
        .await;
    }
}
