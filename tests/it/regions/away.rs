//! The primary cannot be reached from the core's region.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::{CheckModuleRequest, TenantStatus};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;

use super::{Region, is_stale, until_current, until_it_says, until_marked};
use crate::{
    admin::mutate::status,
    harness::{reason_of, server::check_request, until_so},
    usage::{client, order},
};

/// The caller reads which database it is that is away.
fn names_the_primary(status: &Status) {
    let found = (status.code(), reason_of(status));
    assert_eq!(found, (Code::Unavailable, "STORE_UNAVAILABLE".to_owned()), "{status:?}");
    assert!(status.message().contains("the primary database"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_primary_is_away_checks_go_on_marked_and_what_writes_says_who_is_away() {
    let region = Region::with(3).await;
    let mut admin = region.administered_core().await;
    let mut usage = client(&admin.server).await;
    assert!(admin.server.check(1, "finance").await.allowed);
    region.way.black_hole();
    let cut = Instant::now();
    until_marked(&mut admin.server, 1, cut).await;
    let cold = admin.server.check(2, "finance").await;
    assert!(cold.allowed && is_stale(&cold), "the replica's word, marked: {cold:?}");
    until_it_says(&admin.server, "degraded: the primary does not answer").await;

    // What the replica is still sent is known, marked.
    region.database.set_status(2, "suspended").await;
    until_so("the change is known", async || !admin.server.check(2, "finance").await.allowed).await;
    let newer = CheckModuleRequest { min_revision: Some(1_000), ..check_request(1, "finance") };
    names_the_primary(&admin.server.check_request(newer).await.unwrap_err());
    names_the_primary(&usage.reserve_usage(order("o-1", 1)).await.unwrap_err());
    names_the_primary(&admin.set_status(status(TenantStatus::Suspended)).await.unwrap_err());

    admin.server.advance(3700);
    for tenant in [0, 1] {
        admin.server.is_unavailable(tenant).await;
    }
    region.way.let_through();
    until_current(&mut admin.server, 1).await;
    assert!(usage.reserve_usage(order("o-1", 1)).await.is_ok());
    region.is_only_read();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_while_the_primary_is_away_locks_nobody_out_who_is_in_the_state_file() {
    let region = Region::with(2).await;
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--state-dir", folder.path().to_str().unwrap()];
    let mut core = region.core(&flags).await;
    assert!(core.check(0, "finance").await.allowed);
    core.running.stop().await.unwrap();
    region.way.black_hole();
    let mut core = region.unready_core(&flags).await;
    let held = core.check(0, "finance").await;
    assert!(held.allowed && is_stale(&held), "{held:?}");
    core.is_unavailable(1).await;
    region.way.let_through();
    until_current(&mut core, 0).await;
    until_current(&mut core, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_starts_while_the_primary_is_away_waits_and_says_for_whom() {
    let region = Region::with(1).await;
    region.way.black_hole();
    let mut core = region.unready_core(&[]).await;
    let wanted = "unready: the primary does not answer, so nobody knows how old the replica is";
    until_it_says(&core, wanted).await;
    assert_eq!(core.health("").await, ServingStatus::NotServing);
    core.is_unavailable(0).await;
    region.way.let_through();
    tokio::time::timeout(Duration::from_secs(20), core.wait_until_ready()).await.unwrap();
    until_current(&mut core, 0).await;
}
