//! Keeping usage in order: counting what the ERP's transactions have logged, reporting days to the ERP,
//! forgetting, and the proof. Where this role may not, nobody counts with it.

use std::{convert::Infallible, time::Duration};

use parking_lot::Mutex;
use tokio::time::sleep;

use super::{change_log, feed::FeedReport};
use crate::{server::jittered, service::Core, store::StoreError};

/// How often what the ERP's transactions have counted is looked for: it counts within a second.
const FOLD: Duration = Duration::from_millis(700);
/// How often days that have changed are written where the ERP's reports read them.
const REPORT: Duration = Duration::from_mins(1);
const KEEP: Duration = Duration::from_mins(30);
const FOLD_AGAIN: Duration = Duration::from_secs(5);
/// After a failure it is tried again so soon at the earliest.
const AFTER_FAILURE: Duration = Duration::from_mins(1);
/// Where this role may not, somebody has to give it the right first.
const AFTER_REFUSAL: Duration = Duration::from_mins(30);

pub(super) async fn run(core: &Core, feed: &Mutex<FeedReport>) -> Infallible {
    tokio::join!(fold(core, feed), report(core), keep(core)).0
}

async fn fold(core: &Core, feed: &Mutex<FeedReport>) -> Infallible {
    // Starting comes first.
    change_log::settle(feed).await;
    loop {
        let pause = match core.fold_usage_log().await {
            Ok(()) => FOLD,
            // Where this role may not, it is not asked for much.
            Err(error @ StoreError::Forbidden(_)) => {
                tracing::info!(%error, "this server does not count what the ERP's transactions have counted: {error}");
                AFTER_REFUSAL
            }
            Err(error) => {
                tracing::warn!(%error, "what the ERP's transactions have counted was not counted: {error}");
                FOLD_AGAIN
            }
        };
        sleep(jittered(pause)).await;
    }
}

async fn report(core: &Core) -> Infallible {
    loop {
        sleep(jittered(REPORT)).await;
        if let Err(error) = core.usage.report(core.api.zone).await {
            tracing::warn!(%error, "usage was not written to usage_metrics: {error}");
            sleep(after(&error)).await;
        }
    }
}

async fn keep(core: &Core) -> Infallible {
    loop {
        sleep(jittered(KEEP)).await;
        if let Err(error) = core.usage.keep().await {
            tracing::warn!(%error, "usage counters were not compared with their keys: {error}");
        }
    }
}

fn after(error: &StoreError) -> Duration {
    match error {
        StoreError::Forbidden(_) => AFTER_REFUSAL,
        _ => AFTER_FAILURE,
    }
}
