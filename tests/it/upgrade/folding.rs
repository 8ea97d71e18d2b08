//! Both versions fold the log of changes, each in its own way.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio::task::JoinSet;

use super::{flags, fleet::Fleet, migrate_beside, old_database, previous::WITHOUT_EDGES};
use crate::{
    change_log::revision,
    harness::{Database, id, process, process::Process, until_so},
};

/// As if an hour had passed since what has been committed, and was read by all.
async fn age(database: &Database) {
    database
        .execute(
            "DELETE FROM entitlement_horizons;
             INSERT INTO entitlement_horizons (seen_at) VALUES (now() - interval '61 minutes')",
        )
        .await;
}

/// What the previous version's function meets once where it is replaced while it runs.
const DROPPED: &str = "column \"xid\" does not exist";

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
            let mut was_replaced = false;
            while !is_over.load(Ordering::Relaxed) {
                match own.try_one(call).await {
                    Ok(row) => {
                        let rows: Option<i64> = row.try_get_by_index(0).unwrap();
                        count.fetch_add(rows.unwrap_or_default(), Ordering::Relaxed);
                    }
                    // It had begun, and waited for the migration, which has dropped a column that it then
                    // reads. Nothing of it is done; a server says so in its log, and folds later.
                    Err(error) if !was_replaced && error.to_string().contains(DROPPED) => {
                        was_replaced = true;
                    }
                    Err(error) => panic!("{call}: {error}"),
                }
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
    until_folded(&database).await;
}

/// The previous version takes nothing for old that began after a transaction that was open then, in
/// whatever database.
async fn until_folded(database: &Database) {
    until_so("all is folded", async || {
        age(database).await;
        rows(database).await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_fold_at_the_same_time_and_no_change_is_missed_or_counted_twice() {
    let mut fleet = Fleet::new(old_database(WITHOUT_EDGES).await).await;
    let database = fleet.database.again().await;
    fleet.join("old", WITHOUT_EDGES.serve(&flags(&database))).await;
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
    let mut fleet = Fleet::new(old_database(WITHOUT_EDGES).await).await;
    let database = fleet.database.again().await;
    fleet.join("old", WITHOUT_EDGES.serve(&flags(&database))).await;
    let old = Folder::start(&database, "SELECT entitlement_fold()").await;
    change_and_age(&mut fleet, || true).await;
    migrate_beside(&mut fleet).await;
    fleet.join("new", Process::serve(&flags(&database))).await;
    change_and_age(&mut fleet, || true).await;
    assert!(old.end().await > 0);
}

const TENANTS: u32 = 6;
const WRITERS: u32 = 4;
/// Commits of each writer before the migration, and after it.
const COMMITS: u32 = 40;

/// Commits of several tenants each. Gives how many changes each tenant had.
async fn write(database: Database, seed: u64) -> [i64; TENANTS as usize] {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut changes = [0; TENANTS as usize];
    for _ in 0..COMMITS {
        let transaction = database.connection.begin().await.unwrap();
        // Always in the same order, so that no two writers wait for each other.
        for tenant in (0..TENANTS).filter(|_| dice.bool()) {
            let toggle = format!(
                "UPDATE tenants SET status = CASE status WHEN 'active' THEN 'suspended' ELSE 'active' END WHERE id = '{}'",
                id(tenant + 1)
            );
            transaction.execute_unprepared(&toggle).await.unwrap();
            changes[tenant as usize] += 1;
        }
        transaction.commit().await.unwrap();
    }
    changes
}

async fn revisions(database: &Database) -> Vec<i64> {
    let mut revisions = Vec::new();
    for tenant in 1..=TENANTS {
        revisions.push(revision(database, tenant).await);
    }
    revisions
}

/// Writers write; all that they have written grows old at once, and is folded. No revision ever goes
/// back, and in the end each is what was committed.
async fn write_and_age(database: &Database) {
    let before = revisions(database).await;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        writers.spawn(write(database.again().await, seed));
    }
    let mut wanted = before.clone();
    let mut last = before;
    while !writers.is_empty() {
        age(database).await;
        let seen = revisions(database).await;
        assert!(seen.iter().zip(&last).all(|(seen, last)| seen >= last), "{seen:?} after {last:?}");
        last = seen;
        while let Some(changes) = writers.try_join_next() {
            wanted.iter_mut().zip(changes.unwrap()).for_each(|(wanted, count)| *wanted += count);
        }
    }
    assert_eq!(revisions(database).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_are_right_while_many_write_either_version_folds_and_the_schema_is_migrated() {
    let database = old_database(WITHOUT_EDGES).await;
    for tenant in 1..=TENANTS {
        database.mk_tenant(tenant, &format!("tenant-{tenant}"), "active").await;
    }
    let old = Folder::start(&database, "SELECT entitlement_fold()").await;
    let (own, url) = (database.again().await, database.url.clone());
    let writing = tokio::spawn(async move { write_and_age(&own).await });
    let migrating = tokio::task::spawn_blocking(move || process::migrate(&url));
    writing.await.unwrap();
    migrating.await.unwrap();

    let new = Folder::start(&database, "SELECT entitlement_fold_step()").await;
    write_and_age(&database).await;
    let before = revisions(&database).await;
    until_folded(&database).await;
    assert_eq!(revisions(&database).await, before);
    let folded = [old.end().await, new.end().await];
    assert!(folded.iter().all(|rows| *rows > 0), "{folded:?}");
}
