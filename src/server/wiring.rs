//! Assembling the parts of a server from the settings.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use chrono_tz::Tz;
use tokio::runtime::Handle;

use crate::{
    cache::{AfterChange, Cache, CacheSettings},
    clock::Clock,
    config::{
        CacheArgs, DecisionLogArgs, EdgeArgs, InstanceArgs, IssuerTenant, ServeArgs, TenantArgs,
        UnusableSetting,
    },
    domain::{BaseDomains, TenantId},
    observability::{
        decision_log::{DecisionLog, LogTarget},
        trace_sampling::TraceSampler,
    },
    security::{
        lease_keys::LeaseIssuer,
        token::{TokenRules, Tokens},
    },
    service::{
        Api, CallerGate, Core, Database, Hub, MaxAges, StreamPlaces, Tracer, gateway::Gateway,
    },
    store::{ChangeLog, LoadShares, Store},
    upstream::{LOADS_AT_ONCE, Origin, Upstream},
    usage::Usage,
};

/// How long a load may take, so that a caller learns of a dead database within two seconds.
const LOAD_TIMEOUT: Duration = Duration::from_millis(1500);

/// Instances without a database that follow, at most; half of them of one caller.
const MAX_FOLLOWERS: usize = 20_000;

/// Streams that record usage at a time, at most; half of them of one caller.
const MAX_RECORDERS: usize = 256;

/// What answers are made from beside facts, from settings and files.
pub(crate) struct Parts {
    pub(crate) callers: CallerGate,
    pub(crate) tokens: Tokens,
    pub(crate) gateway: Gateway,
    /// `None`: no leases are signed.
    pub(crate) leases: Option<Arc<LeaseIssuer>>,
    pub(crate) clock: Clock,
    /// Where loads run.
    pub(crate) runtime: Handle,
}

/// Assembles everything that an answer is made from, for an instance that has the database.
pub(crate) fn core(args: &ServeArgs, store: Store, parts: Parts) -> Result<Core, UnusableSetting> {
    let store = Arc::new(store);
    let usage = Usage::new(Arc::clone(&store), parts.clock.clone(), parts.runtime.clone());
    let shares = store.load_shares();
    // No replica has replayed a change that was just made: reloading would use the primary, which
    // is to be spared.
    let after_change =
        if args.pool.may_have_replicas() { AfterChange::Leave } else { AfterChange::Reload };
    let settings = cache_settings(&args.instance.cache, shares, after_change);
    let cache = (Origin::Store(Arc::clone(&store)), settings);
    let database = Database { store: Arc::clone(&store), usage: usage.clone() };
    let mut api = api(&args.instance, cache, Some(database), parts)?;
    api.zone = args.time_zone;
    api.accept_late = args.usage_accept_late.delta();
    if store.log() == ChangeLog::Wanted {
        // Nobody vouches for anything until the log has been read for the first time.
        api.cache.suspect();
    }
    Ok(Core { api, store, usage })
}

/// The same for an instance that asks an upstream.
pub(crate) fn edge(
    args: &EdgeArgs,
    upstream: &Arc<Upstream>,
    parts: Parts,
) -> Result<Api, UnusableSetting> {
    let shares = LoadShares { at_once: LOADS_AT_ONCE, past_the_cache: LOADS_AT_ONCE };
    let settings = cache_settings(&args.instance.cache, shares, AfterChange::Receive);
    let cache = (Origin::Upstream(Arc::clone(upstream)), settings);
    let api = api(&args.instance, cache, None, parts)?;
    // Nobody vouches for anything until the upstream has.
    api.cache.suspect();
    Ok(api)
}

fn cache_settings(
    args: &CacheArgs,
    LoadShares { at_once, past_the_cache }: LoadShares,
    after_change: AfterChange,
) -> CacheSettings {
    CacheSettings {
        ttl: args.cache_ttl.delta(),
        negative_ttl: args.negative_ttl.delta(),
        max_stale: args.max_stale.delta(),
        capacity: args.cache_capacity as usize,
        load_timeout: LOAD_TIMEOUT,
        max_loads: at_once,
        max_bypass_reads: past_the_cache,
        after_change,
    }
}

