//! Which database to use.

use std::{fs::File, io::Read, path::PathBuf};

use clap::{Args, builder::BoolishValueParser};

use super::{
    DatabaseUrl, Span, UnusableSetting,
    value::{patience, positive},
};

/// The maximum size of a file that holds a URL; a larger one is a mistake, for example a device.
const MAX_URL_FILE_BYTES: u64 = 1 << 20;

/// Which database to use.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:PATH. A password is
    /// better kept in a file [default: sqlite:entitlementd.db]
    #[arg(
        long,
        env = "ENTITLEMENTD_DATABASE_URL",
        hide_env_values = true,
        conflicts_with = "database_url_file"
    )]
    pub database_url: Option<DatabaseUrl>,
    /// A file that contains the database's URL. A server reads it again when it changes.
    #[arg(long, env = "ENTITLEMENTD_DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// CA certificates (PEM) that the database server's certificate must descend from. Requires TLS
    /// and a matching host name. A server reads them again when they change.
    #[arg(long, env = "ENTITLEMENTD_DATABASE_CA_FILE", value_name = "FILE")]
    pub database_ca_file: Option<PathBuf>,
    /// The pooler between this process and PostgreSQL. With `transaction`, nothing outlives a
    /// transaction: no setting and no prepared statement, and LISTEN needs --listen-database-url.
    #[arg(long, env = "ENTITLEMENTD_DATABASE_POOLER", value_enum, default_value_t)]
    pub database_pooler: PoolerKind,
}

/// What a core does not take that sits on a replica, whose primary is elsewhere.
const NOT_ON_A_REPLICA: [&str; 5] = [
    "replica_database_url",
    "replica_database_url_file",
    "listen_database_url",
    "listen_database_url_file",
    "migrate",
];

/// The pooler between this process and PostgreSQL.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum PoolerKind {
    /// None.
    #[default]
    None,
    /// A pooler that pools by session.
    Session,
    /// A pooler that pools by transaction: PgBouncer's transaction mode, Supavisor's port 6543.
    Transaction,
}

/// What a database gets that lacks it, beside the log of changes.
#[derive(Args, Clone, Copy, Debug)]
pub struct AdditionsArgs {
    /// For which program missing tables are made [default: as the tables that exist; in an empty
    /// database, erp]
    #[arg(long, env = "ENTITLEMENTD_VARIANT", value_enum)]
    pub variant: Option<VariantKind>,
    /// Put no modules and plans into a database that has none.
    #[arg(long, env = "ENTITLEMENTD_NO_CATALOGUE", value_parser = BoolishValueParser::new())]
    pub no_catalogue: bool,
    /// For how long to try to lock each of the ERP's tables, to make triggers. An attempt lets writers
    /// wait for 100 ms at most, and they go on in the pauses in between.
    #[arg(long, env = "ENTITLEMENTD_LOCK_PATIENCE", value_name = "SPAN", default_value = "1m", value_parser = positive)]
    pub lock_patience: Span,
}

/// For which program tables are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum VariantKind {
    /// The running ERP's own models: tenant_metadata, metric_metadata, and no unique keys on
    /// subscriptions and flags.
    Erp,
    /// The ERP's Alembic migrations: metadata, and unique keys.
    Alembic,
}

/// How changes are received.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum ChangesMode {
    /// Listen if that works, and poll otherwise.
    #[default]
    Auto,
    /// Listen, and poll only while listening does not work.
    Listen,
    /// Poll the log of changes.
    Poll,
    /// Receive no changes: no triggers are needed, and answers are at most as old as --cache-ttl.
    Off,
}

/// How the database is used.
#[derive(Args, Clone, Debug)]
pub struct PoolArgs {
    /// Maximum number of connections to the database's server, whatever for: loads, watching for
    /// changes, listening to them, administrators' changes. As many go to each replica. One is enough,
    /// for everything in turn; then changes are polled.
    #[arg(long, env = "ENTITLEMENTD_DATABASE_MAX_CONNECTIONS", value_name = "COUNT", default_value = "16",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_max_connections: u32,
    /// How long a load waits for a connection.
    #[arg(long, env = "ENTITLEMENTD_DATABASE_ACQUIRE_TIMEOUT", value_name = "SPAN", default_value = "1s", value_parser = positive)]
    pub database_acquire_timeout: Span,
    /// How long opening a connection may take: some three round trips, and TLS and the password two
    /// more each.
    #[arg(long, env = "ENTITLEMENTD_DATABASE_CONNECT_TIMEOUT", value_name = "SPAN", default_value = "10s", value_parser = patience)]
    pub database_connect_timeout: Span,
    /// How long each step of a start may take once there is a connection: the look at the schema,
    /// beginning to listen, the first reading of the log. A step that fails is tried again.
    #[arg(long, env = "ENTITLEMENTD_DATABASE_START_TIMEOUT", value_name = "SPAN", default_value = "10s", value_parser = patience)]
    pub database_start_timeout: Span,
    /// How long PostgreSQL may take for a statement.
    #[arg(long, env = "ENTITLEMENTD_DATABASE_STATEMENT_TIMEOUT", value_name = "SPAN", default_value = "1500ms", value_parser = positive)]
    pub database_statement_timeout: Span,
    /// A streaming replica to load from when it is recent enough, unless changes are off. Each URL
    /// must lead to one server. Repeatable; commas in the environment.
    #[arg(
        long,
        env = "ENTITLEMENTD_REPLICA_DATABASE_URL",
        value_name = "URL",
        value_delimiter = ',',
        hide_env_values = true,
        conflicts_with = "replica_database_url_file"
    )]
    pub replica_database_url: Vec<DatabaseUrl>,
    /// A file that contains such URLs, one in a line; lines that begin with # mean nothing. Read again
    /// when it changes: replicas come and go. Once it has had a URL, `# none` in a line says that there
    /// are to be none.
    #[arg(long, env = "ENTITLEMENTD_REPLICA_DATABASE_URL_FILE", value_name = "FILE")]
    pub replica_database_url_file: Option<PathBuf>,
    /// The primary, where --database-url leads to one streaming replica of it, in another region for
    /// example. Checks are answered from the replica, whose own copy of the log of changes is polled;
    /// everything else is read and written at the primary. docs/scale.md says what each promise becomes.
    #[arg(
        long,
        env = "ENTITLEMENTD_PRIMARY_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        conflicts_with = "primary_database_url_file",
        conflicts_with_all = NOT_ON_A_REPLICA
    )]
    pub primary_database_url: Option<DatabaseUrl>,
    /// A file that contains that URL. Read again when it changes: after a failover it names another
    /// primary.
    #[arg(
        long,
        env = "ENTITLEMENTD_PRIMARY_DATABASE_URL_FILE",
        value_name = "FILE",
        conflicts_with_all = NOT_ON_A_REPLICA
    )]
    pub primary_database_url_file: Option<PathBuf>,
}

