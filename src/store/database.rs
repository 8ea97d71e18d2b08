//! Running statements, whatever pooler is between this process and the database.

use std::sync::{Arc, atomic::AtomicU64};

use futures_util::{Stream, TryStreamExt};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::{
    AssertSqlSafe, Connection, Either, PgConnection,
    postgres::{PgQueryResult, PgRow},
};

use tracing::{Instrument, Span};

use super::{
    StoreError,
    ask::{self, Ask},
    dialect::Dialect,
    pool::{Pool, Purpose},
    retries::Retries,
};

/// An open database, for a purpose.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) server: Server,
    pub(super) purpose: Purpose,
    /// Behind a transaction pooler: what each transaction sets first.
    pub(super) set_local: Option<String>,
    /// How often a transaction waited a long time for an advisory lock.
    pub(super) lock_waits: Arc<AtomicU64>,
}

/// What keeps the database. Clones share its connections.
#[derive(Clone, Debug)]
pub(super) enum Server {
    Sqlite(DatabaseConnection),
    Postgres(Pool),
}

impl Database {
    /// A SQLite database.
    pub(super) fn sqlite(connection: DatabaseConnection) -> Self {
        Self::of(Server::Sqlite(connection), None)
    }

    /// A PostgreSQL database with sessions of our own.
    pub(super) fn direct(pool: Pool) -> Self {
        Self::of(Server::Postgres(pool), None)
    }

    /// A PostgreSQL database behind a pooler without sessions. Reads use the simple protocol, with
    /// values in the text: one message is one transaction, prepares nothing, and so cannot conflict
    /// with another client's statement.
    pub(super) fn through_transaction_pooler(pool: Pool, set_local: String) -> Self {
        Self::of(Server::Postgres(pool), Some(set_local))
    }

    fn of(server: Server, set_local: Option<String>) -> Self {
        Self { server, purpose: Purpose::Loading, set_local, lock_waits: Arc::default() }
    }

    /// The same database, and the same connections, for another purpose.
    pub(super) fn to(&self, purpose: Purpose) -> Self {
        Self { purpose, ..self.clone() }
    }

    /// The same, for statements that are asked once: a message each, where a prepared one takes two.
    pub(super) fn unprepared(&self) -> Self {
        Self { set_local: Some(self.settings().to_owned()), ..self.clone() }
    }

    /// Closes every connection, once those in use have been returned.
    pub(super) async fn close(&self) {
        match &self.server {
            Server::Postgres(pool) => pool.close().await,
            Server::Sqlite(connection) => {
                if let Err(error) = connection.clone().close().await {
                    tracing::warn!(%error, "a database pool did not close cleanly");
                }
            }
        }
    }

    /// The numbers of connections, and of idle ones among them.
    pub(super) fn connections(&self) -> [usize; 2] {
        match &self.server {
            Server::Postgres(pool) => pool.counts(),
            Server::Sqlite(connection) => {
                let pool = connection.get_sqlite_connection_pool();
                [pool.size() as usize, pool.num_idle()]
            }
        }
    }

    /// How many connections the server has refused since there are too many.
    pub(super) fn refused_connections(&self) -> u64 {
        self.postgres().map_or(0, Pool::refused)
    }

    /// The connections; `None` on SQLite.
    pub(super) fn postgres(&self) -> Option<&Pool> {
        match &self.server {
            Server::Postgres(pool) => Some(pool),
            Server::Sqlite(_) => None,
        }
    }

    /// What a transaction sets first; empty if its session has it set.
    pub(super) fn settings(&self) -> &str {
        self.set_local.as_deref().unwrap_or_default()
    }

    /// The span of a statement, in the trace of its request, if there is one. Its text contains no
    /// values.
    fn span(&self, statement: &Statement) -> Span {
        if Span::current().is_none() {
            return Span::none();
        }
        tracing::info_span!(
            target: "traced",
            "query",
            otel.kind = "client",
            db.system.name = self.dialect().name(),
            db.query.text = statement.sql,
        )
    }