fn api(
    args: &InstanceArgs,
    (origin, settings): (Origin, CacheSettings),
    database: Option<Database>,
    Parts { callers, tokens, gateway, leases, clock, runtime }: Parts,
) -> Result<Api, UnusableSetting> {
    let hosts = BaseDomains::new(&args.tenant.base_domain, &args.tenant.reserved_label)
        .map_err(|error| UnusableSetting::new("--base-domain", format!("is unusable: {error}")))?;
    Ok(Api {
        hub: Hub::new(runtime.clone()),
        cache: Cache::new(Arc::new(origin), settings, runtime),
        database,
        followers: StreamPlaces::new(MAX_FOLLOWERS),
        tokens: Arc::new(tokens),
        hosts: Arc::new(hosts),
        limits: args.enforce_limits.into(),
        zone: Tz::UTC,
        accept_late: TimeDelta::zero(),
        is_guarded: args.security.callers_file.is_some() || args.listen.is_near(),
        lease_issuer: leases,
        callers,
        watchers: StreamPlaces::new(args.limit.max_watchers as usize),
        recorders: StreamPlaces::new(MAX_RECORDERS),
        ages: MaxAges {
            grant: args.cache.max_age.delta(),
            denial: args.cache.denial_max_age.delta(),
        },
        gateway: Arc::new(gateway),
        tracer: Tracer { sampler: TraceSampler::new(args.trace.sampling()), clock: clock.clone() },
        clock,
        decision_log: decision_log(&args.decision_log)?,
        metrics: Arc::default(),
    })
}

fn decision_log(args: &DecisionLogArgs) -> Result<Option<DecisionLog>, UnusableSetting> {
    let Some(path) = args.decision_log.clone() else { return Ok(None) };
    let max_bytes = u64::from(args.decision_log_max_mib) << 20;
    let file =
        LogTarget::File { path: path.clone(), max_bytes, kept: args.decision_log_kept.into() };
    let target = if path.as_os_str() == "-" { LogTarget::Stdout } else { file };
    DecisionLog::open(target, args.decision_log_one_grant_in).map(Some).map_err(|error| {
        UnusableSetting::new(
            "--decision-log",
            format!("names {}, which cannot be written: {error}", path.display()),
        )
    })
}

/// What tokens must contain, without any keys yet.
pub(crate) fn tokens(args: &TenantArgs) -> Result<Tokens, UnusableSetting> {
    Ok(Tokens::new(TokenRules {
        issuer: args.jwt_issuer.clone().filter(|issuer| !issuer.is_empty()),
        audience: args.jwt_audience.clone().filter(|audience| !audience.is_empty()),
        tenant_claim: args.jwt_tenant_claim.clone(),
        issuer_tenants: issuer_tenants(args)?,
    }))
}

/// The tenants that issuers are bound to. Binding an issuer that no setting requires tokens to have
/// could be evaded by naming another one.
fn issuer_tenants(
    args: &TenantArgs,
) -> Result<HashMap<String, HashSet<TenantId>>, UnusableSetting> {
    let issuers: HashSet<&str> = args
        .jwks_url
        .iter()
        .filter_map(|from| from.issuer.as_deref())
        .chain(args.jwt_issuer.as_deref())
        .collect();
    let mut bound: HashMap<String, HashSet<TenantId>> = HashMap::new();
    for IssuerTenant { issuer, tenant } in args.jwt_issuer_tenant.iter().cloned() {
        if !issuers.contains(issuer.as_str()) {
            let problem = format!(
                "names the issuer {issuer:?}, which neither --jwt-issuer nor --jwks-url names"
            );
            return Err(UnusableSetting::new("--jwt-issuer-tenant", problem));
        }
        bound.entry(issuer).or_default().insert(tenant);
    }
    Ok(bound)
}
