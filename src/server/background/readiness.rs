//! The state of the server: the one judgement behind gRPC health and `/readyz`.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{
    feed::{FeedMode, FeedReport},
    waiting::wait_for,
};
use crate::{
    cache::CacheHealth,
    config::ChangesMode,
    proto::v1::entitlement_service_server::SERVICE_NAME,
    service::Api,
    store::{Additions, SchemaReport, SchemaState, StoreError},
};

/// How often a schema that is behind is checked again.
const BEHIND: Duration = Duration::from_secs(5);
/// How often an unreachable database is tried again.
const UNREACHABLE: Duration = Duration::from_secs(1);

const IS_BEHIND: &str = "the database's schema is behind; run: entitlementd migrate";
const IS_DENIED: &str = "the database's role lacks rights; run: entitlementd migrate --status";

/// How often it is checked how well the cache can answer.
const FOLLOW: Duration = Duration::from_millis(10);

/// The names for which health is reported: the one service, and the whole server. In this order, so
/// that a caller that finds the server serving also finds its service serving.
const NAMES: [&str; 2] = [SERVICE_NAME, ""];

/// The state of the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Condition {
    /// Everything is as it should be.
    Ready,
    /// It answers, but something needs attention.
    Degraded(String),
    /// It should not receive requests.
    Unready(String),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Degraded(reason) => write!(f, "degraded: {reason}"),
            Self::Unready(reason) => write!(f, "unready: {reason}"),
        }
    }
}

/// The stage that the server has reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ServerStage {
    /// It has yet to hear from the database, or to read the changes or the catalogue: for this
    /// reason.
    Starting(&'static str),
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
}

impl Readiness {
    pub(crate) fn new(api: Api, changes: ChangesMode, report: Arc<Mutex<FeedReport>>) -> Self {
        let is_to_listen = match changes {
            ChangesMode::Auto => api.store.can_listen(),
            ChangesMode::Listen => true,
            ChangesMode::Poll | ChangesMode::Off => false,
        };
        Self {
            api,
            is_to_listen,
            report,
            stage: ServerStage::Starting("the database has not answered yet").into(),
        }
    }

    /// The current state of the server.
    pub(crate) fn condition(&self) -> Condition {
        match *self.stage() {
            ServerStage::Starting(reason) => Condition::Unready(reason.to_owned()),
            ServerStage::Stopping => Condition::Unready("it is stopping".to_owned()),
            ServerStage::Answering => self.condition_of_answers(),
        }
    }

    fn condition_of_answers(&self) -> Condition {
        let report = *self.report.lock();
        match self.api.cache.health(self.api.clock.now()) {
            CacheHealth::Good => match report.mode {
                FeedMode::Unarmed => Condition::Degraded(
                    "triggers of the change log are missing, so answers may be as old as the time to live; \
                     run: entitlementd migrate"
                        .to_owned(),
                ),
                FeedMode::Listening | FeedMode::Polling if report.is_denied => Condition::Degraded(
                    "the database's role may no longer read the ERP's tables, so what is not held cannot be answered; \
                     run: entitlementd migrate --status"
                        .to_owned(),
                ),
                FeedMode::Polling if self.is_to_listen => {
                    Condition::Degraded("changes are polled, although they should be listened to".to_owned())
                }
                FeedMode::Disconnected | FeedMode::Listening | FeedMode::Polling | FeedMode::Off => Condition::Ready,
            },
            CacheHealth::Stale { since } => Condition::Degraded(format!(
                "the database has not answered since {}: answers are stale",
                since.format("%FT%T%.3fZ")
            )),
            CacheHealth::TooStale => {
                Condition::Unready("the database has not answered for longer than --max-stale".to_owned())
            }
        }
    }

    /// Returns once the database can be used. Migrates it first, if requested.
    pub(crate) async fn wait_for_database(&self, migrate: Option<Additions>) {
        loop {
            let pause = match look(&self.api, migrate).await {
                Ok(None) => break,
                Ok(Some(reason)) => {
                    *self.stage() = ServerStage::Starting(reason);
                    BEHIND
                }
                Err(error) => {
                    *self.stage() = ServerStage::Starting("the database cannot be asked");
                    tracing::warn!(%error, "not ready, the schema has not been looked at: {error}");
                    UNREACHABLE
                }
            };
            tokio::time::sleep(pause).await;
        }
        *self.stage() = ServerStage::Starting("what has changed has not been read yet");
    }

