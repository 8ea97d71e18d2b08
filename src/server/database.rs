//! Opening the database according to the settings.

use std::time::Duration;

use super::read_file;
use crate::{
    config::{
        AdditionsArgs, ChangesMode, DatabaseArgs, DatabaseUrl, PoolArgs, PoolerKind, ServeArgs,
        UnusableSetting, VariantKind,
    },
    store::{
        Additions, ChangeLog, ConnectError, ConnectOptions, Durations, Pooler, Store, Variant,
    },
};

const MINUTE: Duration = Duration::from_mins(1);

/// How the database is opened for commands, where a person waits: migrations wait for each other.
pub(crate) const PATIENT: Opening<'static> = Opening {
    durations: Durations { acquire: MINUTE, connect: MINUTE, start: MINUTE, statement: None },
    max_connections: 4,
    keeps_shares: false,
    log: ChangeLog::Wanted,
    create: true,
    listen_url: None,
    replicas: &[],
};

/// How a database is opened.
pub(crate) struct Opening<'a> {
    pub(crate) durations: Durations,
    pub(crate) max_connections: u32,
    /// Keep some for watching and for loads, whatever else is done.
    pub(crate) keeps_shares: bool,
    pub(crate) log: ChangeLog,
    /// Create a SQLite file that does not exist.
    pub(crate) create: bool,
    pub(crate) listen_url: Option<&'a DatabaseUrl>,
    pub(crate) replicas: &'a [DatabaseUrl],
}

impl<'a> Opening<'a> {
    /// How a server opens it.
    pub(crate) fn of(args: &'a ServeArgs) -> Self {
        let PoolArgs {
            database_max_connections,
            database_acquire_timeout,
            database_connect_timeout,
            database_start_timeout,
            database_statement_timeout,
            replica_database_url,
        } = &args.pool;
        let durations = Durations {
            acquire: database_acquire_timeout.std(),
            connect: database_connect_timeout.std(),
            start: database_start_timeout.std(),
            statement: Some(database_statement_timeout.std()),
        };
        Self {
            durations,
            max_connections: *database_max_connections,
            keeps_shares: true,
            log: log(args.changes.changes),
            create: true,
            listen_url: args.changes.listen_database_url.as_ref(),
            replicas: replica_database_url,
        }
    }
}

/// Whether this mode needs the log of changes.
pub(crate) fn log(mode: ChangesMode) -> ChangeLog {
    match mode {
        ChangesMode::Off => ChangeLog::LeftOut,
        ChangesMode::Auto | ChangesMode::Listen | ChangesMode::Poll => ChangeLog::Wanted,
    }
}

/// What the database gets where it lacks it.
pub(crate) fn additions(args: AdditionsArgs) -> Additions {
    let variant = args.variant.map(|kind| match kind {
        VariantKind::Erp => Variant::Erp,
        VariantKind::Alembic => Variant::Alembic,
    });
    let lock_patience = args.lock_patience.std();
    Additions { variant, catalogue: !args.no_catalogue, lock_patience }
}

/// Opens the database that the settings name.
pub(crate) async fn open_store(
    args: &DatabaseArgs,
    opening: &Opening<'_>,
) -> Result<Store, UnusableSetting> {
    let url = args.url()?;
    let ca_file = args.database_ca_file.as_deref();
    if let Some(path) = ca_file {
        read_file("--database-ca-file", path)?;
    }
    let pooler = match args.database_pooler {
        PoolerKind::None => Pooler::None,
        PoolerKind::Session => Pooler::Session,
        PoolerKind::Transaction => Pooler::Transaction,
    };
    let Opening { durations, max_connections, keeps_shares, log, create, listen_url, replicas } =
        *opening;
    let listen_url = listen_url.map(DatabaseUrl::expose);
    let options = ConnectOptions {
        url: url.expose(),
        listen_url,
        ca_file,
        pooler,
        max_connections,
        keeps_shares,
        durations,
        create,
    };
    let store =
        Store::open(&options, log).await.map_err(|error| unusable(args.setting(), &url, error))?;

    let setting = "--replica-database-url";
    if let Some(other) = replicas.iter().find(|replica| url.is_sqlite() || replica.is_sqlite()) {
        return Err(UnusableSetting::new(
            setting,
            format!("is {other}: only PostgreSQL has replicas"),
        ));
    }
    let replica = |url| ConnectOptions {
        url: DatabaseUrl::expose(url),
        listen_url: None,
        create: false,
        ..options
    };
    let replica_options: Vec<_> = replicas.iter().map(replica).collect();
    let unusable_replica = |error| UnusableSetting::new(setting, format!("is one that {error}"));
    store.with_replicas(&replica_options).await.map_err(unusable_replica)
}

/// Opens a database for reading. Tables that are not needed may be missing.
pub(crate) async fn open_to_read(args: &DatabaseArgs) -> Result<Store, UnusableSetting> {
    open_store(args, &Opening { log: ChangeLog::LeftOut, create: false, ..PATIENT }).await
}

fn unusable(setting: &'static str, url: &DatabaseUrl, error: ConnectError) -> UnusableSetting {
    let found = match error {
        ConnectError::Url => format!("is {url}: it {error}"),
        ConnectError::ListenUrl => return UnusableSetting::new("--listen-database-url", error),
        ConnectError::Open(_) => format!("is {url}, which {error}"),
        ConnectError::NoFile { .. } => {
            format!(
                "is {url}, which {error}: name the database that is meant; `entitlementd migrate` makes a new one"
            )
        }
    };
    UnusableSetting::new(setting, found)
}
