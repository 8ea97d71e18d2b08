//! Transactions: for reading, and for writing.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait, Value, Values,
    prelude::async_trait::async_trait,
};
use sea_query_sqlx::SqlxValues;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::Mutex;

use super::{
    StoreError,
    ask::{self, Ask},
    database::{Database, Server, results},
    dialect::Dialect,
    pool::Lease,
    retries::Retries,
};

/// How long a lock on what is to be changed is waited for, whatever else a session allows.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '10s'";

/// How long a statement may take beside waiting for a lock, which may be two waits: for whoever has
/// it, and for who was there before.
const STATEMENT: Duration = Duration::from_millis(1_500);

/// A transaction. Dropping it rolls it back.
pub(super) struct Transaction {
    /// For statements of SeaORM.
    pub(super) inner: Inner,
    /// How often a lock was waited for a long time.
    pub(super) lock_waits: Arc<AtomicU64>,
}

/// The connection of a transaction.
pub(super) enum Inner {
    Sqlite(sea_orm::DatabaseTransaction),
    Postgres(Mutex<Lease>),
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

    /// Runs SQL that is not ours. It may change settings for longer than the transaction, so the
    /// connection is not used again.
    pub(super) async fn execute_foreign(&self, sql: &str) -> Result<(), DbErr> {
        if let Inner::Postgres(lease) = &self.inner {
            lease.lock().await.retire();
        }
        self.inner.execute_unprepared(sql).await.map(drop)
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

    /// Runs statements, and makes what was written visible to others: in one message, where the
    /// database is a server.
    pub(super) async fn commit_with(self, statements: Vec<Statement>) -> Result<(), StoreError> {
        match self.inner {
            Inner::Sqlite(ref inner) => {
                for statement in statements {
                    inner.execute_raw(statement).await?;
                }
                self.commit().await
            }
            Inner::Postgres(lease) => {
                let texts = statements.iter().map(ToString::to_string);
                let text = texts.chain(["COMMIT".to_owned()]).collect::<Vec<_>>().join("; ");
                end(lease.into_inner(), text).await
            }
        }
    }

    /// Makes what was written in it visible to others.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self.inner {
            Inner::Sqlite(inner) => Ok(inner.commit().await?),
            Inner::Postgres(lease) => end(lease.into_inner(), "COMMIT").await,
        }
    }

    /// Rolls it back.
    pub(super) async fn roll_back(self) -> Result<(), StoreError> {
        match self.inner {
            Inner::Sqlite(inner) => Ok(inner.rollback().await?),
            Inner::Postgres(lease) => end(lease.into_inner(), "ROLLBACK").await,
        }
    }
}

/// Sends what ends a transaction, and perhaps runs something before.
async fn end(mut lease: Lease, text: impl Into<String>) -> Result<(), StoreError> {
    let ended = lease.execute(sqlx::raw_sql(AssertSqlSafe(text.into()))).await;
    if ended.is_ok() {
        lease.ends_transaction();
    }
    lease.answered(&ended);
    ended.map(drop).map_err(StoreError::of_driver)
}

impl Database {
    /// Begins a transaction for reading, with statements that are not our own.
    pub(super) async fn visit(&self) -> Result<Transaction, StoreError> {
        self.begin(self.settings(), TransactionOptions::default()).await
    }

    /// Begins a transaction for writing. On SQLite there is one at a time.
    ///
    /// If it loses its connection before it has begun, it is begun again: nothing was written.
    pub(super) async fn begin_writing(&self) -> Result<Transaction, StoreError> {
        let immediate = Some(SqliteTransactionMode::Immediate);
        let mut retries = Retries::default();
        loop {
            let options = TransactionOptions {
                sqlite_transaction_mode: immediate,
                ..TransactionOptions::default()
            };
            let settings = format!("{}{LOCK_TIMEOUT}", self.settings());
            match self.begin(&settings, options).await {
                Err(error) if retries.allow(&error) => {}
                begun => return begun,
            }
        }
    }

    /// Begins a transaction for writing, and asks in the same message, where the database is a server:
    /// gives the rows of each statement. A lock is waited for as long as `lock_wait` says, and what is
    /// locked is let go of if nothing is heard for some seconds.
    ///
    /// If it loses its connection, it is begun again: nothing was written that counts.
    pub(super) async fn begin_asking(
        &self,
        lock_wait: Duration,
        statements: &[Statement],
    ) -> Result<(Transaction, Vec<Vec<QueryResult>>), StoreError> {
        let mut retries = Retries::default();
        loop {
            match self.begin_asking_once(lock_wait, statements).await {
                Err(error) if retries.allow(&error) => {}
                begun => return begun,
            }
        }
    }

