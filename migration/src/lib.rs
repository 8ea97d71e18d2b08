//! Brings a database to the schema that entitlementd reads, and adopts what is already there.
//!
//! The tables are the ERP's own. Where they exist they are left exactly as they are: columns, keys,
//! indexes and rows. Only what is missing is made, and nothing is ever dropped.

#![warn(unreachable_pub)]

mod advice;
mod catalog;
mod changes;
mod denied;
mod m20261123_000001_tables;
mod m20261123_000002_catalogue;
mod m20261123_000003_changes;
mod m20261124_000004_record;
mod m20261124_000005_aliases;
mod m20261124_000006_endpoints;
mod m20261126_000007_functions;
mod m20261128_000008_rights;
mod required;
mod rights;
mod state;
mod tables;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{
        ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode,
        TransactionOptions, TransactionTrait,
    },
};

pub use advice::index_advice;
pub use changes::{
    CHANNEL, MAX_ANNOUNCED, MissingTrigger, all_triggers_armed, catalogue_revision, fold_sqlite,
    missing_triggers, revision_of, topic,
};
pub use denied::{Denied, denied, may_read_steps, may_read_tables};
pub use required::{MissingColumn, MissingColumns, missing_columns, missing_in_existing_tables};
pub use rights::{OpenDoor, open_doors, roles};
pub use sea_orm_migration::prelude::SchemaManager;
pub use state::{Step, steps};

/// Is the log of changes wanted? A database's owner may forbid triggers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeLog {
    /// Revisions are counted and changes announced.
    Wanted,
    /// The step that makes it is left out.
    LeftOut,
}

/// The steps, in order. Their record lies beside those of other programs in `public`, so it has a
/// name of its own.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_tables::Migration),
            Box::new(m20261123_000002_catalogue::Migration),
            Box::new(m20261123_000003_changes::Migration),
            Box::new(m20261124_000004_record::Migration),
            Box::new(m20261124_000005_aliases::Migration),
            Box::new(m20261124_000006_endpoints::Migration),
            Box::new(m20261126_000007_functions::Migration),
            Box::new(m20261128_000008_rights::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        RECORD.into_iden()
    }
}

/// The step that may be left out.
pub(crate) fn makes_the_change_log(step: &dyn MigrationTrait) -> bool {
    step.name() == m20261123_000003_changes::Migration.name()
}

/// The table that records which steps have been applied.
pub(crate) const RECORD: &str = "entitlementd_migrations";

/// Any number that no other program in the database locks: the bytes of "entitled".
const LOCK: i64 = 0x656e_7469_746c_6564;

/// Locks that writers take, for as long as their transaction lasts, so that they do not pass each
/// other by. PostgreSQL only.
pub mod locks {
    /// Shared by those who rely on the catalogue, alone for those who change it.
    pub const CATALOGUE: i64 = super::LOCK + 3;
    /// Alone for those who add a tenant: its schema's name must be nobody else's, and no key sees
    /// to that.
    pub const DIRECTORY: i64 = super::LOCK + 4;
    /// Of a request id, with its hash: the first four letters of "entitled". Pairs are apart from
    /// single numbers.
    pub const REQUEST: i32 = 0x656e_7469;
}

/// Applies every pending step, all or none, one process at a time. Doing it again does nothing, but
/// for triggers of the log that have gone missing: they are made again.
///
/// A database that is ahead of this program is left alone. `first` is what the transaction begins
/// with, and `last` what it ends with: behind a pooler, a session is not found as one would like
/// it, and must not be left otherwise.
pub async fn migrate(
    db: &DatabaseConnection,
    log: ChangeLog,
    [first, last]: [&str; 2],
) -> Result<(), DbErr> {
    let txn = begin_alone(db, first).await?;
    let manager = SchemaManager::new(&txn);
    let steps = steps(&manager, log).await?;
    let pending: Vec<&str> = steps.iter().filter_map(Step::pending).collect();
    if let (Some(unknown), false) = (steps.iter().find_map(Step::unknown), pending.is_empty()) {
        return Err(DbErr::Custom(format!(
            "the database has the step {unknown}, which this program does not know, and lacks others: use the newest entitlementd"
        )));
    }
    if !pending.is_empty() {
        Migrator::install(&txn).await?;
    }
    for step in Migrator::migrations() {
        if pending.contains(&step.name()) {
            step.up(&manager).await?;
            state::record(&manager, step.name()).await?;
        } else if log == ChangeLog::Wanted && makes_the_change_log(&*step) {
            changes::create_missing_triggers(&manager).await?;
        }
    }
    // Each time: rights may have been given since, and functions been made again.
    rights::secure(&manager).await?;
    txn.execute_unprepared(last).await?;
    txn.commit().await
}

/// Begins a transaction that no other migrating process is in at the same time.
async fn begin_alone(db: &DatabaseConnection, first: &str) -> Result<DatabaseTransaction, DbErr> {
    if db.get_database_backend() == DbBackend::Sqlite {
        let immediate = Some(SqliteTransactionMode::Immediate);
        return db
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: immediate,
                ..Default::default()
            })
            .await;
    }
    let txn = db.begin().await?;
    txn.execute_unprepared(first).await?;
    txn.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
    txn.execute_unprepared("SET LOCAL lock_timeout = '60s'").await?;
    // Held until the end of the transaction, and so safe behind a transaction pooler.
    txn.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    // A new table's foreign key waits for the writers of an adopted one, and newer writers wait
    // behind it: not for long.
    txn.execute_unprepared("SET LOCAL lock_timeout = '5s'").await?;
    Ok(txn)
}

/// Steps are not undone: the tables may be the ERP's, and hold its rows.
pub(crate) fn never_down() -> Result<(), DbErr> {
    Err(DbErr::Custom("entitlementd never drops a table: restore a backup instead".into()))
}
