//! Transactions that commit late: on a replica, a snapshot does not say that they are in progress.

use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};

use super::{Region, until_current, until_known};
use crate::harness::{Database, Server, http::Metrics, id, until_so};

/// What the metrics say.
async fn count(server: &Server, series: &str) -> f64 {
    Metrics::read(server.running.metrics_address.unwrap()).await.of(series)
}

/// Suspends a tenant, and has yet to commit that.
async fn suspend_late(database: &Database, tenant: u32) -> DatabaseTransaction {
    let late = database.connection.begin().await.unwrap();
    let suspend = format!("UPDATE tenants SET status = 'suspended' WHERE id = '{}'", id(tenant));
    late.execute_unprepared(&suspend).await.unwrap();
    late
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_commits_that_was_open_while_others_were_read_is_not_passed_over() {
    let region = Region::with(5).await;
    let mut core = region.core(&[]).await;
    for tenant in 0..5 {
        assert!(core.check(tenant, "finance").await.allowed);
    }
    let late = suspend_late(&region.database, 1).await;
    for tenant in [2, 3] {
        region.database.set_status(tenant, "suspended").await;
        until_known(&mut core, tenant).await;
    }
    let heard = count(&core, "changes_total").await;
    assert!(core.check(1, "finance").await.allowed, "it is not committed");
    late.commit().await.unwrap();
    until_known(&mut core, 1).await;
    region.database.set_status(4, "suspended").await;
    until_known(&mut core, 4).await;
    let changes = count(&core, "changes_total").await - heard;
    assert_eq!(changes, 2.0, "and nothing is read twice because of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_late_and_folded_before_it_was_read_is_not_passed_over() {
    let region = Region::with(3).await;
    let database = &region.database;
    let primary = region.primary_url();
    // Long enough for all of this to happen between two polls.
    let flags = ["--primary-database-url", &primary, "--poll-interval", "5s"];
    let unread = [&flags[..], &["--revalidate-max-rate", "0"]].concat();
    let mut core = Server::start_with(region.of_core().await, &unread).await;
    assert!(core.check(1, "finance").await.allowed);
    let late = suspend_late(database, 1).await;
    database.set_status(2, "suspended").await;
    until_known(&mut core, 2).await;
    assert!(core.check(1, "finance").await.allowed);

    late.commit().await.unwrap();
    for statement in [
        "DELETE FROM entitlement_horizons",
        "SELECT entitlement_fold_step()",
        "UPDATE entitlement_horizons SET seen_at = seen_at - interval '2 hours'",
        "SELECT entitlement_fold_step()",
    ] {
        database.execute(statement).await;
    }
    let left = database.one("SELECT count(*) AS left FROM entitlement_changes").await;
    assert_eq!(left.try_get::<i64>("", "left").unwrap(), 0, "all of it was folded");
    until_known(&mut core, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_more_than_is_kept_apart_everything_is_read_again_and_nothing_passed_over() {
    let region = Region::with(3).await;
    let mut core = region.core(&[]).await;
    for tenant in 0..3 {
        assert!(core.check(tenant, "finance").await.allowed);
    }
    let late = suspend_late(&region.database, 1).await;
    let before = count(&core, "resets_total").await;
    region
        .database
        .execute(
            "INSERT INTO entitlement_changes (topic, tenant_id)
             SELECT 'tenant', gen_random_uuid() FROM generate_series(1, 20000)",
        )
        .await;
    until_so("everything is read again", async || {
        count(&core, "resets_total").await > before + 3.0
    })
    .await;
    late.commit().await.unwrap();
    until_known(&mut core, 1).await;
    region.database.set_status(2, "suspended").await;
    until_known(&mut core, 2).await;
    until_current(&mut core, 0).await;
}
