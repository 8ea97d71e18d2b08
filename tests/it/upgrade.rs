//! A rolling upgrade, in either order: servers of a version before this one and of this one, in
//! front of either's schema.

mod clients;
mod edges;
mod fleet;
mod folding;
mod previous;

use entitlementd_migration::{Migrator, MigratorTrait};

use self::{
    fleet::Fleet,
    previous::{Previous, WITHOUT_EDGES},
};
use crate::harness::{
    Database, http,
    process::{self, Process},
};

/// The flags of a server in front of this database.
fn flags(database: &Database) -> [&str; 4] {
    ["--listen", "127.0.0.1:0", "--database-url", &database.url]
}

/// A database as a previous version made it.
async fn old_database(version: Previous) -> Database {
    let database = Database::empty_postgres().await;
    version.migrate(&database.url);
    database
}

/// Runs this version's `migrate` while changes are committed.
async fn migrate_beside(fleet: &mut Fleet) {
    let url = fleet.database.url.clone();
    let migrating = tokio::task::spawn_blocking(move || process::migrate(&url));
    while !migrating.is_finished() {
        fleet.flip().await;
    }
    migrating.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_goes_first_and_the_servers_follow_one_by_one() {
    let mut fleet = Fleet::new(old_database(WITHOUT_EDGES).await).await;
    let database = fleet.database.again().await;
    for name in ["old, 1", "old, 2"] {
        fleet.join(name, WITHOUT_EDGES.serve(&flags(&database))).await;
    }
    fleet.flip_times(2).await;
    migrate_beside(&mut fleet).await;
    fleet.flip_times(2).await;

    // Instances of the old version may still be restarted, or added.
    fleet.join("old, 3", WITHOUT_EDGES.serve(&flags(&database))).await;
    fleet.flip_times(2).await;
    for (new, old) in [("new, 1", "old, 1"), ("new, 2", "old, 2"), ("new, 3", "old, 3")] {
        fleet.join(new, Process::serve(&flags(&database))).await;
        fleet.flip_times(3).await;
        let logged = fleet.leave(old);
        assert_eq!(logged.contains("by a newer entitlementd"), old == "old, 3", "{logged}");
    }
    fleet.flip_times(4).await;
    // And back again: there are no migrations downwards.
    fleet.join("old, 4", WITHOUT_EDGES.serve(&flags(&database))).await;
    for new in ["new, 1", "new, 2", "new, 3"] {
        fleet.flip().await;
        fleet.leave(new);
    }
    fleet.flip_times(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_in_front_of_the_old_schema_says_what_to_run_and_is_ready_once_that_is_done() {
    let mut fleet = Fleet::new(old_database(WITHOUT_EDGES).await).await;
    let database = fleet.database.again().await;
    fleet.join("old", WITHOUT_EDGES.serve(&flags(&database))).await;
    fleet.flip().await;

    let shown = ["--metrics-listen", "127.0.0.1:0"];
    let mut new = Process::serve(&[&flags(&database)[..], &shown].concat());
    let probes = new.address_of("metrics and probes").parse().unwrap();
    new.wait_for("run: entitlementd migrate");
    let unready = http::get(probes, "/readyz").await;
    let words =
        "unready: the database's schema is behind; run: entitlementd migrate\ncause: schema";
    assert_eq!((unready.status, unready.body.trim_end()), (503, words));
    // The steps that are wanting, and no others.
    new.wait_for("migration pending");
    fleet.flip_times(2).await;
    let said = &new.logged;
    assert!(!said.contains("\"ready\"") && !said.contains("migration applied"), "{said}");
    migrate_beside(&mut fleet).await;
    // Nobody restarts it.
    fleet.join("new", new).await;
    assert_eq!(http::get(probes, "/readyz").await.status, 200);
    fleet.flip_times(4).await;
    fleet.leave("old");
    fleet.flip_times(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_that_migrates_at_its_start_disturbs_no_old_one() {
    let mut fleet = Fleet::new(old_database(WITHOUT_EDGES).await).await;
    let database = fleet.database.again().await;
    fleet.join("old", WITHOUT_EDGES.serve(&flags(&database))).await;
    fleet.flip().await;
    let new = Process::serve(&[&flags(&database)[..], &["--migrate"]].concat());
    fleet.join("new", new).await;
    fleet.flip_times(4).await;
}

/// As it is when a migration gives up in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_any_two_steps_old_servers_serve_and_after_the_last_new_ones_do() {
    let mut fleet = Fleet::new(old_database(WITHOUT_EDGES).await).await;
    let database = fleet.database.again().await;
    fleet.join("old", WITHOUT_EDGES.serve(&flags(&database))).await;
    let mut new = Process::serve(&flags(&database));
    new.wait_for("run: entitlementd migrate");
    let pending = Migrator::get_pending_migrations(&database.connection);
    let pending = pending.await.unwrap().len();
    assert!(pending > 0, "there is nothing to upgrade");
    for _ in 0..pending {
        assert!(!new.logged.contains("\"ready\""), "{}", new.logged);
        Migrator::up(&database.connection, Some(1)).await.unwrap();
        fleet.flip_times(2).await;
        // Instances of the old version are restarted at any time.
        fleet.join("old, restarted", WITHOUT_EDGES.serve(&flags(&database))).await;
        fleet.flip_times(2).await;
        fleet.leave("old, restarted");
    }
    fleet.join("new", new).await;
    fleet.flip_times(2).await;
    migrate_beside(&mut fleet).await;
    fleet.flip_times(2).await;
}

/// The triggers of the version before do not watch what plans limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_plans_limit_is_heard_of_once_the_schema_is_migrated() {
    let database = old_database(WITHOUT_EDGES).await;
    let revision = async || {
        let sql = format!(
            "SELECT {} AS revision",
            entitlementd_migration::catalogue_revision(sea_orm::DbBackend::Postgres,)
        );
        database.one(&sql).await.try_get::<i64>("", "revision").unwrap()
    };
    let lower = "UPDATE plans SET max_users = max_users - 1 WHERE slug = 'growth'";
    let before = revision().await;
    database.execute(lower).await;
    assert_eq!(revision().await, before, "there is nothing to upgrade");
    process::migrate(&database.url);
    let before = revision().await;
    database.execute(lower).await;
    assert_eq!(revision().await, before + 1);
}
