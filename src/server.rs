//! A server: binding, wiring, supervising, stopping.

mod background;
pub(crate) mod database;
mod endpoints;
mod followed;
pub(crate) mod gateway;
mod lease_keys;
mod net;
mod security;
mod supervise;
pub(crate) mod template;
mod wiring;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures_util::future::FutureExt;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

use self::{
    background::{
        addresses::Addresses, feed::FeedReport, follow::UpstreamSource, jwks::Fetchers, key_files,
        readiness::Readiness, reload::Reload, state::State,
    },
    database::Opening,
    endpoints::{admin, data, forward_auth, probes::Probes, server_metrics::ServerMetrics},
    followed::{Followed, FollowedDatabase, Sources},
    lease_keys::LeaseKeysFile,
    net::listener::Endpoint,
    security::Security,
    supervise::{CoreWork, EdgeWork, Endpoints, Server, Work},
    wiring::Parts,
};
use crate::{
    clock::Clock,
    config::{
        ChangesMode, EdgeArgs, Enforce, Given, InstanceArgs, ListenAddress, ServeArgs, Source,
        UnusableSetting,
    },
    service::{
        Api,
        grpc::{
            administration::AdminServices, front::Front, health::HealthReporter,
            reflection::DescriptorError,
        },
    },
    upstream::Upstream,
};

/// Why a server did not start, or ended without being asked to.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] UnusableSetting),
    /// A thread could not be started.
    #[error("a worker cannot be started: {0}")]
    Worker(io::Error),
    /// The API's descriptors are inconsistent.
    #[error("reflection cannot be offered: {0}")]
    Reflection(#[from] DescriptorError),
    /// A part ended that should run until the server stops.
    #[error("{0} ended by itself")]
    Ended(&'static str),
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// The address that it listens on, with the actual port.
    pub address: ListenAddress,
    /// The address for proxies that ask over HTTP, if there is one.
    pub forward_auth_address: Option<ListenAddress>,
    /// The address for administrators, if there is one.
    pub admin_address: Option<ListenAddress>,
    /// The address of the metrics and probes, if there is one.
    pub metrics_address: Option<SocketAddr>,
    reload: Reload,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// Waits until it ends without being stopped, which should never happen.
    pub async fn ended(&mut self) -> ServeError {
        match (&mut self.task).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => ServeError::Ended("the server"),
        }
    }

    /// Reads all files and key sets again that are followed, and opens the decision log again, at
    /// once. What cannot be used is logged, and what was read before stays in effect.
    pub fn reload(&self) {
        self.reload.ask();
    }

    /// Stops the server, and waits until it has ended.
    pub async fn stop(self) -> Result<(), ServeError> {
        // If the server has already ended, the error follows below.
        _ = self.stop.send(());
        self.task.await.unwrap_or(Err(ServeError::Ended("the server")))
    }
}

/// Starts an instance that has the database: every error in its settings is found before it listens.
pub async fn start(args: ServeArgs, clock: Clock) -> Result<Running, ServeError> {
    let (addresses, opening) = (Addresses::open(&args)?, Opening::of(&args));
    let url = addresses.url().clone();
    let template = template::load(args.admin.tenant_template.as_deref())?;
    let store = addresses.open_store(&opening).await?.with_template(template);
    let Opened { security, parts, mut followed } = Opened::of(&args.instance, clock)?;
    let core = wiring::core(&args, store, parts)?;
    let (template, reload) = (args.admin.tenant_template.clone(), Reload::default());
    let database = FollowedDatabase { core: core.clone(), addresses, opening, template };
    followed.database = Some(database);
    let mut sources = followed.by(&core.api, &reload);
    let health = HealthReporter::default();
    let admin = admin::bind(&args, &core, &health, &security, reload.heard()).await?;
    let (admin, tokens) = admin.unzip();
    sources.extend(tokens.map(FutureExt::boxed));
    let report = Arc::default();
    let readiness = Readiness::of_core(&core, args.changes.changes, Arc::clone(&report));
    let readiness = Arc::new(readiness);
    let migrate = (args.migrate || url.is_sqlite()).then(|| database::additions(args.additions));
    let off = [
        ("changes", args.changes.changes == ChangesMode::Off),
        ("enforcement", args.instance.gateway.enforce == Enforce::Off),
    ];
    let api = core.api.clone();
    let work = Work::Core(Box::new(CoreWork {
        core,
        migrate,
        changes: args.changes.clone(),
        nightly: (args.reconcile_usage.clone(), args.reconcile_usage_at),
    }));
    let prepared = Prepared {
        api,
        max_connections: Some(args.pool.database_max_connections),
        facts_from: url.to_string(),
        given: &args.given,
        off: &off,
        work,
        security,
        health,
        report,
        readiness,
        admin,
        sources,
        reload,
    };
    prepared.run(&args.instance).await
}

/// Starts an instance that has no database, in the same way.
pub async fn start_edge(args: EdgeArgs, clock: Clock) -> Result<Running, ServeError> {
    let upstream = Arc::<Upstream>::default();
    let source = UpstreamSource::open(&args)?;
    let Opened { security, parts, followed } = Opened::of(&args.instance, clock)?;
    let api = wiring::edge(&args, &upstream, parts)?;
    let (reload, health) = (Reload::default(), HealthReporter::default());
    let sources = followed.by(&api, &reload);
    let report = Arc::default();
    let readiness = Arc::new(Readiness::of_edge(api.clone(), Arc::clone(&report)));
    let prepared = Prepared {
        api,
        max_connections: None,
        facts_from: source.to_string(),
        given: &args.given,
        off: &[("enforcement", args.instance.gateway.enforce == Enforce::Off)],
        work: Work::Edge(Box::new(EdgeWork { source, upstream })),
        security,
        health,
        report,
        readiness,
        admin: None,
        sources,
        reload,
    };
    prepared.run(&args.instance).await
}

