//! The replica that a core sits on: what checks need is read there, and what has changed from its own
//! copy of the log. Everything else goes to the primary.
//!
//! A replica that is cut off from its primary looks alive, and as if nothing changed. So it vouches for
//! nothing by itself: the primary is asked how far its log has come, and once the replica has replayed
//! that, what it shows was so when the primary was asked.

mod position;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use sea_orm::{DbErr, QueryResult, Statement};

pub use self::position::{Holds, PrimaryPosition, Reached};
use super::{
    ConnectError, ConnectOptions, Exchanges, MoveError, Poll, Position, Store, StoreError,
    ask::Ask,
    changes, connect,
    database::{Database, Server},
    dialect::{Dialect, RUN},
    idle_health::IdleHealth,
    pool::Purpose,
    replica::in_time,
    row,
};

/// A replica that checks are answered from.
#[derive(Debug)]
pub(super) struct OwnReplica {
    pub(super) database: Database,
    /// The same for those who must get a connection even if loads have taken all that they may.
    pub(super) watched: Database,
    shown: Mutex<Option<Shown>>,
}

/// What is known of a replica whose log was read.
#[derive(Clone, Debug)]
struct Shown {
    /// Which server that was, and since which start. A load that another one answers may show less.
    run: String,
    /// When what it shows is known to have been so, at the latest; `None`: as yet at no time.
    known_at: Option<DateTime<Utc>>,
}

/// A replica whose log was read, and of which it is known how old what it shows may be.
pub(super) struct KnownReplica {
    database: Database,
    run: String,
    /// When what it shows is known to have been so, at the latest.
    pub(super) known_at: DateTime<Utc>,
}

/// What the log of a replica has brought, and how far the replica had come before it was read.
#[derive(Debug)]
pub struct ReplicaPoll {
    /// What has changed.
    pub poll: Poll,
    /// How far it had come.
    pub reached: Reached,
}

impl OwnReplica {
    fn open(options: &ConnectOptions<'_>) -> Result<Self, ConnectError> {
        let database = connect::open_postgres(options, IdleHealth::default())?;
        let watched = database.to(Purpose::Watching);
        Ok(Self { database, watched, shown: Mutex::default() })
    }

    /// The replica, for reading what the cache asks for; an error, while nobody knows how old that is.
    pub(super) fn known(&self) -> Result<KnownReplica, StoreError> {
        let shown = self.shown.lock().clone().ok_or(StoreError::Unproven)?;
        let known_at = shown.known_at.ok_or(StoreError::Unproven)?;
        Ok(KnownReplica { database: self.database.unprepared(), run: shown.run, known_at })
    }

    /// Reads its log. How far it has come is asked first, in a statement of its own: what was replayed
    /// by then is what the next statement sees, and more is replayed meanwhile.
    async fn poll(
        database: &Database,
        since: Option<&Position>,
    ) -> Result<(ReplicaPoll, String), StoreError> {
        let database = database.unprepared();
        let dialect = database.dialect();
        let how_far = dialect.statement(position::of_replica(), []);
        let log = dialect.statement(changes::log_of_replica(since), []);
        let all = database.query_each(vec![how_far, log]).await?;
        let [said, rows] = <[_; 2]>::try_from(all)
            .map_err(|_| DbErr::Custom("a statement of a poll has no result".into()))?;
        let said = row::first(&said)?;
        let poll = ReplicaPoll { reached: Reached::of(said)?, poll: Poll::of(&rows, since)? };
        Ok((poll, said.try_get("", "run")?))
    }
}

impl Ask for KnownReplica {
    fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        Ok(self.query_each(vec![statement]).await?.pop().unwrap_or_default())
    }

    /// Fails where another server answers than the one whose log was read, or the same after a restart: it
    /// may show less.
    async fn query_each(
        &self,
        statements: Vec<Statement>,
    ) -> Result<Vec<Vec<QueryResult>>, StoreError> {
        let question = format!("SELECT {RUN} = '{}' AS is_the_same", self.run);
        let mut all = vec![self.dialect().statement(question, [])];
        all.extend(statements);
        let mut found = self.database.query_each(all).await?;
        if found.is_empty() {
            return Err(DbErr::Custom("a message has no result".into()).into());
        }
        let said = found.remove(0);
        let is_the_same = row::first(&said)?.try_get("", "is_the_same")?;
        if is_the_same { Ok(found) } else { Err(StoreError::Unproven) }
    }
}

