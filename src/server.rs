//! A server: bind, wire, supervise, stop.

mod background;
pub(crate) mod database;
mod endpoints;
pub(crate) mod gateway;
mod net;
mod security;
pub(crate) mod template;
mod wiring;

use std::{convert::Infallible, fs, future::Future, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt, OptionFuture, select_all},
    stream::FuturesUnordered,
};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tonic::service::Routes;
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, health_reporter},
};

use self::{
    background::{
        feed::{Feed, Report},
        jwks,
        readiness::{self, Readiness},
        upkeep,
    },
    database::Opening,
    endpoints::{
        admin::{self, Admin},
        forward_auth::Forward,
        probes::Probes,
        readings::Readings,
        reflection,
    },
    net::{
        connection::{ConnectionSettings, KEEP_ALIVE_INTERVAL, Protocol},
        listener::{Inbox, Listener, MostConnections},
        tls::TlsOffer,
        unread::UnreadPool,
        worker::{self, Answers},
    },
    security::Security,
};
use crate::{
    clock::Clock,
    config::{Insecure, LimitArgs, ListenAddress, ServeArgs, UnusableSetting},
    proto::v1::{entitlement_service_server, tenant_admin_service_server},
    service::{
        Api,
        admin::{AdminApi, AdminTurns, SETUP_TIMEOUT},
        grpc::{
            admin_front::AdminFront,
            front::{Front, FrontSettings},
        },
    },
};

/// At shutdown, a database that hangs is not waited for longer than this.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a server did not start, or ended before it was told to.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] UnusableSetting),
    /// A thread could not be started.
    #[error("a worker cannot be started: {0}")]
    Worker(io::Error),
    /// The descriptors of the API do not fit together.
    #[error("reflection cannot be offered: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A part ended that never should.
    #[error("{0} ended by itself")]
    Ended(&'static str),
}

/// A server that is running.
#[derive(Debug)]
pub struct Running {
    /// Where it listens, with the port that it was given.
    pub address: ListenAddress,
    /// Where it answers proxies over HTTP, if it does.
    pub forward_auth_address: Option<ListenAddress>,
    /// Where it answers administrators, if it does.
    pub admin_address: Option<ListenAddress>,
    /// Where it shows its metrics and answers probes, if it does.
    pub metrics_address: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// Waits until it ends by itself, which it never should.
    pub async fn ended(&mut self) -> ServeError {
        match (&mut self.task).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => ServeError::Ended("the server"),
        }
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(self) -> Result<(), ServeError> {
        // A server that has ended already says how below.
        _ = self.stop.send(());
        self.task.await.unwrap_or(Err(ServeError::Ended("the server")))
    }
}

/// Starts a server: everything that can be wrong with its settings is found before it listens.
pub async fn start(args: ServeArgs, clock: Clock) -> Result<Running, ServeError> {
    let url = args.database.url()?;
    let template = template::load(args.admin.tenant_template.as_deref())?;
    let store = database::open_store(&args.database, &Opening::of(&args)).await?.with_template(template);
    let (security, tls_files) = Security::open(&args.security, &clock)?;
    let (callers, callers_file) = security::callers(&args.security)?;
    let mut tokens = wiring::tokens(&args.tenant)?;
    let fetchers = jwks::fetchers(&args.tenant, &mut tokens, &clock)?;
    let api = wiring::api(&args, store, clock, Handle::current(), callers.clone(), tokens)?;
    let mut followed = FollowedSources::new();
    followed.extend(fetchers.into_iter().map(|fetcher| fetcher.run().boxed()));
    followed.extend(tls_files.map(|files| files.follow().boxed()));
    followed.extend(callers_file.map(|file| security::follow_callers(file, callers).boxed()));

    let (health, health_service) = health_reporter();
    readiness::report(&health, ServingStatus::NotServing).await;
    let front_settings = FrontSettings {
        max_in_flight: args.limit.max_in_flight as usize,
        request_timeout: args.limit.request_timeout.std(),
    };
    let front = Front::new(
        api.clone(),
        reflection::add(Routes::new(health_service.clone()), entitlement_service_server::SERVICE_NAME)?,
        front_settings,
    );

    let tls = security.of(Insecure::Data, "--listen", &args.listen)?;
    security.needs_callers("--listen", &args.listen)?;
    let (address, listener) = Listener::bind("--listen", &args.listen).await?;
    let forward = Forward::bind(&args.gateway, &api, front_settings.request_timeout, &security).await?;
    let forward_auth_address = forward.as_ref().map(|forward| forward.address.clone());
    let admin = Admin::bind(&args.admin, &security).await?;
    let admin_address = admin.as_ref().map(|admin| admin.address.clone());
    let admin = admin.map(|admin| {
        let tokens = admin.tokens;
        followed.push(admin::follow(tokens, admin.gate.clone()).boxed());
        let others = reflection::add(Routes::new(health_service), tenant_admin_service_server::SERVICE_NAME)?;
        let turns = AdminTurns::on(Handle::current());
        let service = AdminApi { api: api.clone(), gate: admin.gate.clone(), turns };
        let front = AdminFront::new(service, others, front_settings.request_timeout);
        Ok::<_, ServeError>((admin.listener, front, admin.tls))
    });
    let admin = admin.transpose()?;
    let report = Arc::default();
    let readiness = Arc::new(Readiness::new(api.clone(), args.changes.changes, Arc::clone(&report)));
    let readings = Readings::new(&args, api.clone(), Arc::clone(&report), Arc::clone(&readiness), security.offer());
    let probes = Probes::bind(args.metrics_listen, readings, &security).await?;
    let metrics_address = probes.as_ref().map(Probes::address);
    tracing::info!(%address, database = %url, settings = ?args, "listening on {address}");

    let (stop, stopped) = oneshot::channel();
    let migrate = args.migrate || url.is_sqlite();
    let server = Server { args, api, health, migrate, report, readiness, unread: UnreadPool::default() };
    let listeners = Listeners { data: (listener, front, tls), forward, admin, probes };
    let task = tokio::spawn(server.supervise(listeners, followed, stopped.map(|_| ())));
    Ok(Running { address, forward_auth_address, admin_address, metrics_address, stop, task })
}

