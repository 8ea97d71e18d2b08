//! A backup that is restored, as docs/operations.md describes it.

use entitlementd::proto::v1::{CheckModuleRequest, DecisionReason};

use crate::{
    change_log::revision,
    harness::{Database, Row, Server, postgres, process, reason_of, server::check_request},
    readme,
};

/// A copy of a database by way of a backup, which has what was there so far.
struct Backup(String);

impl Backup {
    fn of(database: &Database) -> Self {
        let file = format!("{}.dump", database.name);
        postgres::shared().run("pg_dump", &["-Fc", "-f", &file, &database.name]);
        Self(file)
    }

    /// Restores it into a new database, and does what is to be done next.
    async fn restore(self) -> Database {
        let cluster = postgres::shared();
        let name = cluster.empty_database().await;
        cluster.run("pg_restore", &["--exit-on-error", "-d", &name, &self.0]);
        process::migrate(&cluster.url(&name));
        Database::on(cluster, name).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_the_documented_sql_lifts_revisions_above_all_that_were_given() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let backup = Backup::of(&database);
    for status in ["suspended", "active", "suspended"] {
        database.set_status(1, status).await;
    }
    database.execute("UPDATE modules SET name = 'Renamed' WHERE code = 'finance'").await;
    let given = revision(&database, 1).await;

    let mut server = Server::start_fed(backup.restore().await).await;
    server.until(1, "finance", DecisionReason::Enabled).await;
    let min_revision = Some(given.cast_unsigned());
    let asked = CheckModuleRequest { min_revision, ..check_request(1, "finance") };
    let refused = server.check_request(asked.clone()).await.unwrap_err();
    assert_eq!(reason_of(&refused), "NOT_FRESH_ENOUGH");

    let lift =
        readme::blocks(&readme::section("docs/operations.md", "## Backup and restore"), "sql");
    let [lift] = lift.as_slice() else { panic!("{lift:?}") };
    let before = revision(&server.database, 1).await;
    server.database.execute(lift).await;
    assert_eq!(revision(&server.database, 1).await, before + 1_000_000);
    assert!(server.check_request(asked).await.unwrap().allowed);
    // It goes on from there.
    server.database.set_status(1, "suspended").await;
    server.until(1, "finance", DecisionReason::TenantSuspended).await;
    assert_eq!(revision(&server.database, 1).await, before + 1_000_001);
}
