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
pub(crate) const PATIENT: Opening = Opening {
    durations: Durations { acquire: MINUTE, connect: MINUTE, start: MINUTE, statement: None },
    max_connections: 4,
    keeps_shares: false,
    log: ChangeLog::Wanted,
    create: true,
    pooler: Pooler::None,
};

/// How a database is opened, wherever it is.
#[derive(Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) durations: Durations,
    pub(crate) max_connections: u32,
    /// Keep some for watching and for loads, whatever else is done.
    pub(crate) keeps_shares: bool,
    pub(crate) log: ChangeLog,
    /// Create a SQLite file that does not exist.
    pub(crate) create: bool,
    /// That of a server; commands have it in their arguments.
    pub(crate) pooler: Pooler,
}

impl Opening {
    /// How a server opens it.
    pub(crate) fn of(args: &ServeArgs) -> Self {
        let PoolArgs {
            database_max_connections,
            database_acquire_timeout,
            database_connect_timeout,
            database_start_timeout,
            database_statement_timeout,
            ..
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
            pooler: pooler(&args.database),
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

fn pooler(args: &DatabaseArgs) -> Pooler {
    match args.database_pooler {
        PoolerKind::None => Pooler::None,
        PoolerKind::Session => Pooler::Session,
        PoolerKind::Transaction => Pooler::Transaction,
    }
}

/// Opens the database that the settings of a command name.
pub(crate) async fn open_store(
    args: &DatabaseArgs,
    opening: &Opening,
) -> Result<Store, UnusableSetting> {
    let url = args.url()?;
    let ca = args.database_ca_file.as_deref();
    let ca = ca.map(|path| read_file("--database-ca-file", path)).transpose()?;
    let opening = Opening { pooler: pooler(args), ..*opening };
    open_at(&url, ca.as_deref(), args.setting(), &opening).await
}

/// Opens the database at this URL, which this setting has.
pub(crate) async fn open_at(
    url: &DatabaseUrl,
    ca: Option<&[u8]>,
    setting: &'static str,
    opening: &Opening,
) -> Result<Store, UnusableSetting> {
    let store = Store::open(&connect_options(opening, url, ca), opening.log).await;
    store.map_err(|error| unusable(setting, url, error))
}

/// How connections to this URL are opened.
pub(crate) fn connect_options<'a>(
    opening: &Opening,
    url: &'a DatabaseUrl,
    ca: Option<&'a [u8]>,
) -> ConnectOptions<'a> {
    let Opening { durations, max_connections, keeps_shares, create, pooler, .. } = *opening;
    ConnectOptions {
        url: url.expose(),
        ca,
        pooler,
        max_connections,
        keeps_shares,
        durations,
        create,
    }
}

/// Opens a database for reading. Tables that are not needed may be missing.
pub(crate) async fn open_to_read(args: &DatabaseArgs) -> Result<Store, UnusableSetting> {
    open_store(args, &Opening { log: ChangeLog::LeftOut, create: false, ..PATIENT }).await
}

pub(super) fn unusable(
    setting: &'static str,
    url: &DatabaseUrl,
    error: ConnectError,
) -> UnusableSetting {
    let found = match error {
        ConnectError::Url
        | ConnectError::PostgresUrl
        | ConnectError::NotEncoded
        | ConnectError::NoReplicas => format!("is {url}: it {error}"),
        ConnectError::Open(_) => format!("is {url}, which {error}"),
        ConnectError::NoFile { .. } => {
            format!(
                "is {url}, which {error}: name the database that is meant; `entitlementd migrate` makes a new one"
            )
        }
    };
    UnusableSetting::new(setting, found)
}
