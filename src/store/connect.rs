//! Opening the database.
//!
//! The pools are made with sqlx and adopted by SeaORM: SeaORM's own connector writes its options,
//! password included, to a trace span.

mod url;

use std::{
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant},
};

use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use thiserror::Error;
use tracing::log::LevelFilter;

use self::url::{is_postgres, parse};
pub(super) use self::url::{location, location_of_file};
use super::{
    database::Database,
    idle_health::IdleHealth,
    pool::{Limits, Pool},
};

/// A statement that takes this long is logged.
const SLOW: Duration = Duration::from_secs(1);

/// The pause before a file that others are opening is tried again.
const LOCKED: Duration = Duration::from_millis(10);

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions<'a> {
    /// `postgres://` or `sqlite:`; may contain a password, so it never appears in an error.
    pub url: &'a str,
    /// CA certificates in PEM that the server's certificate must descend from; PostgreSQL only.
    pub ca: Option<&'a [u8]>,
    /// The pooler between this process and PostgreSQL.
    pub pooler: Pooler,
    /// Maximum number of connections to the server, whatever for.
    pub max_connections: u32,
    /// Keep some of them for watching for changes, and for loads, whatever else is done.
    pub keeps_shares: bool,
    /// How long things may take.
    pub durations: Durations,
    /// Create a SQLite file that does not exist, and let writers and readers work in it
    /// concurrently. Commands that only read leave the file as it is.
    pub create: bool,
}

/// The pooler between this process and PostgreSQL. Poolers refuse unknown startup parameters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pooler {
    /// None.
    #[default]
    None,
    /// A pooler that gives each of our connections a server connection for its whole life.
    Session,
    /// A pooler that assigns a server connection per transaction: nothing outlives that, neither a
    /// setting nor a prepared statement.
    Transaction,
}

/// How long the database may take.
#[derive(Clone, Copy, Debug)]
pub struct Durations {
    /// To provide a connection, including opening one.
    pub acquire: Duration,
    /// To open a connection, whoever waits for it.
    pub connect: Duration,
    /// For a step of a server's start, once there is a connection.
    pub start: Duration,
    /// To run one statement; `None`: unlimited. PostgreSQL only.
    pub statement: Option<Duration>,
}

/// Why the database cannot even be tried.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Neither `postgres://` nor `sqlite:`, or malformed. The URL itself is left out: it may
    /// contain a password.
    #[error(
        "is not a usable URL: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:PATH"
    )]
    Url,
    /// Not `postgres://` where only that is possible, or malformed.
    #[error("is not a usable URL: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    PostgresUrl,
    /// It names its database in a way that nobody means: it was cut at a character of the user or the
    /// password.
    #[error(
        "is not a usable URL: '@' comes after '/', '?' or '#'. In a user name or a password, these must be percent-encoded: %40 for '@', %2F for '/', %3F for '?', %23 for '#'"
    )]
    NotEncoded,
    /// The replica of a SQLite database.
    #[error("is for nothing here: only PostgreSQL has replicas")]
    NoReplicas,
    /// A SQLite file that does not exist, and must not be created.
    #[error("does not exist in {}", folder.display())]
    NoFile {
        /// The folder in which it was looked for.
        folder: PathBuf,
    },
    /// A SQLite file that cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(#[source] sqlx::Error),
}

/// The number of statements that a connection keeps prepared.
const PREPARED: usize = 100;

/// `health` is shared by all connections to a server.
pub(super) async fn open(
    options: &ConnectOptions<'_>,
    health: &IdleHealth,
) -> Result<Database, ConnectError> {
    if is_postgres(options.url) {
        open_postgres(options, health.clone())
    } else if options.url.starts_with("sqlite:") {
        Ok(Database::sqlite(open_sqlite(options).await?))
    } else {
        Err(ConnectError::Url)
    }
}

pub(super) fn open_postgres(
    options: &ConnectOptions<'_>,
    health: IdleHealth,
) -> Result<Database, ConnectError> {
    let connect = postgres(options).map_err(|error| match error {
        ConnectError::PostgresUrl => ConnectError::Url,
        error => error,
    })?;
    let settings = session_settings(options.durations.statement);
    let set = |word: &str| {
        let all: Vec<_> =
            settings.iter().map(|(name, value)| format!("{word} {name} = '{value}'; ")).collect();
        all.concat()
    };
    let first = (options.pooler == Pooler::Session).then(|| set("SET"));
    let limits = Limits {
        most: options.max_connections as usize,
        keeps_shares: options.keeps_shares,
        acquire: options.durations.acquire,
        connect: options.durations.connect,
    };
    let pool = Pool::new(connect, first, limits, health);
    Ok(match options.pooler {
        Pooler::Transaction => {
            // For the transaction that has begun, its default comes too late.
            let set_local =
                format!("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; {}", set("SET LOCAL"));
            Database::through_transaction_pooler(pool, set_local)
        }
        Pooler::None | Pooler::Session => Database::direct(pool),
    })
}

