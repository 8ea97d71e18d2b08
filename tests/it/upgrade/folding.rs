//! Both versions fold the log of changes, each in its own way.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use super::{flags, fleet::Fleet, migrate_beside, old_database, previous};
use crate::harness::{Database, process::Process, until_so};

/// As if an hour had passed since what has been committed, and was read by all.
async fn age(database: &Database) {
    database
        .execute(
            "DELETE FROM entitlement_horizons;
             INSERT INTO entitlement_horizons (seen_at) VALUES (now() - interval '61 minutes')",
        )
        .await;
}

/// Folds again and again in the way of a version, until it is told to stop.
struct Folder {
    stop: Arc<AtomicBool>,
    folded: Arc<AtomicI64>,
    folding: tokio::task::JoinHandle<()>,
}

impl Folder {
    async fn start(database: &Database, call: &'static str) -> Self {
        let own = database.again().await;
        let (stop, folded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let (is_over, count) = (Arc::clone(&stop), Arc::clone(&folded));
        let folding = tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let rows: Option<i64> = own.one(call).await.try_get_by_index(0).unwrap();
                count.fetch_add(rows.unwrap_or_default(), Ordering::Relaxed);
            }
        });
        Self { stop, folded, folding }
    }

    /// Gives how many rows it has folded.
    async fn end(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.folding.await.unwrap();
        self.folded.load(Ordering::Relaxed)
    }
}

async fn rows(database: &Database) -> i64 {
    let count = "SELECT count(*) FROM entitlement_changes";
    database.one(count).await.try_get_by_index(0).unwrap()
}

/// Changes are committed, read by all, and become old, until all of the log has been folded.
async fn change_and_age(fleet: &mut Fleet, is_enough: impl Fn() -> bool) {
    let database = fleet.database.again().await;
    let mut rounds = 0;
    while rounds < 8 || !is_enough() {
        rounds += 1;
        assert!(rounds < 200, "one of the two never gets its turn");
        fleet.flip().await;
        age(&database).await;
    }
    until_so("all that is old is folded", async || rows(&database).await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_fold_at_the_same_time_and_no_change_is_missed_or_counted_twice() {
    let mut fleet = Fleet::new(old_database().await).await;
    let database = fleet.database.again().await;
    fleet.join("old", previous::serve(&flags(&database))).await;
    migrate_beside(&mut fleet).await;
    fleet.join("new", Process::serve(&flags(&database))).await;
    let old = Folder::start(&database, "SELECT entitlement_fold()").await;
    let new = Folder::start(&database, "SELECT entitlement_fold_step()").await;
    let counts = [&old, &new].map(|folder| Arc::clone(&folder.folded));
    let both = || counts.iter().all(|count| count.load(Ordering::Relaxed) > 0);
    change_and_age(&mut fleet, both).await;
    assert!(old.end().await > 0 && new.end().await > 0);
    fleet.flip_times(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_old_servers_fold_while_the_schema_is_migrated_is_right() {
    let mut fleet = Fleet::new(old_database().await).await;
    let database = fleet.database.again().await;
    fleet.join("old", previous::serve(&flags(&database))).await;
    let old = Folder::start(&database, "SELECT entitlement_fold()").await;
    change_and_age(&mut fleet, || true).await;
    migrate_beside(&mut fleet).await;
    fleet.join("new", Process::serve(&flags(&database))).await;
    change_and_age(&mut fleet, || true).await;
    assert!(old.end().await > 0);
}
