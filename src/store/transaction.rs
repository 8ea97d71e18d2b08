//! Transactions: for reading, and for writing.

use std::sync::{Arc, atomic::AtomicU64};

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, QueryResult, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait, Value,
};

use super::{
    StoreError,
    ask::Ask,
    database::{Database, MAX_ATTEMPTS},
    dialect::Dialect,
};

/// How long a lock on what is to be changed is waited for, whatever else a session allows.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '10s'";

/// A transaction. Dropping it rolls it back.
pub(super) struct Transaction {
    /// For statements of SeaORM.
    pub(super) inner: DatabaseTransaction,
    /// What it ends with: behind a pooler, a session must be left as it was found.
    last: &'static str,
    /// How often a lock was waited for a long time.
    pub(super) lock_waits: Arc<AtomicU64>,
}

impl Ask for Transaction {
    fn dialect(&self) -> Dialect {
        Dialect::of(&self.inner)
    }

    async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        Ok(self.inner.query_all_raw(statement).await?)
    }
}

impl Transaction {
    /// Runs SQL, which may be several statements. They are not prepared.
    pub(super) async fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.inner.execute_unprepared(sql).await?;
        Ok(())
    }

    /// Runs one statement, with values for `$1` and so on.
    pub(super) async fn execute_with(
        &self,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<(), StoreError> {
        self.inner.execute_raw(self.dialect().statement(sql, values)).await?;
        Ok(())
    }

    /// Makes what was written in it visible to others.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.execute(self.last).await?;
        Ok(self.inner.commit().await?)
    }

    /// Rolls it back.
    pub(super) async fn roll_back(self) -> Result<(), StoreError> {
        self.execute(self.last).await?;
        Ok(self.inner.rollback().await?)
    }
}

impl Database {
    /// Begins a transaction for reading, with statements that are not our own.
    pub(super) async fn visit(&self) -> Result<Transaction, StoreError> {
        self.begin("", TransactionOptions::default()).await
    }

    /// Begins a transaction for writing. On SQLite there is one at a time.
    ///
    /// If it loses its connection before it has begun, it is begun again: nothing was written.
    pub(super) async fn begin_writing(&self) -> Result<Transaction, StoreError> {
        let immediate = Some(SqliteTransactionMode::Immediate);
        let mut attempts = 1..MAX_ATTEMPTS;
        loop {
            let options = TransactionOptions {
                sqlite_transaction_mode: immediate,
                ..TransactionOptions::default()
            };
            let settings = format!("{}; {LOCK_TIMEOUT}", self.settings());
            match self.begin(&settings, options).await {
                Err(error) if error.lost_connection() && attempts.next().is_some() => {
                    tracing::debug!(%error, "a connection was lost: retrying on another one");
                }
                begun => return begun,
            }
        }
    }

    async fn begin(
        &self,
        settings: &str,
        options: TransactionOptions,
    ) -> Result<Transaction, StoreError> {
        let (connection, [first, last]) = self.for_migrating();
        let inner = connection.begin_with_options(options).await?;
        // The first statement is the one that notices a dead connection.
        let first = format!("{first}; {settings}");
        let first = if self.dialect().has_concurrent_writers() { &first } else { "" };
        inner.execute_unprepared(first).await?;
        Ok(Transaction { inner, last, lock_waits: Arc::clone(&self.lock_waits) })
    }
}