/// What both kinds of instances open first.
struct Opened<'a> {
    security: Security<'a>,
    parts: Parts,
    followed: Followed,
}

impl<'a> Opened<'a> {
    fn of(args: &'a InstanceArgs, clock: Clock) -> Result<Self, UnusableSetting> {
        let (security, tls) = Security::open(&args.security, &clock)?;
        let (callers, callers_file) = security::callers(&args.security)?;
        let mut tokens = wiring::tokens(&args.tenant)?;
        let keys = key_files::open_all(&args.tenant, &mut tokens)?;
        let fetchers = Fetchers::open(&args.tenant, &mut tokens, &clock)?;
        let (gateway, routes) = gateway::open(&args.gateway, callers_file.is_some())?;
        let lease_keys = LeaseKeysFile::open(&args.lease, args.metrics_listen)?;
        let leases = lease_keys.as_ref().map(LeaseKeysFile::issuer);
        let parts = Parts { callers, tokens, gateway, leases, clock, runtime: Handle::current() };
        let (database, callers) = (None, callers_file);
        let followed = Followed { database, tls, callers, keys, lease_keys, fetchers, routes };
        Ok(Self { security, parts, followed })
    }
}

/// An instance that is about to listen.
struct Prepared<'a> {
    api: Api,
    /// Connections to the database at the same time; `None`: there is none.
    max_connections: Option<u32>,
    /// The database, or the upstreams.
    facts_from: String,
    given: &'a [Given],
    off: &'a [(&'a str, bool)],
    work: Work,
    security: Security<'a>,
    health: HealthReporter,
    report: Arc<Mutex<FeedReport>>,
    readiness: Arc<Readiness>,
    admin: Option<Endpoint<Front<AdminServices>>>,
    sources: Sources,
    reload: Reload,
}

impl Prepared<'_> {
    /// Listens, and runs all of it.
    async fn run(self, args: &InstanceArgs) -> Result<Running, ServeError> {
        // Before anything is answered, so that the first answers are good.
        let open = |path| State::open(path, self.api.clone(), &self.facts_from);
        let state = args.cache.state_dir.as_deref().map(open).transpose()?;
        let data = data::bind(args, &self.api, &self.health, &self.security).await?;
        let forward_auth = forward_auth::bind(args, &self.api, &self.security).await?;
        let admin_in_flight = self.admin.as_ref().map(|admin| admin.answers.in_flight());
        let in_flight = [Some(data.answers.in_flight()), admin_in_flight];
        let metrics = ServerMetrics::new(
            self.max_connections,
            self.api.clone(),
            Arc::clone(&self.report),
            Arc::clone(&self.readiness),
            self.security.offer(),
            in_flight.into_iter().flatten().collect(),
            state.clone(),
        );
        let connections = metrics.connections.clone();
        let probes = Probes::bind(args.metrics_listen, metrics, &self.security).await?;
        let address = data.address.clone();
        self.log_start(args, &address);

        let Self { api, work, health, report, readiness, admin, sources, reload, .. } = self;
        let (stop, stopped) = oneshot::channel();
        let forward_auth_address = forward_auth.as_ref().map(|endpoint| endpoint.address.clone());
        let admin_address = admin.as_ref().map(|endpoint| endpoint.address.clone());
        let metrics_address = probes.as_ref().map(Probes::address);
        let endpoints = Endpoints { data, forward_auth, admin, probes };
        let server = Server::new(args.clone(), api, work, health, report, readiness, connections);
        let task =
            tokio::spawn(server.keeping(state).supervise(endpoints, sources, stopped.map(|_| ())));
        Ok(Running {
            address,
            forward_auth_address,
            admin_address,
            metrics_address,
            reload,
            stop,
            task,
        })
    }

    /// The first line of the log: what has started, and the settings that may surprise.
    fn log_start(&self, args: &InstanceArgs, address: &ListenAddress) {
        let is_default = |given: &&Given| given.source == Source::Default;
        let settings: Vec<String> =
            self.given.iter().filter(|given| !is_default(given)).map(ToString::to_string).collect();
        let off = [
            ("TLS", args.security.tls_cert.is_none()),
            ("callers", !self.security.knows_callers()),
            ("metrics", args.metrics_listen.is_none()),
        ];
        let off: Vec<&str> = off
            .iter()
            .chain(self.off)
            .filter_map(|(what, is_off)| is_off.then_some(*what))
            .collect();
        let has_database = self.max_connections.is_some();
        tracing::info!(
            %address,
            database = has_database.then(|| tracing::field::display(&self.facts_from)),
            upstream = (!has_database).then(|| tracing::field::display(&self.facts_from)),
            // At most, in all; as many to each replica.
            database_connections = self.max_connections,
            off = %off.join(", "),
            settings = %settings.join(" "),
            "entitlementd {} is listening on {address}",
            env!("CARGO_PKG_VERSION")
        );
        for Given { flag, value, source } in self.given {
            tracing::debug!(value, %source, "setting {flag}");
        }
    }
}

/// A duration changed randomly by up to a tenth: many instances must not do their work at the same
/// instant.
fn jittered(span: Duration) -> Duration {
    span.mul_f64(0.9 + 0.2 * fastrand::f64())
}

/// The contents of a file that a setting names.
fn read_file(setting: &'static str, path: &Path) -> Result<Vec<u8>, UnusableSetting> {
    background::reloaded_files::read(path).map_err(|problem| UnusableSetting::new(setting, problem))
}
