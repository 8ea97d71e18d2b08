//! The state of the server: the one judgement behind gRPC health and `/readyz`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{
    condition::{Cause, Condition, Trouble},
    feed::{FeedMode, FeedReport},
    obstacles::{Obstacles, Refusal},
    schema::{Obstacle, look},
    told::{Repeated, Said},
    waiting::Waiting,
};
use crate::{
    cache::{CacheHealth, FailingLoads},
    config::ChangesMode,
    service::{Api, Core, grpc::health::HealthReporter},
    store::Additions,
};

/// How instants are written.
const INSTANT: &str = "%FT%T%.3fZ";

/// How often a schema that is behind is checked again.
const BEHIND: Duration = Duration::from_secs(5);
/// How often an unreachable database is tried again.
const UNREACHABLE: Duration = Duration::from_secs(1);
/// How often it is tried whether loads succeed again.
const PROBE: Duration = Duration::from_secs(1);
/// Nothing can be answered once every load has failed for so long, and nothing is held.
const HOPELESS: Duration = Duration::from_secs(3);

/// How often it is checked how well the cache can answer.
const FOLLOW: Duration = Duration::from_millis(10);

/// The stage that the server has reached.
#[derive(Clone, Debug)]
enum ServerStage {
    /// It has yet to hear from the database, or to read the changes or the catalogue.
    Starting(Trouble),
    Answering,
    Stopping,
}

/// Determines the state of the server.
#[derive(Debug)]
pub(crate) struct Readiness {
    api: Api,
    /// Listening was requested, so polling counts as degraded.
    is_to_listen: bool,
    report: Arc<Mutex<FeedReport>>,
    stage: Mutex<ServerStage>,
    obstacles: Obstacles,
}

impl Readiness {
    /// Of an instance that has the database.
    pub(crate) fn of_core(
        core: &Core,
        changes: ChangesMode,
        report: Arc<Mutex<FeedReport>>,
    ) -> Self {
        let is_to_listen = match changes {
            ChangesMode::Auto => core.store.can_listen(),
            ChangesMode::Listen => true,
            ChangesMode::Poll | ChangesMode::Off => false,
        };
        Self::new(core.api.clone(), is_to_listen, report)
    }

    /// Of an instance that has none.
    pub(crate) fn of_edge(api: Api, report: Arc<Mutex<FeedReport>>) -> Self {
        Self::new(api, false, report)
    }

    fn new(api: Api, is_to_listen: bool, report: Arc<Mutex<FeedReport>>) -> Self {
        let stage = starting(&format!("{} has not answered yet", source_of(&api)));
        Self { api, is_to_listen, report, stage: stage.into(), obstacles: Obstacles::default() }
    }

    /// The current state of the server.
    pub(crate) fn condition(&self) -> Condition {
        match &*self.stage() {
            ServerStage::Starting(trouble) => {
                self.condition_of_start(&self.trouble_of_start(trouble))
            }
            ServerStage::Stopping => {
                Condition::Unready(Trouble::new(Cause::Stopping, "it is stopping"))
            }
            ServerStage::Answering => self.condition_of_answers(),
        }
    }

    /// How much is held of all that there is, as a sentence; `None`: it need not be all.
    pub(crate) fn holding(&self) -> Option<String> {
        let holding = self.report.lock().holding;
        holding.sentence(&self.api.cache)
    }

    /// Before the database has answered there is only what was restored, if anything was.
    fn condition_of_start(&self, trouble: &Trouble) -> Condition {
        let Api { cache, clock, .. } = &self.api;
        match (cache.restored(), cache.health(clock.now())) {
            (Some(rests_on), CacheHealth::Good | CacheHealth::Stale { .. }) => {
                let (rests_on, text) = (rests_on.format(INSTANT), &trouble.text);
                let text = format!("answers rest on a state file of {rests_on}, {text}");
                Condition::Degraded(Trouble::new(trouble.cause, text))
            }
            _ => Condition::Unready(trouble.clone()),
        }
    }

