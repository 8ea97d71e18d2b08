//! From settings to parts.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::runtime::Handle;

use super::jwks;
use crate::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    config::{
        ChangesMode, DatabaseArgs, DatabaseUrl, DecisionLogArgs, IssuerTenant, PoolArgs, PoolerKind, ServeArgs,
        TenantArgs, TraceArgs, UnusableSetting,
    },
    decision_log::{DecisionLog, Target},
    domain::{BaseDomains, TenantId},
    service::{self, Ages, Api, CallerGate, Tracer, WatcherPlaces},
    store::{ChangeLog, ConnectError, ConnectOptions, Durations, Pooler, Store},
    token::{TokenRules, Tokens},
};

/// A load is given up after this long, so that a caller hears of a dead database within two seconds.
const LOAD_TIMEOUT: Duration = Duration::from_millis(1500);

/// Of the pool's connections, those that are left to what is read again in the background.
const FOR_BACKGROUND: usize = 2;

/// Readings past the cache at the same time, at most.
const MAX_PAST: usize = 4;

/// How the database is opened where a person waits: migrations wait for each other.
pub(super) const PATIENT: Opening<'static> = Opening {
    durations: Durations { acquire: Duration::from_mins(1), statement: None },
    max_connections: 4,
    log: ChangeLog::Wanted,
    create: true,
    listen_url: None,
    replicas: &[],
};

/// How a database is opened.
pub(super) struct Opening<'a> {
    pub(super) durations: Durations,
    pub(super) max_connections: u32,
    pub(super) log: ChangeLog,
    /// Make a SQLite file that is not there.
    pub(super) create: bool,
    pub(super) listen_url: Option<&'a DatabaseUrl>,
    pub(super) replicas: &'a [DatabaseUrl],
}

impl<'a> Opening<'a> {
    /// How a server opens it.
    pub(super) fn of(args: &'a ServeArgs) -> Self {
        let PoolArgs {
            database_max_connections,
            database_acquire_timeout,
            database_statement_timeout,
            replica_database_url,
        } = &args.pool;
        let durations =
            Durations { acquire: database_acquire_timeout.std(), statement: Some(database_statement_timeout.std()) };
        Self {
            durations,
            max_connections: *database_max_connections,
            log: log(args.changes.changes),
            create: true,
            listen_url: args.changes.listen_database_url.as_ref(),
            replicas: replica_database_url,
        }
    }
}

/// Does it want the log of changes?
pub(super) fn log(mode: ChangesMode) -> ChangeLog {
    match mode {
        ChangesMode::Off => ChangeLog::LeftOut,
        ChangesMode::Auto | ChangesMode::Listen | ChangesMode::Poll => ChangeLog::Wanted,
    }
}

/// Opens the database that the settings name.
pub(super) async fn open_store(args: &DatabaseArgs, opening: &Opening<'_>) -> Result<Store, UnusableSetting> {
    let url = args.url()?;
    let ca_file = args.database_ca_file.as_deref();
    if let Some(path) = ca_file {
        read("--database-ca-file", path)?;
    }
    let pooler = match args.database_pooler {
        PoolerKind::None => Pooler::None,
        PoolerKind::Session => Pooler::Session,
        PoolerKind::Transaction => Pooler::Transaction,
    };
    let Opening { durations, max_connections, log, create, listen_url, replicas } = *opening;
    let listen_url = listen_url.map(DatabaseUrl::expose);
    let options = ConnectOptions { url: url.expose(), listen_url, ca_file, pooler, max_connections, durations, create };
    let store = Store::open(&options, log).await.map_err(|error| unusable(args.setting(), &url, error))?;

    let setting = "--replica-database-url";
    if let Some(other) = replicas.iter().find(|replica| url.is_sqlite() || replica.is_sqlite()) {
        return Err(UnusableSetting::new(setting, format!("is {other}: only PostgreSQL has replicas")));
    }
    let replica = |url| ConnectOptions { url: DatabaseUrl::expose(url), listen_url: None, create: false, ..options };
    let replica_options: Vec<_> = replicas.iter().map(replica).collect();
    let unusable_replica = |error| UnusableSetting::new(setting, format!("is one that {error}"));
    store.with_replicas(&replica_options).await.map_err(unusable_replica)
}

/// Opens a database to look at. What is not asked for need not be there.
pub(super) async fn open_to_read(args: &DatabaseArgs) -> Result<Store, UnusableSetting> {
    open_store(args, &Opening { log: ChangeLog::LeftOut, create: false, ..PATIENT }).await
}

fn unusable(setting: &'static str, url: &DatabaseUrl, error: ConnectError) -> UnusableSetting {
    let found = match error {
        ConnectError::Url => format!("is {url}: it {error}"),
        ConnectError::ListenUrl => return UnusableSetting::new("--listen-database-url", error),
        ConnectError::Open(_) => format!("is {url}, which {error}"),
        ConnectError::NoFile { .. } => {
            format!("is {url}, which {error}: name the database that is meant; `entitlementd migrate` makes a new one")
        }
    };
    UnusableSetting::new(setting, found)
}

