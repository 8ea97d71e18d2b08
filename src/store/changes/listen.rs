//! Receiving notices of changes as they are committed.

use std::time::Duration;

use entitlementd_migration::CHANNEL;
use sea_orm::{DbErr, QueryResult};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{runtime::Handle, time::timeout};
use uuid::Uuid;

use super::poll::{Poll, Position, statement};
use crate::store::{
    Durations, Store, StoreError,
    addresses::ListensAt,
    dialect::Dialect,
    own_connection::beginning_with,
    pool::{Place, Pool},
};

/// A server that is gone says nothing.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// A connection on which PostgreSQL notifies of changes.
pub struct Listener {
    connection: PgListener,
    own: OwnPool,
}

/// The pool of one connection that the driver listens with, and its place among the others; `None`: it
/// is beside them, for a moment.
struct OwnPool {
    pool: PgPool,
    place: Option<Place>,
    all: Pool,
}

impl Store {
    /// Begins to listen, on a separate connection, since a pool's connections come and go.
    ///
    /// Sends itself a greeting and waits for it: a transaction pooler takes LISTEN without
    /// complaint, and never notifies.
    pub async fn listen(&self) -> Result<Listener, StoreError> {
        let Some(all) = self.watched.postgres() else { return Err(announces_nothing()) };
        let listening = async {
            let at = match self.listens_at() {
                ListensAt::Nowhere => return Err(announces_nothing()),
                ListensAt::TheDatabase => None,
                ListensAt::Apart(options) => Some(*options),
            };
            let place = Some(all.place_to_listen().await?);
            match at {
                None => begin_to_listen(all, place, all.options(), self.durations.connect).await,
                Some(options) => self.listen_apart(all, place, options).await,
            }
        };
        self.in_time_to_listen(listening).await
    }

    /// Can changes be listened to at this address? It is tried on a connection beside the others,
    /// of which somebody is listening.
    pub(in crate::store) async fn try_to_listen_by(
        &self,
        options: PgConnectOptions,
    ) -> Result<(), StoreError> {
        let Some(all) = self.watched.postgres() else { return Err(announces_nothing()) };
        let tried = self.in_time_to_listen(self.listen_apart(all, None, options)).await;
        tried.map(drop)
    }

    /// Begins to listen at an address of its own.
    async fn listen_apart(
        &self,
        all: &Pool,
        place: Option<Place>,
        options: PgConnectOptions,
    ) -> Result<Listener, StoreError> {
        let mut listener = begin_to_listen(all, place, options, self.durations.connect).await?;
        let (there, here) = (listener.poll(None).await?, self.poll(None).await?);
        // A database that has moved is followed at one address after the other. What is heard of
        // the one that is left would vouch for nothing.
        let is_the_same = there.position.is_of_the_history_of(&here.position);
        is_the_same.then_some(listener).ok_or(StoreError::ListensElsewhere)
    }

    async fn in_time_to_listen(
        &self,
        listening: impl Future<Output = Result<Listener, StoreError>>,
    ) -> Result<Listener, StoreError> {
        let Durations { connect, start, .. } = self.durations;
        timeout(connect + start, listening).await.unwrap_or(Err(StoreError::TimedOut))
    }
}

fn announces_nothing() -> StoreError {
    DbErr::Custom("it announces no changes".into()).into()
}

async fn begin_to_listen(
    all: &Pool,
    place: Option<Place>,
    options: PgConnectOptions,
    at_most: Duration,
) -> Result<Listener, StoreError> {
    let pool = beginning_with(PgPoolOptions::new(), all.first()).max_connections(1);
    let options = options.application_name("entitlementd feed");
    let pool = pool.acquire_timeout(at_most).connect_lazy_with(options);
    let own = OwnPool { pool, place, all: all.clone() };
    let mut listener = own.listener().await?;
    listener.listen(CHANNEL).await.map_err(StoreError::of_driver)?;
    let greeting = format!("hello {}", Uuid::new_v4());
    let greet = AssertSqlSafe(format!("NOTIFY {CHANNEL}, '{greeting}'"));
    listener.execute(sqlx::raw_sql(greet)).await.map_err(StoreError::of_driver)?;
    // Anything else that arrives meanwhile is in the log, which is read next.
    while next_payload(&mut listener).await? != greeting {}
    Ok(Listener { connection: listener, own })
}

impl OwnPool {
    /// The driver asks again and again where the server refuses a connection for their number, and
    /// does not say so in the end.
    async fn listener(&self) -> Result<PgListener, StoreError> {
        match PgListener::connect_with(&self.pool).await {
            Err(sqlx::Error::PoolTimedOut) if self.place.is_none() => {
                let why = self.pool.connect_options().connect().await.err();
                Err(why.map_or(StoreError::TimedOut, StoreError::of_driver))
            }
            Err(sqlx::Error::PoolTimedOut) => {
                self.all.ask_for_another().await?;
                Err(StoreError::TimedOut)
            }
            listener => listener.map_err(StoreError::of_driver),
        }
    }
}

impl Drop for OwnPool {
    /// The place is free once the connection is closed.
    fn drop(&mut self) {
        let (pool, place) = (self.pool.clone(), self.place.take());
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            _ = timeout(CLOSES_WITHIN, pool.close()).await;
            drop(place);
        });
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
        if self.own.place.is_some() && self.own.all.is_starved() {
            // There is nothing to load with: this one is worth more.
            return Err(StoreError::PoolExhausted);
        }
        let query = sqlx::raw_sql(AssertSqlSafe(statement(Dialect::Postgres, since)));
        let pending = self.own.all.health().sending();
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