    /// What has to be heard yet. On a replica: why it is not known to be current.
    fn trouble_of_start(&self, trouble: &Trouble) -> Trouble {
        match self.report.lock().behind {
            Some(behind) => Trouble::new(Cause::Silent, behind.to_string()),
            None => trouble.clone(),
        }
    }

    /// The worst that is wrong.
    fn condition_of_answers(&self) -> Condition {
        let now = self.api.clock.now();
        let health = self.api.cache.health(now);
        let failing = self.api.cache.failing_loads();
        match (health, failing) {
            (CacheHealth::TooStale, _) => Condition::Unready(self.too_stale()),
            (CacheHealth::Stale { since }, _) => Condition::Degraded(self.stale(since)),
            (CacheHealth::Good, Some(failing)) => {
                let is_hopeless = !failing.some_succeed && failing.since.elapsed() > HOPELESS;
                let trouble = self.failing(&failing, now);
                if is_hopeless && self.api.cache.is_empty() {
                    Condition::Unready(trouble)
                } else {
                    Condition::Degraded(trouble)
                }
            }
            (CacheHealth::Good, None) => self.condition_of_feed(),
        }
    }

    fn too_stale(&self) -> Trouble {
        let text = match self.report.lock().behind {
            Some(behind) => format!("{behind}, for longer than --max-stale"),
            None => {
                format!("{} has not answered for longer than --max-stale", source_of(&self.api))
            }
        };
        Trouble::new(Cause::Silent, text)
    }

    fn stale(&self, since: DateTime<Utc>) -> Trouble {
        let FeedReport { lost, behind, .. } = *self.report.lock();
        let since = since.format(INSTANT);
        if let Some(behind) = behind {
            let text = format!("{behind}; it was current at {since}: answers are stale");
            return Trouble::new(Cause::Silent, text);
        }
        match lost {
            Some(cause @ (Cause::Rights | Cause::Schema)) => Trouble::new(
                cause,
                format!(
                    "changes cannot be read since {since}, {}: answers are stale",
                    cause.meaning()
                ),
            ),
            _ => Trouble::new(
                Cause::Silent,
                format!(
                    "{} has not answered since {since}: answers are stale",
                    source_of(&self.api)
                ),
            ),
        }
    }

    fn failing(&self, failing: &FailingLoads, now: DateTime<Utc>) -> Trouble {
        let cause = Cause::of(&failing.error);
        let obstacle = self.obstacles.of(Refusal { since: Some(failing.since), cause });
        let since = (now - failing.since.elapsed()).format(INSTANT);
        let which = if failing.some_succeed { "some loads" } else { "all loads" };
        let why = obstacle.unwrap_or_else(|| cause.meaning().to_owned());
        Trouble::new(cause, format!("{which} have failed since {since}: {why}"))
    }

    fn condition_of_feed(&self) -> Condition {
        let report = *self.report.lock();
        match report.mode {
            FeedMode::Unarmed => Condition::Degraded(Trouble::new(
                Cause::Unarmed,
                "triggers of the change log are missing, so answers may be as old as the time to live; \
                 run: entitlementd migrate",
            )),
            FeedMode::Listening | FeedMode::Polling if report.is_denied => {
                let obstacle = self.obstacles.of(Refusal { since: None, cause: Cause::Rights });
                let why = obstacle.unwrap_or_else(|| {
                    "the database's role may no longer read the ERP's tables; run: entitlementd migrate --status".to_owned()
                });
                let text = format!("what is not held cannot be answered: {why}");
                Condition::Degraded(Trouble::new(Cause::Rights, text))
            }
            FeedMode::Polling if self.is_to_listen => Condition::Degraded(Trouble::new(
                Cause::Polling,
                "changes are polled, although they should be listened to",
            )),
            FeedMode::Disconnected | FeedMode::Listening | FeedMode::Polling | FeedMode::Off => {
                Condition::Ready
            }
        }
    }

