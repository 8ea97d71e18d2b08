//! Brings a database to the schema that entitlementd reads, and adopts what is already there.
//!
//! The tables are the ERP's own. Where they exist they are left exactly as they are: columns, keys,
//! indexes and rows. Only what is missing is made, and nothing is ever dropped.

#![warn(unreachable_pub)]

mod advice;
mod catalog;
mod changes;
mod denied;
mod look;
mod m20261123_000001_tables;
mod m20261123_000002_catalogue;
mod m20261123_000003_changes;
mod m20261124_000004_record;
mod m20261124_000005_aliases;
mod m20261124_000006_endpoints;
mod m20261126_000007_functions;
mod m20261128_000008_rights;
mod m20261129_000009_folding;
mod m20261129_000010_features;
mod m20261129_000011_usage;
mod m20261130_000012_usage_over_time;
mod m20261130_000013_time_zones;
mod m20261130_000014_usage_recording;
mod patience;
mod planned;
mod required;
mod rights;
mod state;
mod tables;

use std::time::Duration;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{
        ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode,
        TransactionOptions, TransactionTrait,
    },
};

use self::patience::Patience;
pub use changes::{
    Armed, CHANNEL, MAX_ANNOUNCED, MissingTrigger, all_triggers_armed, arming_of_triggers,
    catalogue_revision, fold_sqlite, news_between, revision_of, topic,
};
pub use denied::{Denied, may_read_tables};
pub use look::Look;
pub use planned::{Planned, planned};
pub use required::{MissingColumn, MissingColumns};
pub use rights::{OpenDoor, roles};
pub use sea_orm_migration::prelude::{MigratorTrait, SchemaManager};
pub use state::{Step, steps, steps_of};
pub use tables::Variant;

/// Is the log of changes wanted? A database's owner may forbid triggers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeLog {
    /// Revisions are counted and changes announced.
    Wanted,
    /// The step that makes it is left out.
    LeftOut,
}

/// What a database gets beside the log of changes, where it lacks it.
#[derive(Clone, Copy, Debug)]
pub struct Additions {
    /// For whom missing tables are made. `None`: as those that exist, and in an empty database for
    /// the running ERP.
    pub variant: Option<Variant>,
    /// Modules, and plans that name them, where there are none.
    pub catalogue: bool,
    /// For how long to try to lock a table of the ERP's, on PostgreSQL.
    pub lock_patience: Duration,
}

impl Default for Additions {
    fn default() -> Self {
        Self { variant: None, catalogue: true, lock_patience: Duration::from_mins(1) }
    }
}

fn migrations(additions: Additions) -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(m20261123_000001_tables::Migration { variant: additions.variant }),
        Box::new(m20261123_000002_catalogue::Migration { is_wanted: additions.catalogue }),
        Box::new(m20261123_000003_changes::Migration),
        Box::new(m20261124_000004_record::Migration),
        Box::new(m20261124_000005_aliases::Migration),
        Box::new(m20261124_000006_endpoints::Migration),
        Box::new(m20261126_000007_functions::Migration),
        Box::new(m20261128_000008_rights::Migration),
        Box::new(m20261129_000009_folding::Migration),
        Box::new(m20261129_000010_features::Migration),
        Box::new(m20261129_000011_usage::Migration),
        Box::new(m20261130_000012_usage_over_time::Migration),
        Box::new(m20261130_000013_time_zones::Migration),
        Box::new(m20261130_000014_usage_recording::Migration),
    ]
}

/// The steps, in order. Their record is in `public` beside those of other programs, so it has a
/// name of its own.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        migrations(Additions::default())
    }

    fn migration_table_name() -> DynIden {
        RECORD.into_iden()
    }
}

/// Is this the step that may be left out?
pub(crate) fn makes_the_change_log(step: &dyn MigrationTrait) -> bool {
    step.name() == m20261123_000003_changes::Migration.name()
}

/// The table that records which steps have been applied.
pub(crate) const RECORD: &str = "entitlementd_migrations";

/// A lock number that no other program in the database uses: the bytes of "entitled".
const LOCK: i64 = 0x656e_7469_746c_6564;