impl Store {
    /// The same store, where checks are answered from a replica of its database.
    pub fn on_replica(self, options: &ConnectOptions<'_>) -> Result<Self, ConnectError> {
        if self.primary.postgres().is_none() {
            return Err(ConnectError::NoReplicas);
        }
        Ok(Self { own_replica: Some(OwnReplica::open(options)?), ..self })
    }

    /// Are checks answered from a replica?
    pub fn is_on_replica(&self) -> bool {
        self.own_replica.is_some()
    }

    /// Asks the primary how far its log has come: whatever it has committed before is in that.
    pub async fn primary_position(&self) -> Result<PrimaryPosition, StoreError> {
        let rows = in_time(self.watched.unprepared().sql(position::of_primary(), [])).await?;
        PrimaryPosition::of(row::first(&rows)?)
    }

    /// Reads the replica's log from the last position. `None`: there is no replica.
    pub async fn poll_replica(
        &self,
        since: Option<&Position>,
    ) -> Result<Option<ReplicaPoll>, StoreError> {
        let Some(own) = &self.own_replica else { return Ok(None) };
        let (poll, run) = OwnReplica::poll(&own.watched, since).await?;
        let mut shown = own.shown.lock();
        if shown.as_ref().is_none_or(|shown| shown.run != run) {
            *shown = Some(Shown { run, known_at: None });
        }
        Ok(Some(poll))
    }

    /// What the replica shows is known to have been so then.
    pub fn note_replica_known_at(&self, at: DateTime<Utc>) {
        let Some(own) = &self.own_replica else { return };
        if let Some(shown) = &mut *own.shown.lock() {
            shown.known_at = shown.known_at.max(Some(at));
        }
    }

    /// Uses a replica at another address from now on, if it can be served from; otherwise everything
    /// stays as it is. Nothing that is held is forgotten here: the next look at the log says that it is
    /// another server's, and until then no load is answered by it.
    pub async fn move_replica_to(
        &self,
        options: &ConnectOptions<'_>,
        exchanges: &mut Exchanges,
    ) -> Result<(), MoveError> {
        let Some(own) = &self.own_replica else { return Err(ConnectError::NoReplicas.into()) };
        let Some(pool) = own.watched.postgres() else {
            return Err(ConnectError::NoReplicas.into());
        };
        let there = pool.elsewhere(connect::postgres(options)?, exchanges).await?;
        let server = Server::Postgres(there.clone());
        let looked = self.examine_replica(&Database { server, ..own.watched.clone() }).await;
        if let Err(error) = looked
            && pool.works()
        {
            there.close().await;
            return Err(error);
        }
        pool.move_to(&there);
        Ok(())
    }

    /// Can this replica be served from? It may have no tables, for example. Whose it is, the feed finds
    /// out.
    async fn examine_replica(&self, database: &Database) -> Result<(), MoveError> {
        let looking = async {
            if let Some(obstacle) = self.report_on(database).await?.obstacle() {
                return Err(MoveError::Obstacle(obstacle));
            }
            OwnReplica::poll(database, None).await?;
            Ok(())
        };
        let in_time = tokio::time::timeout(self.durations.start, looking).await;
        in_time.unwrap_or_else(|_| Err(StoreError::TimedOut.into()))
    }

    /// Says of an error that it was the primary that could not be asked, where that is another server
    /// than the one that checks are answered from.
    pub fn naming_primary(&self, error: StoreError) -> StoreError {
        match (&self.own_replica, &error) {
            (
                Some(_),
                StoreError::Unavailable(_) | StoreError::NoConnection(_) | StoreError::TimedOut,
            ) => {
                let at = self.location_of_primary();
                StoreError::PrimaryAway(format!("{at} cannot be asked: {error}").into())
            }
            _ => error,
        }
    }
}
