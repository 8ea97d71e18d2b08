//! What can go wrong when the database is asked.

use std::{borrow::Cow, sync::Arc};

use entitlementd_migration::MissingColumn;
use sea_orm::{DbErr, RuntimeErr};
use thiserror::Error;

/// Shared by everyone who waits for one load, and so cheap to clone. The text is for the log, never
/// for a caller.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The database cannot be reached, refuses, or failed the statement.
    #[error("the database cannot be asked: {0}")]
    Unavailable(Arc<DbErr>),
    /// The role that serves may not do this, or a policy of the database's would hide rows from it.
    #[error(
        "the database refuses this role: {0}; `entitlementd migrate --status` says what it lacks, and docs/adopting.md \
         what each role needs, under \"Rights in the database\""
    )]
    Forbidden(Arc<DbErr>),
    /// The database is there, and rejects the statement: a column is missing, say. Others may well
    /// be answered.
    #[error("the database rejects a statement: {0}")]
    Rejected(Arc<DbErr>),
    /// The database lacks columns that administration needs. Checks are answered all the same.
    #[error("the database cannot be administered: {}", sentences(.0))]
    MissingColumns(Arc<[MissingColumn]>),
    /// The database took longer than a load may take.
    #[error("the database did not answer in time")]
    TimedOut,
    /// All connections that the pool may have are in use by us. It says nothing about the database.
    #[error("all connections to the database are in use")]
    PoolExhausted,
    /// The connection on which changes are announced was lost, and with it what was announced
    /// meanwhile.
    #[error("the connection that listens to changes was lost")]
    ListenerLost,
    /// A row is there, but is not what its column promises.
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

/// Is an error of this code the statement's own, rather than the database's? By the classes of
/// PostgreSQL's codes (<https://www.postgresql.org/docs/current/errcodes-appendix.html>): features, data, constraints, transactions, syntax and
/// names, objects in use, and what functions raise. SQLite's codes are short numbers: of no such
/// class, of constraints, of a type.
fn is_the_statements(code: &str) -> bool {
    const CLASSES: [&str; 13] =
        ["0A", "20", "21", "22", "23", "24", "25", "26", "2B", "40", "42", "44", "P0"];
    const IN_USE: &str = "55";
    // An extended code holds its first in its lowest byte: https://www.sqlite.org/rescode.html
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
    /// What sqlx itself reports, where SeaORM is not in between.
    pub(super) fn of_driver(error: sqlx::Error) -> Self {
        DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))).into()
    }

    /// Is it the database that cannot be asked, rather than what it says that cannot be read?
    pub fn is_the_databases(&self) -> bool {
        match self {
            Self::Unavailable(_)
            | Self::Forbidden(_)
            | Self::Rejected(_)
            | Self::MissingColumns(_)
            | Self::TimedOut
            | Self::PoolExhausted
            | Self::ListenerLost => true,
            Self::Unreadable { .. } => false,
        }
    }

    /// Is a table not there that was asked for?
    pub(super) fn is_missing_table(&self) -> bool {
        const UNDEFINED_TABLE: &str = "42P01";
        self.is_rejected_for(UNDEFINED_TABLE, "no such table")
    }

    /// Is a column not there that was asked for?
    pub(super) fn is_missing_column(&self) -> bool {
        const UNDEFINED_COLUMN: &str = "42703";
        self.is_rejected_for(UNDEFINED_COLUMN, "no such column")
    }

    /// Was it rejected with this code of PostgreSQL's? SQLite has one code for much, and says the
    /// rest in its message.
    fn is_rejected_for(&self, code: &str, sqlite: &str) -> bool {
        let Self::Rejected(error) = self else { return false };
        let DbErr::Query(RuntimeErr::SqlxError(cause)) = error.as_ref() else { return false };
        cause.as_database_error().is_some_and(|error| {
            error.code().as_deref() == Some(code) || error.message().starts_with(sqlite)
        })
    }

    /// Was it the connection that failed, rather than the statement? A read may then be sent again
    /// on another one.
    pub(super) fn lost_connection(&self) -> bool {
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