/// Puts together everything that an answer is made from. `runtime` is where loads run.
pub(super) fn api(
    args: &ServeArgs,
    store: Store,
    clock: Clock,
    runtime: Handle,
    callers: CallerGate,
    tokens: Tokens,
) -> Result<Api, UnusableSetting> {
    let store = Arc::new(store);
    let connections = args.pool.database_max_connections as usize;
    // A third, so that loads have most of them. There are four at least.
    let max_past = (connections / 3).min(MAX_PAST);
    let settings = CacheSettings {
        ttl: args.cache.cache_ttl.delta(),
        negative_ttl: args.cache.negative_ttl.delta(),
        max_stale: args.cache.max_stale.delta(),
        capacity: args.cache.cache_capacity as usize,
        load_timeout: LOAD_TIMEOUT,
        max_loads: connections - FOR_BACKGROUND - max_past,
        max_past,
        // No replica has replayed what has changed just now: it is the primary that would be asked, and is to be spared.
        reload_changed: args.pool.replica_database_url.is_empty(),
    };
    let hosts = BaseDomains::new(&args.tenant.base_domain, &args.tenant.reserved_label)
        .map_err(|error| UnusableSetting::new("--base-domain", format!("is unusable: {error}")))?;
    Ok(Api {
        cache: Cache::new(Arc::clone(&store), settings, runtime),
        store,
        tokens: Arc::new(tokens),
        hosts: Arc::new(hosts),
        callers,
        watchers: WatcherPlaces::new(args.limit.max_watchers as usize),
        ages: Ages { grant: args.cache.max_age.delta(), denial: args.cache.denial_max_age.delta() },
        clock,
        gateway: Arc::new(super::routes::gateway(&args.gateway)?),
        tracer: tracer(&args.trace),
        decision_log: decision_log(&args.decision_log)?,
        metrics: Arc::new(service::metrics()),
    })
}

/// Where nothing is exported, a trace of our own would be of no use.
fn tracer(args: &TraceArgs) -> Tracer {
    Tracer { one_in: if args.otlp_endpoint.is_some() { args.trace_one_in } else { 0 } }
}

fn decision_log(args: &DecisionLogArgs) -> Result<Option<DecisionLog>, UnusableSetting> {
    let Some(path) = args.decision_log.clone() else { return Ok(None) };
    let max_bytes = (args.decision_log_max_mib as usize) << 20;
    let file = Target::File { path: path.clone(), max_bytes, kept: args.decision_log_kept.into() };
    let target = if path.as_os_str() == "-" { Target::Stdout } else { file };
    DecisionLog::open(&target, args.decision_log_one_grant_in).map(Some).map_err(|error| {
        UnusableSetting::new("--decision-log", format!("names {}, which cannot be written: {error}", path.display()))
    })
}

/// The keys of the settings that are in files.
pub(super) fn tokens(args: &TenantArgs) -> Result<Tokens, UnusableSetting> {
    let mut tokens = Tokens::new(TokenRules {
        issuer: args.jwt_issuer.clone().filter(|issuer| !issuer.is_empty()),
        audience: args.jwt_audience.clone().filter(|audience| !audience.is_empty()),
        tenant_claim: args.jwt_tenant_claim.clone(),
        issuer_tenants: issuer_tenants(args)?,
    });
    if let Some(path) = &args.jwt_secret_file {
        let setting = "--jwt-secret-file";
        let added = tokens.add_secret(&read(setting, path)?);
        added.map_err(|error| UnusableSetting::new(setting, format!("names {}, which {error}", path.display())))?;
    }
    if let Some(path) = &args.jwks_file {
        let setting = "--jwks-file";
        let added = tokens.add_jwks(&read(setting, path)?);
        let taken =
            added.map_err(|error| UnusableSetting::new(setting, format!("names {}, which {error}", path.display())))?;
        jwks::tell(&path.display(), taken);
    }
    Ok(tokens)
}

/// The tenants that issuers are bound to. One that no token must name could be evaded by naming another.
fn issuer_tenants(args: &TenantArgs) -> Result<HashMap<String, HashSet<TenantId>>, UnusableSetting> {
    let issuers: HashSet<&str> =
        args.jwks_url.iter().filter_map(|from| from.issuer.as_deref()).chain(args.jwt_issuer.as_deref()).collect();
    let mut bound: HashMap<String, HashSet<TenantId>> = HashMap::new();
    for IssuerTenant { issuer, tenant } in args.jwt_issuer_tenant.iter().cloned() {
        if !issuers.contains(issuer.as_str()) {
            let problem = format!("names the issuer {issuer:?}, which neither --jwt-issuer nor --jwks-url names");
            return Err(UnusableSetting::new("--jwt-issuer-tenant", problem));
        }
        bound.entry(issuer).or_default().insert(tenant);
    }
    Ok(bound)
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, UnusableSetting> {
    fs::read(path).map_err(|error| {
        UnusableSetting::new(setting, format!("names {}, which cannot be read: {error}", path.display()))
    })
}
