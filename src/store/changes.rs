//! The news of changes: read from the log, or heard from PostgreSQL.

mod listen;
mod poll;

use entitlementd_migration::{fold_sqlite, topic};
use sea_orm::{ConnectionTrait, DbBackend, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait};
use uuid::Uuid;

pub use self::{
    listen::Listener,
    poll::{News, Poll, Position},
};
use super::{StoreError, database::Database};
use crate::domain::TenantId;

/// Folds what is old in the log.
pub(super) async fn fold(database: &Database) -> Result<(), StoreError> {
    if database.backend() == DbBackend::Postgres {
        let fold = Statement::from_string(DbBackend::Postgres, "SELECT entitlement_fold()");
        return database.query(fold).await.map(|_| ());
    }
    let immediate = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = database.connection.begin_with_options(immediate).await?;
    transaction.execute_unprepared(&fold_sqlite()).await?;
    Ok(transaction.commit().await?)
}

/// What is no longer what it was.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Change {
    /// One tenant's facts.
    Tenant(TenantId),
    /// Every tenant's facts: a table was truncated, or a transaction has touched more tenants than are told by name.
    Tenants,
    /// Which tenants there are, and their subdomains.
    Directory,
    /// Modules and plans.
    Catalogue,
}

impl Change {
    /// A word that is not known comes from a newer trigger: it may mean anything, so it means everything.
    fn of(topic: &str, tenant: Option<Uuid>) -> Self {
        match (topic, tenant) {
            (topic::TENANT, Some(id)) => Self::Tenant(id.into()),
            (topic::DIRECTORY, _) => Self::Directory,
            (topic::CATALOGUE, _) => Self::Catalogue,
            _ => Self::Tenants,
        }
    }
}
