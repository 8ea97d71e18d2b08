//! Opening the database.
//!
//! The pools are made with sqlx and adopted by SeaORM: SeaORM's own connector writes its options, password included,
//! to a trace span.

use std::{path::Path, str::FromStr, time::Duration};

use sea_orm::{DatabaseConnection, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::{
    ConnectOptions as _, Connection, Postgres, Sqlite,
    pool::{PoolConnectionMetadata, PoolOptions},
    postgres::{PgConnectOptions, PgSslMode},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use thiserror::Error;
use tracing::log::LevelFilter;

/// Connections that one process holds at most. A load is one short statement: ten serve thousands of loads a second.
pub(super) const MAX_CONNECTIONS: u32 = 10;

/// A connection that lay idle this long is asked for a sign of life before it is used. Younger ones are not: that
/// would double the round trips of every load.
const TRUSTED_IDLE: Duration = Duration::from_secs(30);

/// A statement that takes this long to answer is told to the log.
const SLOW: Duration = Duration::from_secs(1);

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions<'a> {
    /// `postgres://` or `sqlite:`; may hold a password, so it never shows in an error.
    pub url: &'a str,
    /// The certificates that the server's own must descend from; PostgreSQL only.
    pub ca_file: Option<&'a Path>,
    /// How long things may take.
    pub durations: Durations,
    /// Make a SQLite file that is not there, and let writers and readers pass each other in it. Whoever only looks
    /// leaves the file as it is.
    pub create: bool,
}

/// How long the database may take.
#[derive(Clone, Copy, Debug)]
pub struct Durations {
    /// To hand out a connection, opening one included.
    pub acquire: Duration,
    /// To run one statement; `None`: as long as it takes. PostgreSQL only.
    pub statement: Option<Duration>,
}

/// The database cannot even be tried.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Neither `postgres://` nor `sqlite:`, or malformed. The URL itself is left out: it may hold a password.
    #[error("is not a usable URL: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:PATH")]
    Url,
    /// A SQLite file that cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(#[source] sqlx::Error),
}

pub(super) async fn open(options: &ConnectOptions<'_>) -> Result<DatabaseConnection, ConnectError> {
    match options.url.split_once(':') {
        Some(("postgres" | "postgresql", _)) => open_postgres(options),
        Some(("sqlite", _)) => open_sqlite(options).await,
        _ => Err(ConnectError::Url),
    }
}

fn open_postgres(options: &ConnectOptions<'_>) -> Result<DatabaseConnection, ConnectError> {
    let mut connect = PgConnectOptions::from_str(options.url).map_err(|_| ConnectError::Url)?;
    connect = connect
        .application_name("entitlementd")
        // The role's own search path may lead elsewhere; the ERP's tables are in `public`.
        .options([("search_path", "public")])
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Warn, SLOW);
    if let Some(limit) = options.durations.statement {
        connect = connect.options([("statement_timeout", limit.as_millis().to_string())]);
    }
    if let Some(ca_file) = options.ca_file {
        // Whoever names a CA wants the server's certificate checked, whatever the URL leaves open.
        connect = connect.ssl_root_cert(ca_file).ssl_mode(PgSslMode::VerifyFull);
    }
    let pool = pool_options::<Postgres>(options)
        .before_acquire(|connection, idle| Box::pin(async move { sign_of_life(connection, idle).await }))
        .connect_lazy_with(connect);
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
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
    if options.create {
        connect = connect.journal_mode(SqliteJournalMode::Wal);
    }
    let in_memory = options.url.contains(":memory:") || options.url.contains("mode=memory");
    let pool: SqlitePoolOptions = if in_memory {
        // Each connection would be a database of its own, and gone with the connection.
        pool_options::<Sqlite>(options).max_connections(1).idle_timeout(None).max_lifetime(None)
    } else {
        pool_options::<Sqlite>(options)
    };
    // Opened at once: a file that cannot be opened will not mend itself.
    let pool = pool.connect_with(connect).await.map_err(ConnectError::Open)?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

fn pool_options<DB: sqlx::Database>(options: &ConnectOptions<'_>) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(options.durations.acquire)
        .test_before_acquire(false)
}

async fn sign_of_life(connection: &mut sqlx::PgConnection, idle: PoolConnectionMetadata) -> Result<bool, sqlx::Error> {
    Ok(idle.idle_for < TRUSTED_IDLE || connection.ping().await.is_ok())
}