/// Advisory locks that writers hold until their transaction ends, so that they do not miss each
/// other's changes. PostgreSQL only.
pub mod locks {
    /// Taken shared by those who rely on the catalogue, and exclusively by those who change it.
    pub const CATALOGUE: i64 = super::LOCK + 3;
    /// Taken exclusively by those who add a tenant: its schema name must be unique, and no key
    /// enforces that.
    pub const DIRECTORY: i64 = super::LOCK + 4;
    /// The first of a pair, with the hash of a request id as the second: the first four letters of
    /// "entitled". Pairs do not collide with single numbers.
    pub const REQUEST: i32 = 0x656e_7469;
}

/// Applies every pending step, one process at a time, and makes the triggers of the log that are
/// missing, table by table. What has been done is kept if it fails halfway; repeating it goes on
/// there. Returns what it took to make the triggers.
///
/// A database that is ahead of this program is left alone. `first` is what a transaction begins
/// with, and `last` what it ends with: behind a pooler, a session may arrive with other settings,
/// and must be left as it was found.
pub async fn migrate(
    db: &DatabaseConnection,
    log: ChangeLog,
    additions: Additions,
    frame: [&str; 2],
) -> Result<Vec<Armed>, DbErr> {
    for step in migrations(additions) {
        let mut patience = Patience::of(additions.lock_patience);
        while let Err(error) = apply(db, &*step, log, frame).await {
            patience.after(error, db).await?;
        }
    }
    let armed = match log {
        ChangeLog::Wanted => changes::arm(db, frame, additions.lock_patience).await?,
        ChangeLog::LeftOut => Vec::new(),
    };
    // Every time: rights may have been granted since, and functions may have been replaced.
    let txn = begin_alone(db, frame).await?;
    rights::secure(&SchemaManager::new(&txn)).await?;
    end(txn, frame).await?;
    if log == ChangeLog::Wanted {
        changes::fold_restored(db, frame).await?;
    }
    Ok(armed)
}

/// Applies a step, if it is pending.
async fn apply(
    db: &DatabaseConnection,
    step: &dyn MigrationTrait,
    log: ChangeLog,
    frame: [&str; 2],
) -> Result<(), DbErr> {
    let txn = begin_alone(db, frame).await?;
    let manager = SchemaManager::new(&txn);
    let steps = steps(&manager, log).await?;
    let pending: Vec<&str> = steps.iter().filter_map(Step::pending).collect();
    if let (Some(unknown), false) = (steps.iter().find_map(Step::unknown), pending.is_empty()) {
        return Err(DbErr::Custom(format!(
            "the database has the step {unknown}, which this program does not know, and lacks others: use the newest entitlementd"
        )));
    }
    if pending.contains(&step.name()) {
        Migrator::install(&txn).await?;
        step.up(&manager).await?;
        state::record(&manager, step.name()).await?;
    }
    end(txn, frame).await
}

/// Begins a transaction that excludes all other migrating processes.
async fn begin_alone(
    db: &DatabaseConnection,
    [first, _]: [&str; 2],
) -> Result<DatabaseTransaction, DbErr> {
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
    // Notices are of what is there already.
    txn.execute_unprepared(
        "SET LOCAL client_min_messages = warning; SET LOCAL statement_timeout = 0",
    )
    .await?;
    txn.execute_unprepared("SET LOCAL lock_timeout = '60s'").await?;
    // Held until the end of the transaction, and therefore safe behind a transaction pooler.
    txn.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    txn.execute_unprepared(patience::LOCK_TIMEOUT).await?;
    Ok(txn)
}

async fn end(txn: DatabaseTransaction, [_, last]: [&str; 2]) -> Result<(), DbErr> {
    txn.execute_unprepared(last).await?;
    txn.commit().await
}

/// Steps are not undone: the tables may be the ERP's, and hold its rows.
pub(crate) fn never_down() -> Result<(), DbErr> {
    Err(DbErr::Custom("entitlementd never drops a table: restore a backup instead".into()))
}
