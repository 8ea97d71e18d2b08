//! From settings to parts.

use std::{fs, path::Path, sync::Arc, time::Duration};

use tokio::runtime::Handle;

use crate::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    config::{DatabaseArgs, ServeArgs, TenantArgs, UnusableSetting},
    domain::BaseDomains,
    service::{Ages, Api},
    store::{ConnectError, ConnectOptions, Durations, Store},
    token::{TokenRules, Tokens},
};

/// A load is given up after this long, so that a caller hears of a dead database within two seconds.
const LOAD_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long the database may take while a caller waits. Acquiring ends first: its error says more.
pub(super) const SERVING: Durations =
    Durations { acquire: Duration::from_secs(1), statement: Some(Duration::from_millis(1500)) };

/// How long the database may take while a person waits. Migrations wait for each other.
pub(super) const PATIENT: Durations = Durations { acquire: Duration::from_mins(1), statement: None };

/// Opens the database that the settings name.
///
/// `create`: make a SQLite file that is not there.
pub(super) async fn open_store(
    args: &DatabaseArgs,
    durations: Durations,
    create: bool,
) -> Result<Store, UnusableSetting> {
    let url = args.url()?;
    let ca_file = args.database_ca_file.as_deref();
    if let Some(path) = ca_file {
        read("--database-ca-file", path)?;
    }
    let options = ConnectOptions { url: url.expose(), ca_file, durations, create };
    Store::open(&options).await.map_err(|error| {
        let found = match error {
            ConnectError::Url => format!("is {url}: it {error}"),
            ConnectError::Open(_) => format!("is {url}, which {error}"),
        };
        UnusableSetting::new(args.setting(), found)
    })
}

/// Puts together everything that an answer is made from. `runtime` is where loads run.
pub(super) fn api(args: &ServeArgs, store: Store, clock: Clock, runtime: Handle) -> Result<Api, UnusableSetting> {
    let store = Arc::new(store);
    let settings = CacheSettings {
        ttl: args.cache.cache_ttl.delta(),
        negative_ttl: args.cache.negative_ttl.delta(),
        capacity: args.cache.cache_capacity as usize,
        load_timeout: LOAD_TIMEOUT,
    };
    let hosts = BaseDomains::new(&args.tenant.base_domain, &args.tenant.reserved_label)
        .map_err(|error| UnusableSetting::new("--base-domain", format!("is unusable: {error}")))?;
    Ok(Api {
        cache: Cache::new(Arc::clone(&store), settings, runtime),
        store,
        tokens: Arc::new(tokens(&args.tenant)?),
        hosts: Arc::new(hosts),
        ages: Ages { grant: args.cache.max_age.delta(), denial: args.cache.denial_max_age.delta() },
        clock,
    })
}

fn tokens(args: &TenantArgs) -> Result<Tokens, UnusableSetting> {
    let mut tokens = Tokens::new(TokenRules {
        issuer: args.jwt_issuer.clone().filter(|issuer| !issuer.is_empty()),
        audience: args.jwt_audience.clone().filter(|audience| !audience.is_empty()),
        tenant_claim: args.jwt_tenant_claim.clone(),
    });
    if let Some(path) = &args.jwt_secret_file {
        let setting = "--jwt-secret-file";
        let added = tokens.add_secret(&read(setting, path)?);
        added.map_err(|error| UnusableSetting::new(setting, format!("names {}, which {error}", path.display())))?;
    }
    if let Some(path) = &args.jwks_file {
        let setting = "--jwks-file";
        let added = tokens.add_jwks(&read(setting, path)?);
        added.map_err(|error| UnusableSetting::new(setting, format!("names {}, which {error}", path.display())))?;
    }
    Ok(tokens)
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, UnusableSetting> {
    fs::read(path).map_err(|error| {
        UnusableSetting::new(setting, format!("names {}, which cannot be read: {error}", path.display()))
    })
}
