//! Moving to another address of the database.

use std::time::Duration;

use super::MoveError;
use crate::store::{
    ChangeLog, ConnectOptions, Store, StoreError,
    ask::Ask,
    changes, connect,
    database::{Database, Server},
    dialect,
    pool::{Exchanges, Pool, within},
    row,
};

/// How long the present database may take to say which one it is.
const SAYS_WITHIN: Duration = Duration::from_secs(1);

/// An address that was tried and works, and is not in use yet.
#[must_use = "the present address stays in use otherwise"]
#[derive(Debug)]
pub struct Moving<'a> {
    store: &'a Store,
    pool: &'a Pool,
    there: Pool,
    is_to_another: bool,
}

impl Store {
    /// Tries a URL, which must lead to a database that can be served from. Nothing moves yet.
    ///
    /// While the present address does not work, one of a database that is not ready will do too: a
    /// server may be about to migrate it.
    pub async fn prepare_to_move(
        &self,
        options: &ConnectOptions<'_>,
        exchanges: &mut Exchanges,
    ) -> Result<Moving<'_>, MoveError> {
        let Some(pool) = self.watched.postgres() else { return Err(MoveError::Sqlite) };
        let there = pool.elsewhere(connect::postgres(options)?, exchanges).await?;
        let server = Server::Postgres(there.clone());
        let history = self.examine(&Database { server, ..self.watched.clone() }).await;
        let history = match history {
            Ok(history) => Some(history),
            Err(error) if pool.works() || matches!(error, MoveError::Standby) => {
                there.close().await;
                return Err(error);
            }
            Err(_) => None,
        };
        // Where it is not known, nothing that is held can be relied on.
        let is_to_another = history.is_none() || history != self.present_history().await;
        Ok(Moving { store: self, pool, there, is_to_another })
    }

    /// Can this database be served from? It may be a standby, for example, or have no tables. Gives
    /// its history.
    async fn examine(&self, database: &Database) -> Result<String, MoveError> {
        let looking = async {
            let history = history_of(database).await?.ok_or(MoveError::Standby)?;
            let report = self.report_on(database).await?;
            if let Some(obstacle) = report.obstacle() {
                return Err(MoveError::Obstacle(obstacle));
            }
            if self.log == ChangeLog::Wanted {
                changes::poll(database, None).await?;
            }
            Ok(history)
        };
        let in_time = tokio::time::timeout(self.durations.start, looking).await;
        in_time.unwrap_or_else(|_| Err(StoreError::TimedOut.into()))
    }

    /// That of what is held: the one that was read last, or else that of the present database.
    async fn present_history(&self) -> Option<String> {
        if let Some(read) = self.listening.read.lock().clone() {
            return Some(read);
        }
        within(SAYS_WITHIN, history_of(&self.watched)).await.ok().flatten()
    }
}

/// `None`: it is a standby.
async fn history_of(database: &Database) -> Result<Option<String>, StoreError> {
    let rows = database.unprepared().sql(dialect::history(), []).await?;
    Ok(row::first(&rows)?.try_get("", "history")?)
}

impl Moving<'_> {
    /// Opens connections there from now on. Those that there are do what they are doing, and are closed
    /// as they come back.
    ///
    /// Where it is another database, or the same after a break: `before` is called while everything is
    /// still read from the present one, and nothing that it says of changes is taken in any more;
    /// `after` once all that is asked for from then on is read there.
    pub fn commit(self, before: impl FnOnce(), after: impl FnOnce()) {
        let Self { store, pool, there, is_to_another } = self;
        if is_to_another {
            store.listening.leave();
            before();
        }
        pool.move_to(&there);
        if is_to_another {
            after();
        }
        store.listening.arrive();
    }
}
