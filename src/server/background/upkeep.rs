//! Background work: finding out which replicas are up to date, keeping the log of changes short,
//! reading again what is held.

use std::{convert::Infallible, time::Duration};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::time::{Instant, interval, sleep};

use super::{change_log, feed::FeedReport, nightly, readiness::probe_if_failing, usage};
use crate::{
    cache::{Budget, Cache, FeedState, Pace, RevalidationStep},
    config::{ChangesArgs, NightlyLevel},
    server::jittered,
    service::Core,
    service::{Api, grpc::answer::tell_failures},
    store::{ChangeLog, StoreError},
    upstream::Origin,
};

const CHECK_REPLICAS: Duration = Duration::from_millis(500);
const SUM_UP: Duration = Duration::from_secs(1);
/// How much longer than until the next poll a change may take from its commit until it is received,
/// before it counts as missed.
const GRACE: TimeDelta = TimeDelta::seconds(2);
/// Statements that read again concurrently if there is no budget: as many as there are connections
/// for them.
const MAX_AT_ONCE: usize = 2;
/// The minimum pause between two checks of what is due: a timer's own granularity, and how soon new
/// tenants are noticed.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Does the background work, and never returns.
pub(crate) async fn run(
    core: &Core,
    changes: &ChangesArgs,
    report: &Mutex<FeedReport>,
    (levels, at): (&[NightlyLevel], NaiveTime),
) -> Infallible {
    let budget = changes
        .revalidate_max()
        .map(|(rate, cpu)| Budget { rate: rate.into(), share: f64::from(cpu) / 100.0 });
    let grace = GRACE + changes.poll_interval.delta();
    let (never, ..) = tokio::join!(
        check_replicas(core),
        keep_log(core, changes, report),
        revalidate(&core.api, budget, grace),
        sum_up(),
        refresh_catalogue(&core.api),
        usage::run(core, report),
        nightly::run(core, levels, at)
    );
    never
}

/// The background work of an instance without a database, and never returns. While changes are received
/// the upstream vouches for what is held, and has it compared with the database.
pub(crate) async fn run_at_the_edge(api: &Api) -> Infallible {
    let (never, ..) =
        tokio::join!(revalidate_without_changes(api), sum_up(), refresh_catalogue(api), probe(api));
    never
}

/// While loads fail, finds out whether they succeed again.
async fn probe(api: &Api) -> Infallible {
    loop {
        sleep(LONGEST_PAUSE).await;
        // Readiness says how they go.
        _ = probe_if_failing(api).await;
    }
}

/// Reads again what is held while changes are off: it would become too old.
async fn revalidate_without_changes(api: &Api) -> Infallible {
    // Without changes there is no budget.
    let budget = Some(Budget { rate: 1.0, share: 1.0 });
    loop {
        until(api, |feed| feed == FeedState::Off).await;
        tokio::select! {
            never = revalidate(api, budget, GRACE) => return never,
            () = until(api, |feed| feed != FeedState::Off) => {}
        }
    }
}

async fn until(api: &Api, is_so: impl Fn(FeedState) -> bool) {
    while !is_so(api.cache.feed()) {
        sleep(LONGEST_PAUSE).await;
    }
}

/// Logs what no line has told of yet.
async fn sum_up() -> Infallible {
    let mut beat = interval(SUM_UP);
    loop {
        beat.tick().await;
        tell_failures();
    }
}

async fn check_replicas(core: &Core) -> Infallible {
    let mut beat = interval(CHECK_REPLICAS);
    loop {
        beat.tick().await;
        // Counted before the primary is queried: later changes are not vouched for.
        let changes = core.api.cache.changes_so_far();
        if let Err(error) = core.store.check_replicas(changes).await {
            tracing::debug!(%error, "the primary does not say how far its replicas should be: {error}");
        }
    }
}

/// Without a log there is nothing to do.
async fn keep_log(core: &Core, changes: &ChangesArgs, report: &Mutex<FeedReport>) -> Infallible {
    if core.store.log() == ChangeLog::LeftOut {
        return std::future::pending().await;
    }
    change_log::settle(report).await;
    let after = changes.old_transaction_after.std();
    tokio::join!(
        change_log::fold(&core.store, report),
        change_log::look(&core.store, report, after)
    )
    .0
}

/// Reads again what is held.
async fn revalidate(api: &Api, budget: Option<Budget>, grace: TimeDelta) -> Infallible {
    let Some(budget) = budget else { return std::future::pending().await };
    let cache = &api.cache;
    let (mut pace, mut reading, mut passed) =
        (Pace::default(), FuturesUnordered::new(), Instant::now());
    loop {
        cache.judge_differences(grace, api.clock.now());
        // While changes are received, nothing is lost by being slow. Without them, what is not read
        // again in time is read anyway, by callers who wait for it: then the budget would save
        // nothing.
        let (budget, most) =
            if cache.feed() == FeedState::Off { (None, MAX_AT_ONCE) } else { (Some(budget), 1) };
        let (places, round) = (cache.places(), cache.round());
        let due = if reading.len() < most { pace.due(places) } else { 0 };
        if due > 0 {
            reading.push(read_again(cache, due, api.clock.now()));
        }
        let pause = if reading.len() < most { pace.pause(places, round) } else { LONGEST_PAUSE };
        let ended = tokio::select! {
            () = sleep(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)) => None,
            ended = reading.next(), if !reading.is_empty() => ended,
        };
        pace.pass(passed.elapsed(), places, round);
        passed = Instant::now();
        match ended {
            Some((took, Ok(RevalidationStep::Read { busy }))) => pace.read(took, busy, budget),
            Some((_, Err(error))) => {
                tracing::debug!(%error, "nothing was read again: {error}");
                pace.failed();
            }
            Some((_, Ok(RevalidationStep::Paused))) | None => {}
        }
    }
}

async fn read_again(
    cache: &Cache<Origin>,
    places: usize,
    now: DateTime<Utc>,
) -> (Duration, Result<RevalidationStep, StoreError>) {
    let began = Instant::now();
    let step = cache.revalidate(places, now).await;
    (began.elapsed(), step)
}

/// Reads the catalogue again before it is too old, so that nobody waits for that.
async fn refresh_catalogue(api: &Api) -> Infallible {
    let age = api.cache.settings().ttl * 4 / 5;
    loop {
        sleep(jittered(LONGEST_PAUSE)).await;
        api.cache.refresh_catalogue(age, api.clock.now()).await;
    }
}