/// How changes are received.
#[derive(Args, Clone, Debug)]
pub struct ChangesArgs {
    /// How changes are received.
    #[arg(long, env = "ENTITLEMENTD_CHANGES", value_enum, default_value_t)]
    pub changes: ChangesMode,
    /// How often the log of changes is polled while not listening.
    #[arg(long, env = "ENTITLEMENTD_POLL_INTERVAL", value_name = "SPAN", default_value = "500ms", value_parser = positive)]
    pub poll_interval: Span,
    /// PostgreSQL itself, bypassing a pooler, to listen on [default: --database-url]
    #[arg(
        long,
        env = "ENTITLEMENTD_LISTEN_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        conflicts_with = "listen_database_url_file"
    )]
    pub listen_database_url: Option<DatabaseUrl>,
    /// A file that contains that URL. Read again when it changes.
    #[arg(long, env = "ENTITLEMENTD_LISTEN_DATABASE_URL_FILE", value_name = "FILE")]
    pub listen_database_url_file: Option<PathBuf>,
    /// Cached tenants are read again in the background, up to 100 per statement: maximum number of
    /// statements per second; 0: none. With changes off, more if --cache-ttl needs them.
    #[arg(long, env = "ENTITLEMENTD_REVALIDATE_MAX_RATE", value_name = "COUNT", default_value = "10",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub revalidate_max_rate: u32,
    /// Maximum share of one core's time that reading again may take, in percent. With changes off,
    /// more if --cache-ttl needs it.
    #[arg(long, env = "ENTITLEMENTD_REVALIDATE_MAX_CPU", value_name = "PERCENT", default_value = "5",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub revalidate_max_cpu: u32,
    /// How long a transaction may be open before the log of the server names it: what is folded of the
    /// log of changes cannot be removed meanwhile.
    #[arg(long, env = "ENTITLEMENTD_OLD_TRANSACTION_AFTER", value_name = "SPAN", default_value = "5m", value_parser = positive)]
    pub old_transaction_after: Span,
    /// No longer has any effect, except for 0, which means --revalidate-max-rate 0.
    #[arg(long, env = "ENTITLEMENTD_AUDIT_RATE", value_name = "COUNT", hide = true)]
    pub audit_rate: Option<u32>,
}

impl ChangesArgs {
    /// The budget for reading again; `None`: nothing is read again.
    pub fn revalidate_max(&self) -> Option<(u32, u32)> {
        let is_wanted = self.revalidate_max_rate > 0 && self.audit_rate != Some(0);
        is_wanted.then_some((self.revalidate_max_rate, self.revalidate_max_cpu))
    }
}

impl PoolArgs {
    /// Are there replicas, or may there be some while the server runs?
    pub fn may_have_replicas(&self) -> bool {
        !self.replica_database_url.is_empty() || self.replica_database_url_file.is_some()
    }

    /// Does the database's own URL lead to a replica?
    pub fn is_on_replica(&self) -> bool {
        self.primary_database_url.is_some() || self.primary_database_url_file.is_some()
    }
}

impl DatabaseArgs {
    /// The URL, from wherever it was given.
    pub fn url(&self) -> Result<DatabaseUrl, UnusableSetting> {
        let Some(path) = &self.database_url_file else { return Ok(self.given_url()) };
        let unusable = |problem| {
            let problem = format!("names {}: {problem}", path.display());
            UnusableSetting::new("--database-url-file", problem)
        };
        let mut text = String::new();
        let read = File::open(path)
            .and_then(|file| file.take(MAX_URL_FILE_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| unusable(format!("it cannot be read: {error}")))?;
        if read as u64 > MAX_URL_FILE_BYTES {
            return Err(unusable(format!("it holds more than {MAX_URL_FILE_BYTES} bytes")));
        }
        DatabaseUrl::in_file(&text).map_err(unusable)
    }

    /// The URL, where it is in no file.
    pub fn given_url(&self) -> DatabaseUrl {
        self.database_url.clone().unwrap_or_default()
    }

    /// The flag that the URL came from.
    pub fn setting(&self) -> &'static str {
        if self.database_url_file.is_some() { "--database-url-file" } else { "--database-url" }
    }
}