    /// Returns once the database can be used. Migrates it first, if requested.
    pub(crate) async fn wait_for_database(&self, core: &Core, migrate: Option<Additions>) {
        let mut told = Repeated::default();
        loop {
            let (obstacle, pause) =
                match look(core, migrate, Waiting { is_told: told.is_new() }).await {
                    Ok(None) => break,
                    Ok(Some(obstacle)) => (obstacle, BEHIND),
                    Err(error) => (Obstacle::of(&error), UNREACHABLE),
                };
            if let Some(so_far) = told.is_due(&obstacle.lines.concat(), Instant::now()) {
                obstacle.tell(so_far);
            }
            *self.stage() = ServerStage::Starting(obstacle.trouble);
            tokio::time::sleep(pause).await;
        }
        *self.stage() = starting("what has changed has not been read yet");
    }

    /// While loads fail, finds out whether they succeed again, and what is missing; never returns.
    pub(crate) async fn examine(&self, core: &Core) -> Infallible {
        loop {
            tokio::time::sleep(PROBE).await;
            let failing = probe_if_failing(&self.api).await;
            let refusal = match &failing {
                Some(failing) => {
                    Some(Refusal { since: Some(failing.since), cause: Cause::of(&failing.error) })
                }
                None => {
                    let is_denied = self.report.lock().is_denied;
                    is_denied.then_some(Refusal { since: None, cause: Cause::Rights })
                }
            };
            match refusal.filter(|refusal| matches!(refusal.cause, Cause::Rights | Cause::Schema)) {
                Some(refusal) => self.obstacles.look(&core.store, refusal).await,
                None => self.obstacles.forget(),
            }
        }
    }

    /// Follows the state of the server, and reports it to health checks; never returns. SERVING
    /// while it can answer for what it holds: an outage of the database must not take every
    /// instance out of rotation at once.
    pub(crate) async fn follow(&self, health: &HealthReporter) -> Infallible {
        let mut said = Said::default();
        let mut beat = tokio::time::interval(FOLLOW);
        loop {
            beat.tick().await;
            if !matches!(*self.stage(), ServerStage::Answering) {
                if self.can_answer().await {
                    *self.stage() = ServerStage::Answering;
                } else if self.api.cache.restored().is_none() {
                    continue;
                }
            }
            let condition = self.condition();
            if said.tell(&condition, self.api.cache.tally(), Instant::now()) {
                health.report(!matches!(condition, Condition::Unready(_)));
            }
        }
    }

    /// Has it heard from the database? The catalogue is needed for most denials: it is loaded
    /// before the first one.
    async fn can_answer(&self) -> bool {
        let Api { cache, clock, .. } = &self.api;
        if cache.last_proof().is_none() {
            return false;
        }
        if cache.health(clock.now()) != CacheHealth::Good {
            return true;
        }
        *self.stage() = starting("the catalogue has not been read yet");
        cache.catalogue(clock.now()).await.is_ok()
    }

    /// The server is about to end: it should not receive requests any more.
    pub(crate) fn stop(&self, health: &HealthReporter) {
        *self.stage() = ServerStage::Stopping;
        health.report(false);
    }

    fn stage(&self) -> MutexGuard<'_, ServerStage> {
        self.stage.lock()
    }
}

/// Finds out whether loads succeed again, though nobody asks, if they have failed. Gives how they had.
pub(super) async fn probe_if_failing(api: &Api) -> Option<FailingLoads> {
    let failing = api.cache.failing_loads();
    if failing.as_ref().is_some_and(|failing| !failing.last_succeeded) {
        api.cache.probe(api.clock.now()).await;
    }
    failing
}

/// What answers rest on.
fn source_of(api: &Api) -> &'static str {
    if api.database.is_some() { "the database" } else { "the upstream" }
}

fn starting(text: &str) -> ServerStage {
    ServerStage::Starting(Trouble::new(Cause::Starting, text))
}