/// How connections to a PostgreSQL server are opened.
pub(super) fn postgres(options: &ConnectOptions<'_>) -> Result<PgConnectOptions, ConnectError> {
    let connect = secured(parse(options.url)?, options).statement_cache_capacity(PREPARED);
    Ok(match options.pooler {
        Pooler::None => with_settings(connect, options.durations.statement),
        Pooler::Session | Pooler::Transaction => connect.extra_float_digits(None),
    })
}

/// How a separate connection to listen on is opened, at an address of its own that bypasses poolers.
pub(super) fn to_listen(options: &ConnectOptions<'_>) -> Result<PgConnectOptions, ConnectError> {
    Ok(with_settings(secured(parse(options.url)?, options), None))
}

fn with_settings(connect: PgConnectOptions, statement: Option<Duration>) -> PgConnectOptions {
    let settings = session_settings(statement);
    connect.options(settings.iter().map(|(name, value)| (*name, value.as_str())))
}

fn secured(connect: PgConnectOptions, options: &ConnectOptions<'_>) -> PgConnectOptions {
    let connect = connect
        .application_name("entitlementd")
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Warn, SLOW);
    match options.ca {
        // Naming a CA means that the server's certificate must be verified, whatever the URL leaves
        // open.
        Some(ca) => connect.ssl_root_cert_from_pem(ca.to_vec()).ssl_mode(PgSslMode::VerifyFull),
        None => connect,
    }
}

/// The settings of each of our sessions.
fn session_settings(statement: Option<Duration>) -> Vec<(&'static str, String)> {
    // The role's own search path may lead elsewhere; the ERP's tables are in `public`. A row-level
    // policy must not hide a customer: PostgreSQL refuses instead. And where transactions are
    // serializable by default, what is read here must not make the ERP's fail, and a standby would
    // refuse it.
    let mut settings = vec![
        ("search_path", "public".to_owned()),
        ("row_security", "off".to_owned()),
        ("default_transaction_isolation", "read committed".to_owned()),
    ];
    settings.extend(statement.map(|limit| ("statement_timeout", limit.as_millis().to_string())));
    settings
}

async fn open_sqlite(options: &ConnectOptions<'_>) -> Result<DatabaseConnection, ConnectError> {
    let mut connect = SqliteConnectOptions::from_str(options.url)
        .map_err(|_| ConnectError::Url)?
        .create_if_missing(options.create)
        .foreign_keys(true)
        .busy_timeout(options.durations.acquire)
        .synchronous(SqliteSynchronous::Normal)
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Warn, SLOW);
    let in_memory = options.url.contains(":memory:") || options.url.contains("mode=memory");
    if options.create {
        connect = connect.journal_mode(SqliteJournalMode::Wal);
    } else if !in_memory && !connect.get_filename().exists() {
        let file = std::path::absolute(connect.get_filename()).unwrap_or_default();
        return Err(ConnectError::NoFile { folder: file.parent().unwrap_or(&file).to_owned() });
    }
    let pool: SqlitePoolOptions = if in_memory {
        // Each connection would be a separate database, which is gone with the connection.
        pool_options(options).max_connections(1)
    } else {
        pool_options(options)
    };
    // Opened at once: retrying does not help with a file that cannot be opened.
    let deadline = Instant::now() + options.durations.acquire;
    loop {
        match pool.clone().connect_with(connect.clone()).await {
            // If several processes turn on the WAL of a new file at once, SQLite refuses all but
            // one without waiting for the busy timeout.
            Err(error) if is_locked(&error) && Instant::now() < deadline => {
                tokio::time::sleep(LOCKED).await;
            }
            opened => {
                return opened
                    .map(SqlxSqliteConnector::from_sqlx_sqlite_pool)
                    .map_err(ConnectError::Open);
            }
        }
    }
}

fn is_locked(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: &str = "5";
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(SQLITE_BUSY))
}

/// Connections to a file do not age. And sqlx 0.9.0 has a task that closes those that do, which loops for ever
/// if it counts the idle ones at the moment at which one is given back and taken again.
fn pool_options(options: &ConnectOptions<'_>) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .idle_timeout(None)
        .max_lifetime(None)
        .max_connections(options.max_connections)
        .acquire_timeout(options.durations.acquire)
        .test_before_acquire(false)
}