    /// Runs a statement in a transaction of its own: in one message, where the database is a server.
    ///
    /// If it loses its connection, it may have been done or not.
    pub(super) async fn run_at_once(
        &self,
        lock_wait: Duration,
        statement: Statement,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let Server::Postgres(pool) = &self.server else {
            let (txn, mut rows) = self.begin_asking(lock_wait, &[statement]).await?;
            txn.commit().await?;
            return Ok(rows.pop().unwrap_or_default());
        };
        let mut lease = pool.acquire(self.purpose).await?;
        lease.begins_transaction();
        let text = format!("{}; {statement}; COMMIT", self.begin_text(lock_wait));
        let found = results(sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(&mut *lease)).await;
        if found.is_ok() {
            lease.ends_transaction();
        }
        lease.answered(&found);
        let mut found = found.map_err(StoreError::of_driver)?;
        // The last is of the commit.
        found.pop();
        Ok(found.pop().unwrap_or_default())
    }

    fn begin_text(&self, lock_wait: Duration) -> String {
        format!(
            "BEGIN; {}SET LOCAL lock_timeout = '{}ms'; SET LOCAL statement_timeout = '{}ms'; \
             SET LOCAL idle_in_transaction_session_timeout = '5s'",
            self.settings(),
            lock_wait.as_millis(),
            (2 * lock_wait + STATEMENT).as_millis()
        )
    }

    async fn begin_asking_once(
        &self,
        lock_wait: Duration,
        statements: &[Statement],
    ) -> Result<(Transaction, Vec<Vec<QueryResult>>), StoreError> {
        let Server::Postgres(pool) = &self.server else {
            let txn = self.begin_writing().await?;
            let rows = ask::one_by_one(&txn, statements.to_vec()).await?;
            return Ok((txn, rows));
        };
        let mut lease = pool.acquire(self.purpose).await?;
        lease.begins_transaction();
        let texts = statements.iter().map(ToString::to_string);
        let begin = self.begin_text(lock_wait);
        let text = [begin].into_iter().chain(texts).collect::<Vec<_>>().join("; ");
        let found = results(sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(&mut *lease)).await;
        lease.answered(&found);
        let mut found = found.map_err(StoreError::of_driver)?;
        // Those before are of the settings.
        let rows = found.split_off(found.len().saturating_sub(statements.len()));
        let inner = Inner::Postgres(Mutex::new(lease));
        Ok((Transaction { inner, lock_waits: Arc::clone(&self.lock_waits) }, rows))
    }

    async fn begin(
        &self,
        settings: &str,
        options: TransactionOptions,
    ) -> Result<Transaction, StoreError> {
        let inner = match &self.server {
            Server::Sqlite(connection) => {
                Inner::Sqlite(connection.begin_with_options(options).await?)
            }
            Server::Postgres(pool) => {
                let mut lease = pool.acquire(self.purpose).await?;
                let begun = begin_on(&mut lease, settings).await;
                lease.answered(&begun);
                begun.map_err(StoreError::of_driver)?;
                Inner::Postgres(Mutex::new(lease))
            }
        };
        Ok(Transaction { inner, lock_waits: Arc::clone(&self.lock_waits) })
    }
}

/// Begins a transaction. What loads have prepared on the connection goes: a statement that was
/// prepared before a column's type was changed would fail the whole transaction.
async fn begin_on(lease: &mut Lease, settings: &str) -> sqlx::Result<()> {
    lease.begins_transaction();
    if lease.cached_statements_size() > 0 {
        lease.clear_cached_statements().await?;
    }
    let begin = AssertSqlSafe(format!("BEGIN; {settings}"));
    lease.execute(sqlx::raw_sql(begin)).await.map(drop)
}

/// Statements are prepared without a name, and so for once: whoever has the connection next finds
/// it as it was.
macro_rules! run {
    ($lease:expr, $statement:expr, $how:ident, $error:ident) => {{
        let Statement { sql, values, .. } = $statement;
        let values = SqlxValues(values.unwrap_or(Values(Vec::new())));
        let query = sqlx::query_with(AssertSqlSafe(sql), values).persistent(false);
        let mut lease = $lease.lock().await;
        let answer = query.$how(&mut **lease).await;
        lease.answered(&answer);
        answer.map_err(|error| DbErr::$error(RuntimeErr::SqlxError(Arc::new(error))))
    }};
}

#[async_trait]
impl ConnectionTrait for Inner {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(inner) => inner.get_database_backend(),
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(inner) => inner.execute_raw(statement).await,
            Self::Postgres(lease) => run!(lease, statement, execute, Exec).map(Into::into),
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(inner) => inner.execute_unprepared(sql).await,
            Self::Postgres(lease) => {
                let mut lease = lease.lock().await;
                let sql = AssertSqlSafe(sql.to_owned());
                let answer = lease.execute(sqlx::raw_sql(sql)).await;
                lease.answered(&answer);
                let error = |error| DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)));
                answer.map(Into::into).map_err(error)
            }
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(inner) => inner.query_one_raw(statement).await,
            Self::Postgres(lease) => {
                run!(lease, statement, fetch_optional, Query).map(|row| row.map(QueryResult::from))
            }
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(inner) => inner.query_all_raw(statement).await,
            Self::Postgres(lease) => run!(lease, statement, fetch_all, Query)
                .map(|rows| rows.into_iter().map(QueryResult::from).collect()),
        }
    }
}
