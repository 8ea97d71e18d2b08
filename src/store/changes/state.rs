//! How long the log is, and which transaction keeps it from becoming shorter.

use std::{fmt, time::Duration};

use sea_orm::QueryResult;

use crate::store::{Store, StoreError, ask::Ask};

/// The state of the log of changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogState {
    /// The rows that have not been folded yet: exactly up to 10 000, then as the database estimates.
    pub rows: u64,
    /// What the log takes on the disk, with its indexes; 0 on SQLite.
    pub bytes: u64,
    /// How long ago the oldest of the rows was written; zero without one.
    pub oldest: Duration,
    /// Whose transaction, of all that are open, sees the most of the past. What was folded since it
    /// began cannot be removed from the disk.
    pub holder: Option<Holder>,
}

/// A transaction that keeps deleted rows from being removed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Whose it is. Displays as words.
    pub owner: HolderName,
    /// The number of the oldest transaction that it may still see.
    pub xid: String,
    /// How long it has been open, if the database says so to this role.
    pub open_for: Option<Duration>,
}

/// Whose transaction it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HolderName {
    /// That of a session.
    Session {
        /// Its server process.
        pid: String,
        /// What its program calls itself.
        application: String,
        /// Its role.
        user: String,
        /// Its database.
        database: String,
    },
    /// One that was prepared for a two-phase commit, by its name. No session holds it any more.
    Prepared {
        /// Its name.
        name: String,
        /// Its database.
        database: String,
    },
    /// A replication slot: its standby has such a transaction, or is away.
    Slot(String),
}

impl fmt::Display for HolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { pid, application, user, database } => write!(
                f,
                "the session {pid} of the application {application:?} (user {user}, database {database}): \
                 SELECT pg_terminate_backend({pid}) ends it"
            ),
            Self::Prepared { name, database } => write!(
                f,
                "the prepared transaction {name:?}: COMMIT PREPARED or ROLLBACK PREPARED in the database {database} ends it"
            ),
            Self::Slot(name) => write!(
                f,
                "the replication slot {name:?}: its standby has an old transaction, or is away"
            ),
        }
    }
}

impl Store {
    /// Finds out how long the log is, and whose transaction is the oldest.
    pub async fn log_state(&self) -> Result<LogState, StoreError> {
        let rows = self.primary.sql(self.primary.dialect().log_state(), []).await?;
        rows.first().map_or_else(|| Ok(LogState::default()), LogState::of)
    }
}

impl LogState {
    fn of(row: &QueryResult) -> Result<Self, StoreError> {
        let count = |column| {
            row.try_get::<i64>("", column).map(|count| u64::try_from(count).unwrap_or_default())
        };
        Ok(Self {
            rows: count("log_rows")?,
            bytes: count("log_bytes")?,
            oldest: seconds(row, "oldest_seconds")?.unwrap_or_default(),
            holder: Holder::of(row)?,
        })
    }
}

impl Holder {
    fn of(row: &QueryResult) -> Result<Option<Self>, StoreError> {
        let text =
            |column| row.try_get::<Option<String>>("", column).map(Option::unwrap_or_default);
        let owner = match text("kind")?.as_str() {
            "session" => HolderName::Session {
                pid: text("pid")?,
                application: text("name")?,
                user: text("holder_user")?,
                database: text("holder_database")?,
            },
            "prepared" => {
                HolderName::Prepared { name: text("name")?, database: text("holder_database")? }
            }
            "slot" => HolderName::Slot(text("name")?),
            _ => return Ok(None),
        };
        Ok(Some(Self { owner, xid: text("xid")?, open_for: seconds(row, "open_seconds")? }))
    }
}

/// A clock that was set back gives negative ones.
fn seconds(row: &QueryResult, column: &str) -> Result<Option<Duration>, StoreError> {
    let seconds: Option<f64> = row.try_get("", column)?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}