/// Files and URLs that are read again.
type FollowedSources = FuturesUnordered<BoxFuture<'static, Infallible>>;

/// Where somebody may come in, and what answers there.
struct Listeners {
    data: (Listener, Front, Option<TlsOffer>),
    forward: Option<Forward>,
    admin: Option<(Listener, AdminFront, Option<TlsOffer>)>,
    probes: Option<Probes>,
}

struct Server {
    args: ServeArgs,
    api: Api,
    health: HealthReporter,
    migrate: bool,
    report: Arc<Mutex<Report>>,
    readiness: Arc<Readiness>,
    unread: UnreadPool,
}

impl Server {
    /// Runs every part, ends when one ends or when it is told to, and then drains.
    async fn supervise(
        mut self,
        listeners: Listeners,
        mut followed: FollowedSources,
        stopped: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let (drain, draining) = watch::channel(false);
        let (listener, front, tls) = listeners.data;
        let settings = self.connection_settings(Protocol::Http2, tls);
        let (inboxes, mut ends) = self.start_workers("worker", &front, settings, &draining)?;
        let mut accepting = AbortOnDrop(tokio::spawn(listener.accept_into(inboxes, self.most_connections())));
        let mut forwarding = None;
        if let Some(Forward { listener, service, tls, .. }) = listeners.forward {
            let settings = self.connection_settings(Protocol::Http1, tls);
            let (inboxes, more) = self.start_workers("forward-auth", &service, settings, &draining)?;
            ends.extend(more);
            forwarding = Some(AbortOnDrop(tokio::spawn(listener.accept_into(inboxes, self.most_connections()))));
        }
        let mut administering = None;
        if let Some((listener, front, tls)) = listeners.admin {
            let settings = self.connection_settings(Protocol::Http2, tls);
            let request_timeout = settings.request_timeout.max(SETUP_TIMEOUT);
            let settings = ConnectionSettings { max_streams: admin::MAX_STREAMS, request_timeout, ..settings };
            let (inbox, end) = start_worker("admin", front, settings, &draining)?;
            ends.push(end);
            let most = MostConnections {
                in_all: admin::MOST_CONNECTIONS,
                per_address: Some(admin::MOST_OF_AN_ADDRESS),
                makes_room: true,
            };
            administering = Some(AbortOnDrop(tokio::spawn(listener.accept_into(vec![inbox], most))));
        }
        let mut probing = listeners.probes.map(|probes| AbortOnDrop(tokio::spawn(probes.run())));

        let outcome = tokio::select! {
            () = stopped => Ok(()),
            never = self.attend() => match never {},
            _ = select_all(&mut ends) => Err(ServeError::Ended("a worker")),
            _ = &mut accepting.0 => Err(ServeError::Ended("the listener")),
            Some(never) = followed.next() => match never {},
            Some(_) = OptionFuture::from(forwarding.as_mut().map(|forwarding| &mut forwarding.0)) => {
                Err(ServeError::Ended("the listener of proxies"))
            }
            Some(_) = OptionFuture::from(administering.as_mut().map(|administering| &mut administering.0)) => {
                Err(ServeError::Ended("the listener of administrators"))
            }
            Some(_) = OptionFuture::from(probing.as_mut().map(|probing| &mut probing.0)) => {
                Err(ServeError::Ended("the listener of the metrics"))
            }
        };

        self.readiness.stop(&self.health).await;
        tokio::time::sleep(self.args.limit.pre_drain.std()).await;
        drop((accepting, forwarding, administering));
        readiness::end_watches(&mut self.health).await;
        // Nobody listens only where every worker has ended.
        _ = drain.send(true);
        wait_for_all(ends, self.args.limit.drain_timeout.std()).await;
        if let Some(log) = self.api.decision_log.clone() {
            // It says itself what it could not write.
            _ = tokio::task::spawn_blocking(move || log.end(CLOSE_TIMEOUT)).await;
        }
        if tokio::time::timeout(CLOSE_TIMEOUT, self.api.store.close()).await.is_err() {
            tracing::warn!("the database did not let go of its connections in time");
        }
        outcome
    }