    async fn query_once(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        let pool = match &self.server {
            Server::Postgres(pool) => pool,
            Server::Sqlite(connection) => return Ok(connection.query_all_raw(statement).await?),
        };
        let mut lease = pool.acquire(self.purpose).await?;
        let pending = pool.health().sending();
        lease.sends();
        let rows = match &self.set_local {
            Some(set_local) => {
                let text = AssertSqlSafe(format!("{set_local}{statement}"));
                sqlx::raw_sql(text).fetch_all(&mut *lease).await
            }
            None => match fetch(&mut lease, statement.clone()).await {
                Err(error) if is_out_of_date(&error) => {
                    lease.clear_cached_statements().await.map_err(StoreError::of_driver)?;
                    fetch(&mut lease, statement).await
                }
                rows => rows,
            },
        };
        pending.answered();
        lease.answered(&rows);
        Ok(rows.map_err(StoreError::of_driver)?.into_iter().map(QueryResult::from).collect())
    }
}

impl Database {
    /// Runs statements in one message, which is one transaction.
    async fn message_once(
        &self,
        pool: &Pool,
        text: &str,
        count: usize,
    ) -> Result<Vec<Vec<QueryResult>>, StoreError> {
        let text = AssertSqlSafe(format!("{}{text}", self.settings()));
        let mut lease = pool.acquire(self.purpose).await?;
        let pending = pool.health().sending();
        lease.sends();
        let found = results(sqlx::raw_sql(text).fetch_many(&mut *lease)).await;
        pending.answered();
        lease.answered(&found);
        let mut found = found.map_err(StoreError::of_driver)?;
        // Those before are of the settings.
        Ok(found.split_off(found.len().saturating_sub(count)))
    }
}

/// The rows of each statement of a message.
pub(super) async fn results(
    mut answers: impl Stream<Item = sqlx::Result<Either<PgQueryResult, PgRow>>> + Unpin,
) -> sqlx::Result<Vec<Vec<QueryResult>>> {
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    while let Some(answer) = answers.try_next().await? {
        match answer {
            Either::Left(_) => all.push(std::mem::take(&mut rows)),
            Either::Right(row) => rows.push(row.into()),
        }
    }
    Ok(all)
}

impl Ask for Database {
    fn dialect(&self) -> Dialect {
        match self.server {
            Server::Sqlite(_) => Dialect::Sqlite,
            Server::Postgres(_) => Dialect::Postgres,
        }
    }

    async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        let mut retries = Retries::default();
        loop {
            let span = self.span(&statement);
            match self.query_once(statement.clone()).instrument(span).await {
                Err(error) if retries.allow(&error) => {}
                answer => return answer,
            }
        }
    }

    async fn query_each(
        &self,
        statements: Vec<Statement>,
    ) -> Result<Vec<Vec<QueryResult>>, StoreError> {
        let Server::Postgres(pool) = &self.server else {
            return ask::one_by_one(self, statements).await;
        };
        let all: Vec<String> = statements.iter().map(ToString::to_string).collect();
        let text = all.join("; ");
        let mut retries = Retries::default();
        loop {
            let span = statements.first().map_or_else(Span::none, |first| self.span(first));
            let asking = self.message_once(pool, &text, statements.len());
            match asking.instrument(span).await {
                Err(error) if retries.allow(&error) => {}
                answer => return answer,
            }
        }
    }
}

async fn fetch(
    connection: &mut PgConnection,
    Statement { sql, values, .. }: Statement,
) -> sqlx::Result<Vec<PgRow>> {
    let values = SqlxValues(values.unwrap_or(Values(Vec::new())));
    sqlx::query_with(AssertSqlSafe(sql), values).fetch_all(connection).await
}

/// Was the statement prepared before the type of one of its result columns changed? It then fails
/// as long as it stays prepared. PostgreSQL has no separate code for that.
fn is_out_of_date(error: &sqlx::Error) -> bool {
    const FEATURE_NOT_SUPPORTED: &str = "0A000";
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some(FEATURE_NOT_SUPPORTED)
            && error.message() == "cached plan must not change result type"
    })
}
