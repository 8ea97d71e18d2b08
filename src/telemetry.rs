//! Logs.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line, for machines.
    Json,
}

/// Starts logging to standard error. Standard output belongs to answers.
///
/// Does nothing where logging has been started already, as in tests.
pub fn start(format: LogFormat, level: &str) -> Result<(), ParseError> {
    // A span of SeaORM's own connector holds the database's URL. It is not used, and this keeps it so.
    // And sqlx tells parameters of a URL that it does not know, values included.
    let filter = EnvFilter::builder()
        .parse(level)?
        .add_directive("sea_orm::driver=warn".parse()?)
        .add_directive("sqlx_postgres::options=off".parse()?);
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let started = match format {
        LogFormat::Pretty => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging had been started before");
    }
    Ok(())
}
