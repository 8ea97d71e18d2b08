//! What is done now and then: finding out which replicas are up to date, folding the log of changes, auditing.

use std::{convert::Infallible, time::Duration};

use tokio::time::interval;

use super::jitter;
use crate::{
    service::Api,
    store::{ChangeLog, Store},
};

const CHECK_REPLICAS: Duration = Duration::from_millis(500);
const FOLD: Duration = Duration::from_mins(10);
/// How long a change may take from its commit until it is heard of, before an audit takes it for unheard.
const GRACE: Duration = Duration::from_secs(2);

/// Keeps things up, and never returns.
pub(super) async fn run(api: &Api, audit_rate: u32) -> Infallible {
    let (never, ..) = tokio::join!(check_replicas(api), fold(&api.store), audit(api, audit_rate));
    never
}

async fn check_replicas(api: &Api) -> Infallible {
    let mut beat = interval(CHECK_REPLICAS);
    loop {
        beat.tick().await;
        // Counted before the primary is asked: what is announced later is not vouched for.
        let changes = api.cache.changes_so_far();
        if let Err(error) = api.store.check_replicas(changes).await {
            tracing::debug!(%error, "the primary does not say how far its replicas should be: {error}");
        }
    }
}

async fn fold(store: &Store) -> Infallible {
    loop {
        if store.log() == ChangeLog::Wanted
            && let Err(error) = store.fold().await
        {
            tracing::warn!(%error, "the log of changes was not folded: {error}");
        }
        tokio::time::sleep(jitter::around(FOLD)).await;
    }
}

async fn audit(api: &Api, per_minute: u32) -> Infallible {
    if per_minute == 0 {
        return std::future::pending().await;
    }
    // A handful at a time, so that a high rate needs no fast timer.
    let (few, every) = if per_minute > 60 { (per_minute / 60, 1) } else { (1, 60 / per_minute) };
    loop {
        tokio::time::sleep(jitter::around(Duration::from_secs(every.into()))).await;
        if let Err(error) = api.cache.audit(few as usize, api.clock.now(), GRACE).await {
            tracing::debug!(%error, "nothing was audited: {error}");
        }
    }
}