    /// Waits for the database, then feeds the cache, keeps things up and says how the server is. Never returns.
    async fn attend(&self) -> Infallible {
        self.readiness.wait_for_database(self.migrate).await;
        let feed = Feed::new(
            self.api.clone(),
            self.args.changes.changes,
            self.args.changes.poll_interval.std(),
            Arc::clone(&self.report),
        );
        tokio::select! {
            never = feed.run() => never,
            never = upkeep::run(&self.api, &self.args.changes) => never,
            never = self.readiness.follow(&self.health) => never,
        }
    }

    fn start_workers(
        &self,
        name: &str,
        front: &(impl Answers + Clone),
        settings: ConnectionSettings,
        draining: &watch::Receiver<bool>,
    ) -> Result<(Vec<Inbox>, Vec<oneshot::Receiver<()>>), ServeError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = self.args.workers.unwrap_or(u16::try_from(cores).unwrap_or(u16::MAX));
        let start = |index| start_worker(&format!("{name}-{index}"), front.clone(), settings.clone(), draining);
        (0..count).map(start).collect()
    }

    fn most_connections(&self) -> MostConnections {
        let LimitArgs { max_connections, max_connections_per_address: per_address, .. } = self.args.limit;
        MostConnections { in_all: max_connections, per_address, makes_room: false }
    }

    fn connection_settings(&self, protocol: Protocol, tls: Option<TlsOffer>) -> ConnectionSettings {
        ConnectionSettings {
            protocol,
            max_streams: self.args.limit.max_streams,
            keep_alive_interval: KEEP_ALIVE_INTERVAL,
            max_age: self.args.limit.max_connection_age.std(),
            drain_timeout: self.args.limit.drain_timeout.std(),
            request_timeout: self.args.limit.request_timeout.std(),
            unread: self.unread.clone(),
            tls,
        }
    }
}

fn start_worker(
    name: &str,
    front: impl Answers,
    settings: ConnectionSettings,
    draining: &watch::Receiver<bool>,
) -> Result<(Inbox, oneshot::Receiver<()>), ServeError> {
    let worker = worker::start(name, front, settings, draining.clone()).map_err(ServeError::Worker)?;
    Ok((Inbox { sender: worker.sender, connections: Arc::default() }, worker.ended))
}

/// A span moved by up to a tenth, either way: many instances must not do their work at the same instant.
fn jittered(span: Duration) -> Duration {
    span.mul_f64(0.9 + 0.2 * fastrand::f64())
}

/// What a file of the settings holds.
fn read_file(setting: &'static str, path: &Path) -> Result<Vec<u8>, UnusableSetting> {
    fs::read(path).map_err(|error| {
        UnusableSetting::new(setting, format!("names {}, which cannot be read: {error}", path.display()))
    })
}

/// A task that ends with its owner.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn wait_for_all(ends: Vec<oneshot::Receiver<()>>, drain_timeout: Duration) {
    let all = futures_util::future::join_all(ends.into_iter().filter(|end| !end.is_terminated()));
    if tokio::time::timeout(drain_timeout, all).await.is_err() {
        tracing::warn!(?drain_timeout, "requests were still in flight after {drain_timeout:?}: they are cut off");
    }
}