    /// Follows the state of the server, and reports it to health checks; never returns. SERVING
    /// while it can answer for what it holds: an outage of the database must not take every
    /// instance out of rotation at once.
    pub(crate) async fn follow(&self, health: &HealthReporter) -> Infallible {
        let mut said = None;
        let mut beat = tokio::time::interval(FOLLOW);
        loop {
            beat.tick().await;
            if *self.stage() != ServerStage::Answering {
                if !self.can_answer().await {
                    continue;
                }
                *self.stage() = ServerStage::Answering;
            }
            let condition = self.condition();
            if said.as_ref() == Some(&condition) {
                continue;
            }
            match &condition {
                Condition::Ready => tracing::info!("ready"),
                Condition::Degraded(_) => tracing::warn!("serving, but {condition}"),
                Condition::Unready(_) => tracing::error!("not serving, {condition}"),
            }
            let is_unready = matches!(condition, Condition::Unready(_));
            report(
                health,
                if is_unready { ServingStatus::NotServing } else { ServingStatus::Serving },
            )
            .await;
            said = Some(condition);
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
        *self.stage() = ServerStage::Starting("the catalogue has not been read yet");
        cache.catalogue(clock.now()).await.is_ok()
    }

    /// The server is about to end: it should not receive requests any more.
    pub(crate) async fn stop(&self, health: &HealthReporter) {
        *self.stage() = ServerStage::Stopping;
        report(health, ServingStatus::NotServing).await;
    }

    fn stage(&self) -> MutexGuard<'_, ServerStage> {
        self.stage.lock()
    }
}

/// Reports a status under each of the names.
pub(crate) async fn report(health: &HealthReporter, status: ServingStatus) {
    for name in NAMES {
        health.set_service_status(name, status).await;
    }
}

/// Ends the streams that watch health: they would hold the server open.
pub(crate) async fn end_watches(health: &mut HealthReporter) {
    for name in NAMES {
        health.clear_service_status(name).await;
    }
}

/// Checks the schema, and migrates it first if it is behind and that is requested. Returns why
/// nothing can be answered; `None`: everything can.
async fn look(api: &Api, migrate: Option<Additions>) -> Result<Option<&'static str>, StoreError> {
    let at_most = api.store.durations().start;
    let mut report = wait_for("the look at the schema", at_most, api.store.schema()).await?;
    let is_wanting = report.state() == SchemaState::Behind || !report.unarmed.is_empty();
    if let Some(additions) = migrate.filter(|_| is_wanting) {
        match api.store.migrate(additions).await {
            Ok(armed) => armed.iter().for_each(|table| tracing::info!("migrated {table}")),
            Err(error) => {
                tracing::error!(%error, "the migration failed: {error}");
                // Without a trigger it serves all the same.
                if report.state() == SchemaState::Behind {
                    return Ok(Some(IS_BEHIND));
                }
            }
        }
        report = wait_for("the look at the schema", at_most, api.store.schema()).await?;
    }
    for advice in &report.index_advice {
        tracing::warn!("the database lacks an index; run: {advice}");
    }
    for column in &report.missing_for_administration {
        tracing::warn!("administrators are not answered, since {column}");
    }
    for door in &report.open_doors {
        tracing::warn!("in the database: {door}");
    }
    // The feed says what follows from it, now and whenever that changes.
    for trigger in &report.unarmed {
        tracing::warn!("in the database: {trigger}");
    }
    match report.state() {
        SchemaState::Denied => {
            for denied in &report.denied {
                tracing::error!("not ready: {denied}");
            }
            return Ok(Some(IS_DENIED));
        }
        SchemaState::Behind => {
            tell_what_is_behind(&report);
            return Ok(Some(IS_BEHIND));
        }
        SchemaState::Ahead => tracing::warn!(
            "the database was migrated by a newer entitlementd; serving, since all that is needed is there"
        ),
        SchemaState::Current => {}
    }
    Ok(None)
}

fn tell_what_is_behind(report: &SchemaReport) {
    for column in &report.missing {
        tracing::error!("not ready: {column}");
    }
    for step in &report.steps {
        tracing::info!("migration {step}");
    }
    tracing::error!(
        "not ready: the database's schema is behind; run: entitlementd migrate (or serve with --migrate)"
    );
}
