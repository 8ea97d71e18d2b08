//! The parts of a running server: starting them, watching over them, and ending them in order.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use chrono::NaiveTime;
use futures_util::{
    StreamExt,
    future::{OptionFuture, join_all, select_all},
};
use parking_lot::Mutex;
use tokio::{
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
};

use super::{
    ServeError, Sources,
    background::{
        feed::{Feed, FeedReport},
        follow::{Follow, UpstreamSource},
        readiness::Readiness,
        state::State,
        upkeep,
    },
    endpoints::{admin, probes::Probes},
    net::{
        answers::Answers,
        connection::{ConnectionSettings, KEEP_ALIVE_INTERVAL, Protocol},
        listener::{Door, Endpoint, Inbox, MaxConnections},
        tally::{ConnectionTally, ListenerKind},
        tls::TlsOffer,
        unread::UnreadPool,
        worker,
    },
};
use crate::{
    config::{ChangesArgs, InstanceArgs, LimitArgs, NightlyLevel},
    service::{
        Api, Core,
        admin::SETUP_TIMEOUT,
        forward_auth::ForwardAuth,
        grpc::{
            administration::AdminServices, data::DataServices, front::Front, health::HealthReporter,
        },
    },
    store::Additions,
    upstream::Upstream,
};

/// How long a database that hangs is waited for at shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The listeners, and what answers on each.
pub(super) struct Endpoints {
    pub(super) data: Endpoint<Front<DataServices>>,
    pub(super) forward_auth: Option<Endpoint<ForwardAuth>>,
    pub(super) admin: Option<Endpoint<Front<AdminServices>>>,
    pub(super) probes: Option<Probes>,
}

/// What an instance does beside answering.
pub(super) enum Work {
    Core(Box<CoreWork>),
    Edge(Box<EdgeWork>),
}

/// Of an instance that has the database.
pub(super) struct CoreWork {
    pub(super) core: Core,
    /// Migrate the schema once the database answers.
    pub(super) migrate: Option<Additions>,
    pub(super) changes: ChangesArgs,
    /// The levels that are put right each night, and when.
    pub(super) nightly: (Vec<NightlyLevel>, NaiveTime),
}

/// Of one that has none.
pub(super) struct EdgeWork {
    pub(super) source: UpstreamSource,
    pub(super) upstream: Arc<Upstream>,
}

pub(super) struct Server {
    args: InstanceArgs,
    api: Api,
    work: Work,
    health: HealthReporter,
    report: Arc<Mutex<FeedReport>>,
    readiness: Arc<Readiness>,
    connections: ConnectionTally,
    unread: UnreadPool,
    state: Option<State>,
}

/// The open listeners, each ending with its name.
type Accepting = JoinSet<&'static str>;

/// The running worker threads.
#[derive(Default)]
struct Workers(Vec<oneshot::Receiver<()>>);

impl Server {
    pub(super) fn new(
        args: InstanceArgs,
        api: Api,
        work: Work,
        health: HealthReporter,
        report: Arc<Mutex<FeedReport>>,
        readiness: Arc<Readiness>,
        connections: ConnectionTally,
    ) -> Self {
        let unread = UnreadPool::default();
        Self { args, api, work, health, report, readiness, connections, unread, state: None }
    }

    /// One that keeps what it holds, if it is to.
    pub(super) fn keeping(self, state: Option<State>) -> Self {
        Self { state, ..self }
    }

    /// Runs every part, until one ends or the server is to stop, and then drains.
    pub(super) async fn supervise(
        self,
        endpoints: Endpoints,
        mut sources: Sources,
        stopped: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let (drain, draining) = watch::channel(false);
        let (mut accepting, mut workers, mut probing) = self.open(endpoints, &draining)?;
        let outcome = tokio::select! {
            () = stopped => Ok(()),
            never = self.attend() => match never {},
            Some(never) = sources.next() => match never {},
            _ = select_all(&mut workers.0) => Err(ServeError::Ended("a worker")),
            Some(listener) = accepting.join_next() => {
                Err(ServeError::Ended(listener.unwrap_or("a listener")))
            }
            Some(_) = OptionFuture::from(probing.as_mut().map(|probing| &mut probing.0)) => {
                Err(ServeError::Ended("the listener of the metrics"))
            }
        };

        self.readiness.stop(&self.health);
        tokio::time::sleep(self.args.limit.pre_drain.std()).await;
        // They are closed, and their sockets' files are gone, before anybody else could want them.
        accepting.shutdown().await;
        self.health.end_watches();
        // Sending fails only if every worker has ended.
        _ = drain.send(true);
        workers.wait(self.args.limit.drain_timeout.std()).await;
        self.close().await;
        outcome
    }

