//! Migrating a database that the ERP writes to meanwhile.

use std::{
    process::{Child, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use sea_orm::{TransactionTrait, sqlx};
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinHandle;

use crate::harness::{Database, process, until_so};

const TENANTS: u32 = 200_000;
const WRITERS: usize = 16;

/// The ERP's tables as it made them, with nothing of ours.
async fn mk_erp(tenants: u32) -> Database {
    let database = Database::empty_postgres().await;
    database.execute(include_str!("../fixtures/variant_live.sql")).await;
    database
        .execute(&format!(
            "INSERT INTO modules (code, name) VALUES ('finance', 'Finance');
             INSERT INTO tenants (name, subdomain, database_schema)
                SELECT 'Tenant ' || n, 't' || n, 'tenant_t' || n FROM generate_series(1, {tenants}) n;
             INSERT INTO tenant_subscriptions (tenant_id, module_id, starts_at)
                SELECT t.id, m.id, now() FROM tenants t, modules m;
             CREATE INDEX ON tenant_subscriptions (tenant_id)"
        ))
        .await;
    database
}

/// Writers of the ERP, each with a tenant of its own: nobody but a migration makes them wait for a
/// lock, and who waits for longer than 300 ms fails.
struct Writers {
    is_over: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
    all: Vec<JoinHandle<Result<(), sqlx::Error>>>,
}

impl Writers {
    fn begin(database: &Database, count: usize) -> Self {
        let (is_over, commits) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let begin = |writer: usize| {
            let (url, is_over, commits) =
                (database.url.clone(), Arc::clone(&is_over), Arc::clone(&commits));
            tokio::spawn(async move {
                let mut connection = PgConnection::connect(&url).await?;
                connection.execute("SET lock_timeout = '300ms'").await?;
                let tenant =
                    format!("(SELECT id FROM tenants WHERE subdomain = 't{}')", writer + 1);
                let mut writes = [
                    format!("UPDATE tenants SET updated_at = now() WHERE id = {tenant}"),
                    format!(
                        "UPDATE tenant_subscriptions SET updated_at = now() WHERE tenant_id = {tenant}"
                    ),
                ];
                if writer.is_multiple_of(2) {
                    writes.reverse();
                }
                while !is_over.load(Ordering::Relaxed) {
                    let mut transaction = connection.begin().await?;
                    for write in &writes {
                        transaction.execute(sqlx::AssertSqlSafe(write.as_str())).await?;
                    }
                    transaction.commit().await?;
                    commits.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let all = (0..count).map(begin).collect();
        Self { is_over, commits, all }
    }

    /// Each has committed several times since.
    async fn go_on(&self) {
        let wanted = self.commits.load(Ordering::Relaxed) + 10 * self.all.len() as u64;
        until_so("the writers go on", async || {
            self.commits.load(Ordering::Relaxed) >= wanted
                || self.all.iter().any(JoinHandle::is_finished)
        })
        .await;
    }

    async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for one in self.all {
            one.await.unwrap().unwrap();
        }
    }
}

fn begin_migrating(database: &Database, flags: &[&str]) -> Child {
    let mut program = process::program();
    program.args(["migrate", "--database-url", &database.url]).args(flags);
    program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn ended(migrating: Child) -> Output {
    tokio::task::spawn_blocking(move || migrating.wait_with_output().unwrap()).await.unwrap()
}

/// The number of tables whose triggers were made, by what was printed.
fn armed(told: &str) -> usize {
    told.lines().filter(|line| line.starts_with("armed ")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_migration_fails_no_writer_and_lets_none_wait_for_long() {
    let database = mk_erp(TENANTS).await;
    let writers = Writers::begin(&database, WRITERS);
    writers.go_on().await;
    let output = ended(begin_migrating(&database, &[])).await;
    let told = stdout(&output);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(armed(&told), 6, "{told}");
    writers.go_on().await;
    writers.end().await;
    let revisions = "SELECT count(*) = (SELECT count(*) FROM tenants) FROM entitlement_revisions";
    let has_revisions: bool = database.one(revisions).await.try_get_by_index(0).unwrap();
    assert!(has_revisions, "tenants that were there before have a revision");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_stays_locked_is_tried_again_while_writers_go_on() {
    let database = mk_erp(20).await;
    let report = database.connection.begin().await.unwrap();
    let other = database.again().await;
    sea_orm::ConnectionTrait::execute_unprepared(
        &report,
        "UPDATE tenants SET updated_at = now() WHERE subdomain = 't20'",
    )
    .await
    .unwrap();
    let writers = Writers::begin(&other, 4);
    writers.go_on().await;

    let output = ended(begin_migrating(&other, &["--lock-patience", "600ms"])).await;
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("could not be locked") && told.contains("has written to tenants"),
        "{told}"
    );
    assert!(told.contains("--lock-patience"), "{told}");
    writers.go_on().await;

    let migrating = begin_migrating(&other, &[]);
    writers.go_on().await;
    report.commit().await.unwrap();
    let output = ended(migrating).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(armed(&stdout(&output)), 6, "{}", stdout(&output));
    writers.go_on().await;
    writers.end().await;
    let again = process::run(&["migrate", "--database-url", &other.url]);
    assert!(again.status.success() && armed(&stdout(&again)) == 0, "{}", stdout(&again));
}
