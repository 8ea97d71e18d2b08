//! Hearing of changes as they are committed.

use std::time::{Duration, Instant};

use entitlementd_migration::CHANNEL;
use sea_orm::QueryResult;
use sqlx::{
    AssertSqlSafe, Executor,
    postgres::{PgListener, PgPoolOptions},
};
use uuid::Uuid;

use super::{
    Announcement,
    poll::{Poll, Position, statement},
};
use crate::store::{Store, StoreError, loan::Doubt};

/// How long PostgreSQL may take to open the connection, and to send us our own greeting.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection on which PostgreSQL tells of changes.
pub struct Listener {
    connection: PgListener,
    /// An announcement that came in between.
    early: Vec<Announcement>,
    /// About the pools' connections: where this one falls silent, they may be dead too.
    doubt: Doubt,
}

impl Store {
    /// Begins to listen: on a connection of its own, since a pool's connections come and go.
    ///
    /// Sends itself a greeting and waits for it: a transaction pooler takes LISTEN without complaint, and never tells
    /// anything.
    pub async fn listen(&self) -> Result<Listener, StoreError> {
        tokio::time::timeout(PATIENCE, self.begin_to_listen()).await.unwrap_or(Err(StoreError::TimedOut))
    }

    async fn begin_to_listen(&self) -> Result<Listener, StoreError> {
        let options = self.listen_options.clone().ok_or(StoreError::Abandoned)?;
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.acquire_timeout(PATIENCE).connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await.map_err(StoreError::of_driver)?;
        listener.listen(CHANNEL).await.map_err(StoreError::of_driver)?;
        let greeting = format!("hello {}", Uuid::new_v4());
        let greet = AssertSqlSafe(format!("NOTIFY {CHANNEL}, '{greeting}'"));
        listener.execute(sqlx::raw_sql(greet)).await.map_err(StoreError::of_driver)?;
        let mut early = Vec::new();
        loop {
            match next_payload(&mut listener).await? {
                payload if payload == greeting => {
                    return Ok(Listener { connection: listener, early, doubt: self.doubt.clone() });
                }
                payload => early.extend(read(&payload)),
            }
        }
    }
}

impl Listener {
    /// Waits for the next announcement. May be dropped while it waits: nothing is lost.
    ///
    /// An error is the end of this listener: what was announced meanwhile is only in the log.
    pub async fn next(&mut self) -> Result<Announcement, StoreError> {
        loop {
            if let Some(early) = self.early.pop() {
                return Ok(early);
            }
            let payload = next_payload(&mut self.connection).await?;
            self.early.extend(read(&payload));
        }
    }

    /// Reads the log on the same connection: proof that it is alive, and that nothing was missed.
    pub async fn poll(&mut self, since: Option<&Position>) -> Result<Poll, StoreError> {
        let taken = Instant::now();
        let query = sqlx::raw_sql(AssertSqlSafe(statement(since)));
        let asking = self.doubt.while_asking();
        let rows = self.connection.fetch_all(query).await;
        asking.end();
        let rows: Vec<QueryResult> = rows.map_err(StoreError::of_driver)?.into_iter().map(QueryResult::from).collect();
        Poll::of(&rows, since, taken)
    }
}

/// `None` of the driver is a connection that was lost; it would go on with a new one, and never tell what it missed.
async fn next_payload(listener: &mut PgListener) -> Result<String, StoreError> {
    let notice = listener.try_recv().await.map_err(StoreError::of_driver)?;
    notice.map(|notice| notice.payload().to_owned()).ok_or(StoreError::Abandoned)
}

/// `TOPIC TRANSACTION [TENANT]`. Another instance's greeting is none.
fn read(payload: &str) -> Option<Announcement> {
    let mut words = payload.split(' ');
    let (topic, transaction, tenant) = (words.next()?, words.next()?, words.next());
    let transaction = transaction.parse().ok()?;
    Some(Announcement::of(topic, tenant.and_then(|id| Uuid::try_parse(id).ok()), transaction))
}
