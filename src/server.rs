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
use thiserror::Error;
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

use self::{
    background::{
        addresses::Addresses, jwks::Fetchers, key_files, readiness::Readiness, reload::Reload,
    },
    database::Opening,
    endpoints::{admin, data, forward_auth, probes::Probes, server_metrics::ServerMetrics},
    followed::{Followed, Sources},
    lease_keys::LeaseKeysFile,
    security::Security,
    supervise::{Endpoints, Server},
};
use crate::{
    clock::Clock,
    config::{
        ChangesMode, DatabaseUrl, Enforce, Given, ListenAddress, ServeArgs, Source, UnusableSetting,
    },
    service::grpc::{health::HealthReporter, reflection::DescriptorError},
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

/// Starts a server: every error in its settings is found before it listens.
pub async fn start(args: ServeArgs, clock: Clock) -> Result<Running, ServeError> {
    let (addresses, opening) = (Addresses::open(&args)?, Opening::of(&args));
    let url = addresses.url().clone();
    let template = template::load(args.admin.tenant_template.as_deref())?;
    let store = addresses.open_store(&opening).await?.with_template(template);
    let (security, tls) = Security::open(&args.security, &clock)?;
    let (callers, callers_file) = security::callers(&args.security)?;
    let mut tokens = wiring::tokens(&args.tenant)?;
    let keys = key_files::open_all(&args.tenant, &mut tokens)?;
    let fetchers = Fetchers::open(&args.tenant, &mut tokens, &clock)?;
    let (gateway, routes) = gateway::open(&args.gateway, callers_file.is_some())?;
    let lease_keys = LeaseKeysFile::open(&args.lease, args.metrics_listen)?;
    let leases = lease_keys.as_ref().map(LeaseKeysFile::issuer);
    let parts = wiring::Parts { store, callers, tokens, gateway, leases };
    let api = wiring::api(&args, parts, clock, Handle::current())?;
    let reload = Reload::default();
    let (callers, template) = (callers_file, args.admin.tenant_template.clone());
    let followed =
        Followed { addresses, tls, callers, keys, lease_keys, fetchers, routes, template };
    let mut sources = followed.by(&api, opening, &reload);

    let health = HealthReporter::default();
    let data = data::bind(&args, &api, &health, &security).await?;
    let forward_auth = forward_auth::bind(&args, &api, &security).await?;
    let (admin, tokens) =
        admin::bind(&args, &api, &health, &security, reload.heard()).await?.unzip();
    sources.extend(tokens.map(FutureExt::boxed));
    let report = Arc::default();
    let readiness =
        Arc::new(Readiness::new(api.clone(), args.changes.changes, Arc::clone(&report)));
    let in_flight =
        [Some(data.answers.in_flight()), admin.as_ref().map(|admin| admin.answers.in_flight())];
    let in_flight = in_flight.into_iter().flatten().collect();
    let metrics = ServerMetrics::new(
        &args,
        api.clone(),
        Arc::clone(&report),
        Arc::clone(&readiness),
        security.offer(),
        in_flight,
    );
    let connections = metrics.connections.clone();
    let probes = Probes::bind(args.metrics_listen, metrics, &security).await?;
    let address = data.address.clone();
    log_start(&args, &security, &address, &url);

    let (stop, stopped) = oneshot::channel();
    let forward_auth_address = forward_auth.as_ref().map(|endpoint| endpoint.address.clone());
    let admin_address = admin.as_ref().map(|endpoint| endpoint.address.clone());
    let metrics_address = probes.as_ref().map(Probes::address);
    let endpoints = Endpoints { data, forward_auth, admin, probes };
    let migrate = (args.migrate || url.is_sqlite()).then(|| database::additions(args.additions));
    let server = Server::new(args, api, health, migrate, report, readiness, connections);
    let task = tokio::spawn(server.supervise(endpoints, sources, stopped.map(|_| ())));
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
fn log_start(
    args: &ServeArgs,
    security: &Security<'_>,
    address: &ListenAddress,
    database: &DatabaseUrl,
) {
    let settings: Vec<String> = args
        .given
        .iter()
        .filter(|given| given.source != Source::Default)
        .map(ToString::to_string)
        .collect();
    let off = [
        ("TLS", args.security.tls_cert.is_none()),
        ("callers", !security.knows_callers()),
        ("changes", args.changes.changes == ChangesMode::Off),
        ("metrics", args.metrics_listen.is_none()),
        ("enforcement", args.gateway.enforce == Enforce::Off),
    ];
    let off: Vec<&str> =
        off.into_iter().filter_map(|(what, is_off)| is_off.then_some(what)).collect();
    tracing::info!(
        %address,
        %database,
        // At most, in all; as many to each replica.
        database_connections = args.pool.database_max_connections,
        off = %off.join(", "),
        settings = %settings.join(" "),
        "entitlementd {} is listening on {address}",
        env!("CARGO_PKG_VERSION")
    );
    for Given { flag, value, source } in &args.given {
        tracing::debug!(value, %source, "setting {flag}");
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