    /// Starts what answers on each of the listeners, and opens them. The metrics stay available
    /// until everything else has ended.
    fn open(
        &self,
        endpoints: Endpoints,
        draining: &watch::Receiver<bool>,
    ) -> Result<(Accepting, Workers, Option<AbortOnDrop>), ServeError> {
        let (mut accepting, mut workers) = (Accepting::new(), Workers::default());
        let Endpoints { data, forward_auth, admin, probes } = endpoints;
        let (count, max) = (self.worker_count(), self.max_connections());
        let door = |most, listener| Door::new(most, self.connections.clone(), listener);
        let settings = self.connection_settings(Protocol::Http2, data.tls.clone());
        let inboxes = workers.start("worker", count, &data.answers, &settings, draining)?;
        accepting.spawn(named(
            "the listener",
            data.listener.accept_into(inboxes, door(max, ListenerKind::Data)),
        ));
        if let Some(Endpoint { listener, answers, tls, .. }) = forward_auth {
            let settings = self.connection_settings(Protocol::Http1, tls);
            let inboxes = workers.start("forward-auth", count, &answers, &settings, draining)?;
            let door = door(max, ListenerKind::ForwardAuth);
            accepting.spawn(named("the listener of proxies", listener.accept_into(inboxes, door)));
        }
        if let Some(Endpoint { listener, answers, tls, .. }) = admin {
            let settings = self.connection_settings(Protocol::Http2, tls);
            let request_timeout = settings.request_timeout.max(SETUP_TIMEOUT);
            let settings =
                ConnectionSettings { max_streams: admin::MAX_STREAMS, request_timeout, ..settings };
            let inboxes = workers.start("admin", 1, &answers, &settings, draining)?;
            let (name, door) = (
                "the listener of administrators",
                door(admin::MAX_CONNECTIONS, ListenerKind::Admin),
            );
            accepting.spawn(named(name, listener.accept_into(inboxes, door)));
        }
        Ok((accepting, workers, probes.map(|probes| AbortOnDrop(tokio::spawn(probes.run())))))
    }

    /// Feeds the cache, does the upkeep, keeps what is held and reports the state of the server. Never
    /// returns.
    async fn attend(&self) -> Infallible {
        tokio::select! {
            never = self.work() => never,
            // What was restored is answered from while the database is waited for.
            never = self.readiness.follow(&self.health) => never,
            Some(never) = OptionFuture::from(self.state.as_ref().map(State::run)) => never,
        }
    }

    async fn work(&self) -> Infallible {
        match &self.work {
            // Boxed: it is large.
            Work::Core(work) => Box::pin(self.follow_the_database(work)).await,
            Work::Edge(work) => self.follow_the_upstream(work).await,
        }
    }

    /// Waits for the database, and feeds the cache from it.
    async fn follow_the_database(&self, work: &CoreWork) -> Infallible {
        let CoreWork { core, migrate, changes, nightly: (levels, at) } = work;
        self.readiness.wait_for_database(core, *migrate).await;
        let interval = changes.poll_interval.std();
        let feed = Feed::new(core.clone(), changes.changes, interval, Arc::clone(&self.report));
        tokio::select! {
            never = feed.run() => never,
            never = upkeep::run(core, changes, &self.report, (levels, *at)) => never,
            never = self.readiness.examine(core) => never,
        }
    }

    /// Feeds the cache from another instance.
    async fn follow_the_upstream(&self, EdgeWork { source, upstream }: &EdgeWork) -> Infallible {
        let follow = Follow::new(&self.api, upstream, source, &self.report);
        tokio::select! {
            never = follow.run() => never,
            never = upkeep::run_at_the_edge(&self.api) => never,
        }
    }

    /// Writes the rest of the decision log and what is held, and closes the database.
    async fn close(&self) {
        if let Some(state) = &self.state {
            state.end().await;
        }
        if let Some(log) = self.api.decision_log.clone() {
            // The log itself reports what it could not write.
            _ = tokio::task::spawn_blocking(move || log.end(CLOSE_TIMEOUT)).await;
        }
        let Work::Core(work) = &self.work else { return };
        if tokio::time::timeout(CLOSE_TIMEOUT, work.core.store.close()).await.is_err() {
            tracing::warn!("the connections to the database did not close in time");
        }
    }

    fn worker_count(&self) -> u16 {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.args.workers.unwrap_or(u16::try_from(cores).unwrap_or(u16::MAX))
    }

    fn max_connections(&self) -> MaxConnections {
        let LimitArgs { max_connections, max_connections_per_address: per_address, .. } =
            self.args.limit;
        MaxConnections { in_all: max_connections, per_address, makes_room: false }
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

impl Workers {
    /// Starts this many workers, and returns the channels for their connections.
    fn start(
        &mut self,
        name: &str,
        count: u16,
        answers: &(impl Answers + Clone),
        settings: &ConnectionSettings,
        draining: &watch::Receiver<bool>,
    ) -> Result<Vec<Inbox>, ServeError> {
        let mut start = |index| {
            let name = format!("{name}-{index}");
            let worker = worker::start(&name, answers.clone(), settings.clone(), draining.clone());
            let worker = worker.map_err(ServeError::Worker)?;
            self.0.push(worker.ended);
            Ok(Inbox { sender: worker.sender, connections: Arc::default() })
        };
        (0..count).map(&mut start).collect()
    }

    /// Waits until all workers have ended, at most for this time.
    async fn wait(self, drain_timeout: Duration) {
        let all = join_all(self.0.into_iter().filter(|end| !end.is_terminated()));
        if tokio::time::timeout(drain_timeout, all).await.is_err() {
            tracing::warn!(
                ?drain_timeout,
                "requests were still in flight after {drain_timeout:?}: they are cut off"
            );
        }
    }
}

/// Runs a listener, and returns its name when that ends.
async fn named(name: &'static str, accepting: impl Future) -> &'static str {
    accepting.await;
    name
}

/// A task that ends with its owner.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
