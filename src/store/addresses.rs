//! Where the database, what listens to it and its replicas are: that may change while a server runs.

mod moving;

use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use thiserror::Error;
use tokio::sync::watch;

pub use self::moving::Moving;
use super::{
    ConnectError, ConnectOptions, Pooler, Position, Store, StoreError, connect, database::Database,
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
    /// The database there is the copy of another one, and lags behind it.
    #[error("leads to a standby: its recovery is in progress")]
    Standby,
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
    moved: watch::Sender<Whereabouts>,
    /// The history that the log was last read of, while that vouches for what is held.
    read: Mutex<Option<String>>,
}

/// Where the database is, and what listens to it, as far as one time can be told from another.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Whereabouts {
    moves: u64,
    /// It is about to be another one.
    is_left: bool,
}

/// Hears that the database is somewhere else, or what listens to it.
#[derive(Debug)]
pub struct Moves(watch::Receiver<Whereabouts>);

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
        Self { at: Mutex::new(at), moved: watch::Sender::default(), read: Mutex::default() }
    }

    /// Whatever is asked and not yet answered says nothing from now on of where the database is.
    fn leave(&self) {
        self.moved.send_if_modified(|at| {
            at.is_left = true;
            // There is nothing to be asked yet.
            false
        });
    }

    fn arrive(&self) {
        self.moved.send_modify(|at| {
            *at = Whereabouts { moves: at.moves + 1, is_left: false };
        });
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

    /// Where it is that something is asked now.
    pub fn whereabouts(&self) -> Whereabouts {
        *self.listening.moved.borrow()
    }

    /// The log was read up to here, and that vouches for what is held; `None`: nothing does any more.
    pub fn note_read(&self, position: Option<&Position>) {
        *self.listening.read.lock() = position.map(|position| position.history().to_owned());
    }

    /// Takes in what was answered, unless the database is somewhere else by now, or about to be. Until
    /// that is done it moves nowhere.
    pub fn if_still_there<R>(&self, asked: Whereabouts, take: impl FnOnce() -> R) -> Option<R> {
        let now = self.listening.moved.borrow();
        (!now.is_left && *now == asked).then(take)
    }

    /// Listens at an address of its own from now on, without trying it first.
    pub fn set_address_to_listen(&self, options: &ConnectOptions<'_>) -> Result<(), ConnectError> {
        let at = ListensAt::Apart(Box::new(connect::to_listen(options)?));
        if self.watched.postgres().is_some() {
            *self.listening.at.lock() = at;
            self.listening.arrive();
        }
        Ok(())
    }

    /// Listens at an address of its own from now on, if that works; otherwise everything stays as it
    /// is.
    pub async fn move_listening_to(&self, options: &ConnectOptions<'_>) -> Result<(), MoveError> {
        self.try_to_listen_by(connect::to_listen(options)?).await?;
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
