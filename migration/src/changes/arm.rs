//! Making the triggers of the log, table by table.

use std::{fmt, time::Duration};

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DatabaseConnection},
};

use super::{Trigger, armed, missing_triggers, triggers};
use crate::{begin_alone, end, patience::Patience};

/// The tenants that exist when the log begins have a revision too.
const FIRST: &str = "
    INSERT INTO entitlement_folded_changes (topic, tenant_id, changes)
    SELECT 'tenant', id, 0 FROM tenants
    WHERE NOT EXISTS (SELECT 1 FROM entitlement_folded_changes f WHERE f.tenant_id = tenants.id AND f.topic = 'tenant')
    ON CONFLICT DO NOTHING";

/// A table whose triggers were made. Displays as a line for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Armed {
    /// The table.
    pub table: &'static str,
    /// How many triggers were made.
    pub triggers: usize,
    /// How often the table was to be locked, until it was.
    pub attempts: u32,
    /// How long that took, with the pauses in between and the making.
    pub took: Duration,
}

impl fmt::Display for Armed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, triggers, attempts, took } = self;
        write!(
            f,
            "{table}: {triggers} triggers made in {} ms, attempts {attempts}",
            took.as_millis()
        )
    }
}

/// Makes the triggers that are missing, or not armed: a table that the ERP dropped and created again
/// has lost its own. A transaction locks one table, so it cannot deadlock with a writer.
pub(crate) async fn arm(
    db: &DatabaseConnection,
    frame: [&str; 2],
    lock_patience: Duration,
) -> Result<Vec<Armed>, DbErr> {
    let mut tables: Vec<&str> =
        triggers(db.get_database_backend()).iter().map(|trigger| trigger.table).collect();
    tables.dedup();
    let mut all = Vec::new();
    for table in tables {
        let mut patience = Patience::of(lock_patience);
        let made = loop {
            match arm_table(db, table, frame).await {
                Ok(made) => break made,
                Err(error) => patience.after(error, db).await?,
            }
        };
        let (attempts, took) = patience.spent();
        if made > 0 {
            all.push(Armed { table, triggers: made, attempts, took });
        }
    }
    let txn = begin_alone(db, frame).await?;
    txn.execute_unprepared(FIRST).await?;
    end(txn, frame).await?;
    Ok(all)
}

/// Gives how many triggers it has made.
async fn arm_table(db: &DatabaseConnection, table: &str, frame: [&str; 2]) -> Result<usize, DbErr> {
    let txn = begin_alone(db, frame).await?;
    let missing = missing_triggers(db.get_database_backend(), &armed(&txn).await?);
    let is_missing = |trigger: &Trigger| missing.iter().any(|one| one.name == trigger.name);
    let mut wanted = triggers(db.get_database_backend());
    wanted.retain(|trigger| trigger.table == table && is_missing(trigger));
    // In one message: the table is locked from the first on.
    let statements: Vec<&str> = wanted.iter().map(|trigger| trigger.create.as_str()).collect();
    if !wanted.is_empty() {
        txn.execute_unprepared(&statements.join(";\n")).await?;
    }
    end(txn, frame).await?;
    Ok(wanted.len())
}
