//! Putting levels right each night, from the tenants' own tables.

use std::{convert::Infallible, pin::pin, time::Duration};

use chrono::{DateTime, NaiveTime, Utc};
use futures_util::TryStreamExt;
use tokio::time::{Instant, sleep};

use crate::{
    config::NightlyLevel,
    domain::{LimitKind, calendar::Day},
    service::Core,
    store::{StoreError, TenantKey, usage::ByQuery},
};

/// How often it is looked whether it is time.
const LOOK: Duration = Duration::from_secs(1);

/// How often a line says how far it is.
const SAY: Duration = Duration::from_mins(1);

/// What was done so far.
#[derive(Default)]
struct Totals {
    tenants: usize,
    failed: usize,
    counted: i64,
    released: i64,
}

/// Waits for each night from now on, and puts the levels right that no other server has.
pub(super) async fn run(core: &Core, levels: &[NightlyLevel], at: NaiveTime) -> Infallible {
    if levels.is_empty() {
        return std::future::pending().await;
    }
    let mut last = night_of(core, core.api.clock.now(), at);
    loop {
        sleep(LOOK).await;
        let night = night_of(core, core.api.clock.now(), at);
        if night > last {
            last = night;
            for level in levels {
                put_right(core, level, night).await;
            }
        }
    }
}

/// The night that began last: a night belongs to the day on which it is time.
fn night_of(core: &Core, now: DateTime<Utc>, at: NaiveTime) -> Day {
    Day::at(now - (at - NaiveTime::MIN), core.api.zone)
}

async fn put_right(core: &Core, level: &NightlyLevel, night: Day) {
    let meter = level.meter.as_str();
    let done = match claim(core, level, night).await {
        Ok(true) => all_tenants(core, level).await,
        Ok(false) => return,
        Err(error) => Err(error),
    };
    match done {
        Ok(Totals { tenants, failed, counted, released }) => {
            tracing::info!(meter, tenants, failed, counted, released, "a level was put right");
        }
        Err(error) => {
            tracing::warn!(%error, meter, "a level was not put right in this night: {error}");
        }
    }
}

/// Is it for this server, and can it be done at all?
async fn claim(core: &Core, level: &NightlyLevel, night: Day) -> Result<bool, StoreError> {
    let kind = core.store.limit_kind(&level.meter, core.api.clock.now()).await?;
    if kind != Some(LimitKind::Level) {
        let meter = level.meter.as_str();
        tracing::warn!(meter, "--reconcile-usage names {meter:?}, and there is no such level");
        return Ok(false);
    }
    core.store.claim_night(&level.meter, night).await
}

/// What fails for one tenant keeps none of the others.
async fn all_tenants(core: &Core, level: &NightlyLevel) -> Result<Totals, StoreError> {
    let NightlyLevel { meter, sql } = level;
    let (mut totals, mut said) = (Totals::default(), Instant::now());
    let mut tenants = pin!(core.store.all_tenants());
    while let Some((tenant, _)) = tenants.try_next().await? {
        let (key, now) = (TenantKey::Id(tenant), core.api.clock.now());
        totals.tenants += 1;
        match core.store.reconcile_by_query(&key, meter, sql, false, now).await {
            Ok(Some(ByQuery { counted, released, .. })) => {
                totals.counted += counted;
                totals.released += released;
            }
            // It was deleted meanwhile.
            Ok(None) => {}
            Err(error) => {
                totals.failed += 1;
                tracing::warn!(%error, %tenant, meter, "a level was not put right: {error}");
            }
        }
        if said.elapsed() >= SAY {
            said = Instant::now();
            tracing::info!(meter, tenants = totals.tenants, "a level is being put right");
        }
    }
    Ok(totals)
}
