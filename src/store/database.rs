//! Running statements, whatever pooler is between this process and the database.

use std::sync::{Arc, atomic::AtomicU64};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, QueryResult, SqlxPostgresConnector, Statement, Values,
};
use sea_query_sqlx::SqlxValues;
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    postgres::{PgPoolOptions, PgRow},
};

use tracing::{Instrument, Span};

use super::{
    StoreError,
    ask::Ask,
    dialect::Dialect,
    idle_health::IdleHealth,
    pooled_connection::{InUse, PooledConnection},
};

/// How often a read that lost its connection is retried on another one: a restarted server leaves a
/// pool full of dead connections, and each one is dropped when it is used.
pub(super) const MAX_ATTEMPTS: u32 = 20;

/// An open database.
#[derive(Clone, Debug)]
pub(super) struct Database {
    /// For everything except reads behind a transaction pooler.
    pub(super) connection: DatabaseConnection,
    /// Behind a transaction pooler: what each transaction sets first.
    set_local: Option<String>,
    /// The health of the pool's connections, if it is PostgreSQL's.
    health: IdleHealth,
    in_use: InUse,
    /// How often a transaction waited a long time for an advisory lock.
    pub(super) lock_waits: Arc<AtomicU64>,
}

impl Database {
    /// A SQLite database.
    pub(super) fn sqlite(connection: DatabaseConnection) -> Self {
        Self {
            connection,
            set_local: None,
            health: IdleHealth::default(),
            in_use: InUse::default(),
            lock_waits: Arc::default(),
        }
    }

    /// A PostgreSQL database with sessions of our own.
    pub(super) fn direct(pool: PgPool, health: IdleHealth) -> Self {
        let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        Self {
            connection,
            set_local: None,
            health,
            in_use: InUse::default(),
            lock_waits: Arc::default(),
        }
    }

    /// A PostgreSQL database behind a pooler without sessions. Everything uses the simple protocol,
    /// with values in the text: one message is one transaction, prepares nothing, and so cannot
    /// conflict with another client's statement.
    pub(super) fn through_transaction_pooler(
        pool: PgPool,
        health: IdleHealth,
        set_local: String,
    ) -> Self {
        Self { set_local: Some(set_local), ..Self::direct(pool, health) }
    }

    /// The same, for statements that are asked once: a message each, where a prepared one takes two.
    pub(super) fn unprepared(&self) -> Self {
        Self { set_local: Some(self.settings().to_owned()), ..self.clone() }
    }

    /// Closes every connection, once those in use have been returned.
    pub(super) async fn close(&self) {
        if let Err(error) = self.connection.clone().close().await {
            tracing::warn!(%error, "a database pool did not close cleanly");
        }
    }

    /// The numbers of connections, and of idle ones among them.
    pub(super) fn connections(&self) -> [usize; 2] {
        if let Some(pool) = self.postgres() {
            return [pool.size() as usize, pool.num_idle()];
        }
        let pool = self.connection.get_sqlite_connection_pool();
        [pool.size() as usize, pool.num_idle()]
    }

    /// The pool itself; `None` on SQLite.
    pub(super) fn postgres(&self) -> Option<&PgPool> {
        (self.dialect() == Dialect::Postgres)
            .then(|| self.connection.get_postgres_connection_pool())
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

    /// A connection for sea-orm-migration, which prepares its statements, and what its transaction
    /// must begin and end with. Behind a transaction pooler it is a separate connection: what it
    /// remembers as prepared is gone after the transaction.
    pub(super) fn for_migrating(&self) -> (DatabaseConnection, [&'static str; 2]) {
        let (Some(_), Some(pool)) = (&self.set_local, self.postgres()) else {
            return (self.connection.clone(), ["", ""]);
        };
        let own = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with((*pool.connect_options()).clone());
        let first = "DEALLOCATE ALL; SET LOCAL search_path = public";
        (SqlxPostgresConnector::from_sqlx_postgres_pool(own), [first, "DEALLOCATE ALL"])
    }

    async fn query_once(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        let Some(pool) = self.postgres() else {
            return Ok(self.connection.query_all_raw(statement).await?);
        };
        let mut connection = PooledConnection::acquire(pool, &self.health, &self.in_use).await?;
        let pending = self.health.sending();
        let rows = match &self.set_local {
            Some(set_local) => {
                let text = AssertSqlSafe(format!("{set_local}{statement}"));
                sqlx::raw_sql(text).fetch_all(&mut *connection).await
            }
            None => match fetch(&mut connection, statement.clone()).await {
                Err(error) if is_out_of_date(&error) => {
                    connection.clear_cached_statements().await.map_err(StoreError::of_driver)?;
                    fetch(&mut connection, statement).await
                }
                rows => rows,
            },
        };
        pending.answered();
        Ok(rows.map_err(StoreError::of_driver)?.into_iter().map(QueryResult::from).collect())
    }
}

impl Ask for Database {
    fn dialect(&self) -> Dialect {
        Dialect::of(&self.connection)
    }

    async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        let mut attempts = 1..MAX_ATTEMPTS;
        loop {
            let span = self.span(&statement);
            match self.query_once(statement.clone()).instrument(span).await {
                Err(error) if error.lost_connection() && attempts.next().is_some() => {
                    tracing::debug!(%error, "a connection was lost: retrying on another one");
                }
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
