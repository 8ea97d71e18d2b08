//! Receiving notices of changes as they are committed.

use entitlementd_migration::CHANNEL;
use sea_orm::{DbErr, QueryResult};
use sqlx::{
    AssertSqlSafe, Executor,
    postgres::{PgListener, PgPoolOptions},
};
use uuid::Uuid;

use super::poll::{Poll, Position, statement};
use crate::store::{Durations, Store, StoreError, dialect::Dialect, idle_health::IdleHealth};

/// A connection on which PostgreSQL notifies of changes.
pub struct Listener {
    connection: PgListener,
    /// That of the pools' connections: if this one falls silent, they may be dead too.
    health: IdleHealth,
}

impl Store {
    /// Begins to listen, on a separate connection, since a pool's connections come and go.
    ///
    /// Sends itself a greeting and waits for it: a transaction pooler takes LISTEN without
    /// complaint, and never notifies.
    pub async fn listen(&self) -> Result<Listener, StoreError> {
        let Durations { connect, start, .. } = self.durations;
        tokio::time::timeout(connect + start, self.begin_to_listen())
            .await
            .unwrap_or(Err(StoreError::TimedOut))
    }

    async fn begin_to_listen(&self) -> Result<Listener, StoreError> {
        let options = self
            .listen_options
            .clone()
            .ok_or_else(|| DbErr::Custom("it announces no changes".into()))?;
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.acquire_timeout(self.durations.connect).connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await.map_err(StoreError::of_driver)?;
        listener.listen(CHANNEL).await.map_err(StoreError::of_driver)?;
        let greeting = format!("hello {}", Uuid::new_v4());
        let greet = AssertSqlSafe(format!("NOTIFY {CHANNEL}, '{greeting}'"));
        listener.execute(sqlx::raw_sql(greet)).await.map_err(StoreError::of_driver)?;
        // Anything else that arrives meanwhile is in the log, which is read next.
        while next_payload(&mut listener).await? != greeting {}
        Ok(Listener { connection: listener, health: self.health.clone() })
    }
}

impl Listener {
    /// Waits for a notification, and takes those that arrived with it. Cancel-safe: nothing is lost
    /// if it is dropped while it waits.
    ///
    /// The contents of a notification are ignored: anybody who can log in may send one. An error
    /// ends this listener: what was announced meanwhile is only in the log.
    pub async fn hint(&mut self) -> Result<(), StoreError> {
        next_payload(&mut self.connection).await?;
        while self.connection.next_buffered().is_some() {}
        Ok(())
    }

    /// Reads the log on the same connection: proof that it is alive, and that nothing was missed.
    pub async fn poll(&mut self, since: Option<&Position>) -> Result<Poll, StoreError> {
        let query = sqlx::raw_sql(AssertSqlSafe(statement(Dialect::Postgres, since)));
        let pending = self.health.sending();
        let rows = self.connection.fetch_all(query).await;
        pending.answered();
        let rows: Vec<QueryResult> =
            rows.map_err(StoreError::of_driver)?.into_iter().map(QueryResult::from).collect();
        Poll::of(&rows, since)
    }
}

/// `None` from the driver means that the connection was lost; the driver would go on with a new
/// one, without reporting what was missed.
async fn next_payload(listener: &mut PgListener) -> Result<String, StoreError> {
    let notice = listener.try_recv().await.map_err(StoreError::of_driver)?;
    notice.map(|notice| notice.payload().to_owned()).ok_or(StoreError::ListenerLost)
}
