//! Folding old rows of the log.

use entitlementd_migration::fold_sqlite;

use crate::store::{StoreError, ask::Ask, database::Database, dialect::Dialect, row};

/// What a step of folding came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FoldStep {
    /// So many rows were folded, and there may be more.
    Folded(u64),
    /// Nothing is left that is old enough.
    Done,
    /// Somebody else is folding.
    OthersTurn,
}

/// Folds some old rows of the log into a number per tenant.
pub(in crate::store) async fn fold(database: &Database) -> Result<FoldStep, StoreError> {
    let folded = match database.dialect() {
        Dialect::Postgres => {
            let rows =
                database.unprepared().sql("SELECT entitlement_fold_step() AS folded", []).await?;
            row::first(&rows)?.try_get::<Option<i64>>("", "folded")?
        }
        Dialect::Sqlite => {
            let txn = database.begin_writing().await?;
            txn.execute(&fold_sqlite()).await?;
            let rows = txn.sql("SELECT changes() AS folded", []).await?;
            let folded = row::first(&rows)?.try_get("", "folded")?;
            txn.commit().await?;
            Some(folded)
        }
    };
    Ok(match folded.map(|rows| u64::try_from(rows).unwrap_or_default()) {
        None => FoldStep::OthersTurn,
        Some(0) => FoldStep::Done,
        Some(rows) => FoldStep::Folded(rows),
    })
}
