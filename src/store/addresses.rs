//! Where the database, what listens to it and its replicas are: that may change while a server runs.

use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use thiserror::Error;
use tokio::sync::watch;

use super::{
    ChangeLog, ConnectError, ConnectOptions, Pooler, Store, StoreError, changes, connect,
    database::{Database, Server},
};

/// Why another address is not used.
#[derive(Debug, Error)]
pub enum MoveError {
    /// It is no URL of a PostgreSQL database, and the present one is.
    #[error("{0}")]
    Url(#[from] ConnectError),
    /// The present database is one of SQLite, whose file stays what it is while it is open.
    #[error("comes too late: SQLite's file is changed by a restart")]
    Sqlite,
    /// Nobody answers there, or the password is wrong, or something else. Has the server's own words.
    #[error("cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The database there lacks something.
    #[error("leads to a database that nothing can be answered from: {0}")]
    Obstacle(String),
}

/// Where changes are listened to.
#[derive(Clone)]
pub(super) enum ListensAt {
    /// They cannot be listened to.
    Nowhere,
    /// Where the database is.
    TheDatabase,
    /// At an address of its own.
    Apart(Box<PgConnectOptions>),
}

/// Where changes are listened to, and who hears that it is somewhere else from now on.
#[derive(Debug)]
pub(super) struct Listening {
    at: Mutex<ListensAt>,
    moved: watch::Sender<()>,
}

/// Hears that the database is somewhere else, or what listens to it.
#[derive(Debug)]
pub struct Moves(watch::Receiver<()>);

impl std::fmt::Debug for ListensAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "Nowhere",
            Self::TheDatabase => "TheDatabase",
            // Holds a password.
            Self::Apart(_) => "Apart",
        })
    }
}

impl Listening {
    /// Behind a transaction pooler nothing can be listened to, unless an address bypasses it.
    pub(super) fn of(options: &ConnectOptions<'_>, database: &Database) -> Self {
        let can_listen = database.postgres().is_some() && options.pooler != Pooler::Transaction;
        let at = if can_listen { ListensAt::TheDatabase } else { ListensAt::Nowhere };
        Self { at: Mutex::new(at), moved: watch::Sender::default() }
    }
}

impl Moves {
    /// Resolves when that has happened since the last time; several times count as one.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody will move it any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Store {
    pub(super) fn listens_at(&self) -> ListensAt {
        self.listening.at.lock().clone()
    }

    /// For somebody who holds a connection, or waits before trying to get one.
    pub fn moves(&self) -> Moves {
        Moves(self.listening.moved.subscribe())
    }

    /// Opens connections by this URL from now on, if it leads to a database that can be served from;
    /// otherwise everything stays as it is. Those that there are do what they are doing, and are
    /// closed as they come back.
    ///
    /// While the present address does not work, one of a database that is not ready is used too: a
    /// server may be about to migrate it.
    pub async fn move_to(&self, options: &ConnectOptions<'_>) -> Result<(), MoveError> {
        let Some(pool) = self.watched.postgres() else { return Err(MoveError::Sqlite) };
        let there = pool.elsewhere(connect::postgres(options)?).await?;
        let server = Server::Postgres(there.clone());
        let is_usable = self.examine(&Database { server, ..self.watched.clone() }).await;
        match is_usable {
            Err(error) if pool.works() => {
                there.close().await;
                return Err(error);
            }
            Ok(()) | Err(_) => pool.move_to(&there),
        }
        self.listening.moved.send_replace(());
        Ok(())
    }

    /// Can this database be served from? It may be a standby, for example, or have no tables.
    async fn examine(&self, database: &Database) -> Result<(), MoveError> {
        let looking = async {
            let report = self.report_on(database).await?;
            if let Some(obstacle) = report.obstacle() {
                return Err(MoveError::Obstacle(obstacle));
            }
            if self.log == ChangeLog::Wanted {
                changes::poll(database, None).await?;
            }
            Ok(())
        };
        let in_time = tokio::time::timeout(self.durations.start, looking).await;
        in_time.unwrap_or_else(|_| Err(StoreError::TimedOut.into()))
    }

    /// Listens at an address of its own from now on, without trying it first.
    pub fn set_address_to_listen(&self, options: &ConnectOptions<'_>) -> Result<(), ConnectError> {
        let at = ListensAt::Apart(Box::new(connect::to_listen(options)?));
        if self.watched.postgres().is_some() {
            *self.listening.at.lock() = at;
            self.listening.moved.send_replace(());
        }
        Ok(())
    }

    /// Listens at an address of its own from now on, if that works; otherwise everything stays as it
    /// is.
    pub async fn move_listening_to(&self, options: &ConnectOptions<'_>) -> Result<(), MoveError> {
        self.listen_by(connect::to_listen(options)?).await?;
        Ok(self.set_address_to_listen(options)?)
    }

    /// Loads from these replicas too from now on, where that is as good as from the primary.
    /// One that answers is left for another URL of the same server only if that works; otherwise
    /// everything stays as it is.
    pub async fn set_replicas(&self, options: &[ConnectOptions<'_>]) -> Result<(), MoveError> {
        match self.primary.postgres() {
            None if !options.is_empty() => Err(ConnectError::NoReplicas.into()),
            _ => self.replicas.replace(options).await,
        }
    }
}
