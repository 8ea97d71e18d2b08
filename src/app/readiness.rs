//! When the server is ready: the database has been reached, and its schema is the one that the statements need.

use std::{convert::Infallible, time::Duration};

use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    cache::Standing,
    proto::v1::entitlement_service_server::SERVICE_NAME,
    service::Api,
    store::{SchemaReport, SchemaState, StoreError},
};

/// How long until a schema that is behind is looked at again.
const BEHIND: Duration = Duration::from_secs(5);
/// How long a look at the schema may take.
const LOOK: Duration = Duration::from_secs(5);
/// How long until a database that could not be reached is tried again.
const UNREACHABLE: Duration = Duration::from_secs(1);

/// How often it is looked how well the cache can answer.
const FOLLOW: Duration = Duration::from_millis(10);

/// The names under which health is asked: the whole server, and its one service.
const NAMES: [&str; 2] = ["", SERVICE_NAME];

/// Says how the server is, under each of its names.
pub(super) async fn report(health: &HealthReporter, status: ServingStatus) {
    for name in NAMES {
        health.set_service_status(name, status).await;
    }
}

/// Ends the streams of those who watch health: they would hold the server open.
pub(super) async fn end_watches(health: &mut HealthReporter) {
    for name in NAMES {
        health.clear_service_status(name).await;
    }
}

/// Returns once the server can answer. Migrates first, if it is to.
pub(super) async fn wait_until_ready(api: &Api, migrate: bool) {
    loop {
        let pause = match look(api, migrate).await {
            Ok(true) => return,
            Ok(false) => BEHIND,
            Err(error) => {
                tracing::warn!(%error, "not ready: {error}");
                UNREACHABLE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Follows how well the cache can answer, and says so; never returns. SERVING while it can answer for what it holds: an
/// outage of the database must not take every instance out of rotation at once.
pub(super) async fn follow(api: &Api, health: &HealthReporter) -> Infallible {
    let mut said = None;
    let mut beat = tokio::time::interval(FOLLOW);
    loop {
        beat.tick().await;
        let standing = match (api.cache.last_proof(), api.cache.standing(api.clock.now())) {
            // It has yet to hear from the database.
            (None, _) => continue,
            // The catalogue has a part in most denials: it is there before the first one.
            (Some(_), Standing::Good) if said.is_none() && api.cache.catalogue(api.clock.now()).await.is_err() => {
                continue;
            }
            (Some(_), standing) => standing,
        };
        if said.replace(standing) == Some(standing) {
            continue;
        }
        match standing {
            Standing::Good => tracing::info!("ready"),
            Standing::Stale { since } => {
                tracing::warn!(%since, "the database has not answered since {since}: answers are stale");
            }
            Standing::TooStale => tracing::error!("the database has not answered for too long: not serving"),
        }
        let status = if standing == Standing::TooStale { ServingStatus::NotServing } else { ServingStatus::Serving };
        report(health, status).await;
    }
}

async fn look(api: &Api, migrate: bool) -> Result<bool, StoreError> {
    let mut report = tokio::time::timeout(LOOK, api.store.schema()).await.unwrap_or(Err(StoreError::TimedOut))?;
    if migrate && report.state() == SchemaState::Behind {
        if let Err(error) = api.store.migrate().await {
            tracing::error!(%error, "the migration failed: {error}");
            return Ok(false);
        }
        report = api.store.schema().await?;
    }
    for advice in &report.index_advice {
        tracing::warn!("the database lacks an index; run: {advice}");
    }
    match report.state() {
        SchemaState::Behind => {
            tell_what_is_behind(&report);
            return Ok(false);
        }
        SchemaState::Ahead => tracing::warn!(
            "the database was migrated by a newer entitlementd; serving, since all that is needed is there"
        ),
        SchemaState::Current => {}
    }
    api.store.ping().await?;
    Ok(true)
}

fn tell_what_is_behind(report: &SchemaReport) {
    for column in &report.missing {
        tracing::error!("not ready: {column}");
    }
    for trigger in &report.unarmed {
        tracing::error!("not ready: {trigger}");
    }
    for step in &report.steps {
        tracing::info!("migration {step}");
    }
    tracing::error!("not ready: the database's schema is behind; run: entitlementd migrate (or serve with --migrate)");
}
