//! Rows of the log that another cluster has written, and that were restored here.

use std::time::{Duration, Instant};

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement},
};

use crate::{begin_alone, end};

/// Servers fold what is left.
const AT_MOST: Duration = Duration::from_secs(10);

/// Folds them before anybody writes, if their transactions are yet to come here: a writer whose
/// transaction has the number of one adds no row of its own, and so raises no revision.
pub(crate) async fn fold_restored(db: &DatabaseConnection, frame: [&str; 2]) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    if backend == DbBackend::Sqlite {
        return Ok(());
    }
    let step = "SELECT CASE WHEN EXISTS (SELECT FROM entitlement_changes
                                         WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()))
                       THEN entitlement_fold_step() END AS folded";
    let began = Instant::now();
    while began.elapsed() < AT_MOST {
        let txn = begin_alone(db, frame).await?;
        let row = txn.query_one_raw(Statement::from_string(backend, step)).await?;
        end(txn, frame).await?;
        let folded = row.map_or(Ok(None), |row| row.try_get::<Option<i64>>("", "folded"))?;
        if folded.unwrap_or_default() == 0 {
            break;
        }
    }
    Ok(())
}
