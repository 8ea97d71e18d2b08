//! What can go wrong when the database is queried.

use std::{borrow::Cow, sync::Arc};

use entitlementd_migration::MissingColumn;
use sea_orm::{DbErr, RuntimeErr};
use thiserror::Error;

/// Shared by everyone who waits for one load, and therefore cheap to clone. The text is for the
/// log, never for a caller.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The database cannot be reached, refuses the connection, or failed while running the
    /// statement.
    #[error("the database cannot be asked: {0}")]
    Unavailable(Arc<DbErr>),
    /// No connection can be opened, and there is none. Has the server's own words, if it has said
    /// any.
    #[error("no connection to the database can be opened: {0}")]
    NoConnection(Arc<DbErr>),
    /// The serving role lacks the right, or a row-level policy would hide rows from it.
    #[error(
        "the database refuses this role: {0}; `entitlementd migrate --status` says what it lacks, and docs/adopting.md \
         what each role needs, under \"Rights in the database\""
    )]
    Forbidden(Arc<DbErr>),
    /// The database is reachable, and rejects the statement: a column is missing, for example.
    /// Other statements may well succeed.
    #[error("the database rejects a statement: {0}")]
    Rejected(Arc<DbErr>),
    /// The database lacks columns that administration needs. Checks are answered nevertheless.
    #[error("the database cannot be administered: {}", sentences(.0))]
    MissingColumns(Arc<[MissingColumn]>),
    /// The database took longer than a load may take.
    #[error("the database did not answer in time")]
    TimedOut,
    /// All connections of the pool are in use by us. That says nothing about the database.
    #[error("all connections to the database are in use")]
    PoolExhausted,
    /// The connection on which changes are announced was lost, and with it anything announced
    /// meanwhile.
    #[error("the connection that listens to changes was lost")]
    ListenerLost,
    /// What listens is connected to another database than what loads.
    #[error("the URL to listen at leads to another database than the database's own URL")]
    ListensElsewhere,
    /// The primary cannot be asked, by a server that answers checks from a replica. Has where it is, and
    /// why.
    #[error("the primary at {0}")]
    PrimaryAway(Arc<str>),
    /// Nobody knows how old what the replica shows is: its primary does not say how far it should be, or
    /// it has not come that far.
    #[error("nobody knows how old what the replica shows is")]
    Unproven,
    /// There is no database here, and the instance that is asked instead does not answer, or does not
    /// know either.
    #[error("the upstream cannot be asked: {0}")]
    Upstream(Arc<str>),
    /// A row exists, but does not hold what its column promises.
    #[error("{column} of the row {key} cannot be read: {cause}")]
    Unreadable {
        /// Table and column: `tenants.status`.
        column: &'static str,
        /// The row's key.
        key: String,
        /// What the driver says.
        cause: Arc<DbErr>,
    },
}

fn sentences(missing: &[MissingColumn]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        const INSUFFICIENT_PRIVILEGE: &str = "42501";
        let code = code_of(&error).unwrap_or_default().into_owned();
        let error = Arc::new(error);
        match code.as_str() {
            INSUFFICIENT_PRIVILEGE => Self::Forbidden(error),
            code if is_the_statements(code) => Self::Rejected(error),
            _ => Self::Unavailable(error),
        }
    }
}

/// Does an error with this code concern the statement, rather than the database as a whole? By the
/// classes of PostgreSQL's codes
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>): features, data, constraints,
/// transactions, syntax and names, objects in use, and what functions raise. SQLite's codes are
/// short numbers: generic error, constraint, type mismatch.
fn is_the_statements(code: &str) -> bool {
    const CLASSES: [&str; 13] =
        ["0A", "20", "21", "22", "23", "24", "25", "26", "2B", "40", "42", "44", "P0"];
    const IN_USE: &str = "55";
    // The lowest byte of an extended code is the primary code: https://www.sqlite.org/rescode.html
    const SQLITE: [u32; 3] = [1, 19, 20];
    match code.len() {
        5 => CLASSES.iter().chain([&IN_USE]).any(|class| code.starts_with(class)),
        _ => code.parse().is_ok_and(|code: u32| SQLITE.contains(&(code & 0xff))),
    }
}

/// PostgreSQL's code of an error, or SQLite's.
fn code_of(error: &DbErr) -> Option<Cow<'_, str>> {
    let (DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause)) = error else {
        return None;
    };
    let RuntimeErr::SqlxError(cause) = cause else { return None };
    cause.as_database_error()?.code()
}

impl StoreError {
    /// An error of sqlx itself, without SeaORM.
    pub(super) fn of_driver(error: sqlx::Error) -> Self {
        DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))).into()
    }

    /// Is the database unreachable or failing, rather than its contents unreadable?
    pub fn is_the_databases(&self) -> bool {
        match self {
            Self::Unavailable(_)
            | Self::NoConnection(_)
            | Self::Forbidden(_)
            | Self::Rejected(_)
            | Self::MissingColumns(_)
            | Self::TimedOut
            | Self::PoolExhausted
            | Self::ListenerLost
            | Self::ListensElsewhere
            | Self::PrimaryAway(_)
            | Self::Unproven
            | Self::Upstream(_) => true,
            Self::Unreadable { .. } => false,
        }
    }

    /// Does the database refuse connections, because there are too many?
    pub fn is_for_want_of_connections(&self) -> bool {
        const TOO_MANY_CONNECTIONS: &str = "53300";
        self.is_unavailable_for(TOO_MANY_CONNECTIONS)
    }

    /// Did the database end a statement that took too long?
    pub fn is_for_want_of_time(&self) -> bool {
        const QUERY_CANCELED: &str = "57014";
        self.is_unavailable_for(QUERY_CANCELED)
    }

    /// Does somebody else hold a lock for longer than it was waited for?
    pub fn is_for_want_of_a_lock(&self) -> bool {
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        let Self::Rejected(error) = self else { return false };
        code_of(error).as_deref() == Some(LOCK_NOT_AVAILABLE)
    }

    fn is_unavailable_for(&self, code: &str) -> bool {
        let (Self::Unavailable(error) | Self::NoConnection(error)) = self else { return false };
        code_of(error).as_deref() == Some(code)
    }

    /// Is a table missing?
    pub fn is_missing_table(&self) -> bool {
        const UNDEFINED_TABLE: &str = "42P01";
        self.is_rejected_for(UNDEFINED_TABLE, "no such table")
    }

    /// Is a column missing?
    pub(super) fn is_missing_column(&self) -> bool {
        const UNDEFINED_COLUMN: &str = "42703";
        self.is_rejected_for(UNDEFINED_COLUMN, "no such column")
    }

    /// Was it rejected with this PostgreSQL code? SQLite has one code for many errors, and gives
    /// the rest in its message.
    fn is_rejected_for(&self, code: &str, sqlite: &str) -> bool {
        let Self::Rejected(error) = self else { return false };
        let DbErr::Query(RuntimeErr::SqlxError(cause)) = error.as_ref() else { return false };
        cause.as_database_error().is_some_and(|error| {
            error.code().as_deref() == Some(code) || error.message().starts_with(sqlite)
        })
    }

    /// Did the connection fail, rather than the statement? A read may then be retried on another
    /// one.
    pub fn lost_connection(&self) -> bool {
        let Self::Unavailable(error) = self else { return false };
        let (DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause)) = error.as_ref() else {
            return false;
        };
        let RuntimeErr::SqlxError(cause) = cause else { return false };
        match cause.as_ref() {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
            // Class 57P: an operator ended the backend, or the server is going down or coming up.
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| code.starts_with("57P"))
            }
            _ => false,
        }
    }
}
