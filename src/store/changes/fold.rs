//! Folding old rows of the log.

use entitlementd_migration::fold_sqlite;

use crate::store::{StoreError, ask::Ask, database::Database, dialect::Dialect};

/// Folds old rows of the log into a number per tenant.
pub(in crate::store) async fn fold(database: &Database) -> Result<(), StoreError> {
    match database.dialect() {
        Dialect::Postgres => database.sql("SELECT entitlement_fold()", []).await.map(drop),
        Dialect::Sqlite => {
            let txn = database.begin_writing().await?;
            txn.execute(&fold_sqlite()).await?;
            txn.commit().await
        }
    }
}
