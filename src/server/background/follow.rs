//! The feed of an instance without a database: follows another instance, and tells the cache.
//!
//! How old a proof is counts from when it was asked for here, by the clocks here: a message that was
//! long under way, or a clock there that shows another time, makes nothing look younger than it is.

mod begin;
mod hold;
mod pings;
mod source;
mod take_in;

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::TimeDelta;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

pub(crate) use self::source::UpstreamSource;
use self::{
    begin::{Begun, NotBegun},
    hold::Wanted,
    pings::Sent,
};
use super::{
    condition::Cause,
    feed::{FeedMode, FeedReport},
    told::Repeated,
};
use crate::{
    cache::FeedState,
    domain::TenantId,
    proto::{
        FollowFactsResponse,
        replication::{self as proto, FollowHeartbeat},
    },
    server::jittered,
    service::Api,
    upstream::Upstream,
};

/// How often it is asked how good what was sent is.
const PING: Duration = Duration::from_secs(1);
/// A stream on which no message came for so long is dead. One of a megabyte may take a while; who is gone is
/// noticed by the connection before.
const SILENCE: Duration = Duration::from_secs(10);
/// How much longer than there a proof counts here: until the next ping, and its answer, on a busy
/// machine. Each instance in a chain adds as much.
const SLACK: Duration = Duration::from_secs(2);
/// While the upstream does not hear from the database, others are tried after so long, and then ever less
/// often.
const LOOK_FOR_BETTER: [Duration; 2] = [Duration::from_secs(2), Duration::from_mins(1)];
/// A stream that lasted for so long was a good one: the next attempt follows soon. One that fails at once does
/// not, and waits ever longer.
const LASTED: Duration = Duration::from_secs(1);
/// While changes are off, a proof that is older is none.
const RECENT: Duration = Duration::from_secs(4);
/// Between two attempts to follow.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// Feeds the cache from another instance.
pub(crate) struct Follow<'a> {
    api: &'a Api,
    upstream: &'a Upstream,
    source: &'a UpstreamSource,
    report: &'a Mutex<FeedReport>,
    /// What is to be read where tenants are held ahead.
    wanted: Mutex<Wanted>,
    /// There is some of it, or other modules count.
    wants: Notify,
    /// The tenants that have none of the modules whose tenants are held ahead, and have not changed since.
    passed_over: Mutex<HashSet<TenantId>>,
    /// Some tenants could be read only as they were, and may have one of the modules by now.
    is_unsure: AtomicBool,
    /// The codes that are no module's, as they were logged last.
    unknown_codes: Mutex<Vec<String>>,
    /// What was received up to there is known.
    position: Mutex<Option<proto::Position>>,
    /// The tenants that have changed, of which it was not sent what has become of them.
    awaited: Mutex<HashSet<TenantId>>,
    /// Why no upstream can be followed, as it was logged last.
    told: Mutex<Repeated>,
}

/// Why a stream has ended.
enum Ended {
    /// It was lost.
    Lost(String),
    /// Another upstream may be better.
    Another,
}

impl<'a> Follow<'a> {
    pub(crate) fn new(
        api: &'a Api,
        upstream: &'a Upstream,
        source: &'a UpstreamSource,
        report: &'a Mutex<FeedReport>,
    ) -> Self {
        Self {
            api,
            upstream,
            source,
            report,
            wanted: Mutex::default(),
            wants: Notify::new(),
            passed_over: Mutex::default(),
            is_unsure: AtomicBool::new(false),
            unknown_codes: Mutex::default(),
            position: Mutex::default(),
            awaited: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Feeds the cache, and never returns.
    pub(crate) async fn run(&self) -> Infallible {
        self.unlist();
        tokio::select! {
            never = self.follow() => never,
            never = self.read_ahead(), if self.source.holds_ahead() => never,
        }
    }

    async fn follow(&self) -> Infallible {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        let mut look = LOOK_FOR_BETTER[0];
        loop {
            let position = self.position.lock().clone();
            match begin::begin(self.source, position, &self.api.clock).await {
                Ok(begun) => {
                    *self.told.lock() = Repeated::default();
                    let (url, began) = (begun.url.clone(), Instant::now());
                    let ended = self.follow_one(begun, look).await;
                    pause =
                        if began.elapsed() > LASTED { shortest } else { (pause * 2).min(longest) };
                    look = match ended {
                        Ended::Lost(_) => LOOK_FOR_BETTER[0],
                        Ended::Another => (look * 2).min(LOOK_FOR_BETTER[1]),
                    };
                    match ended {
                        Ended::Lost(problem) => {
                            tracing::warn!(%url, "the upstream {url} was lost: {problem}");
                        }
                        Ended::Another => {
                            tracing::info!(%url, "the upstream {url} does not hear from the database: others are tried");
                        }
                    }
                }
                Err(NotBegun::MissedTooMuch) => *self.position.lock() = None,
                Err(NotBegun::Failed(problem)) => {
                    self.lose(&problem);
                    pause = (pause * 2).min(longest);
                }
            }
            sleep(jittered(pause)).await;
        }
    }

    /// Follows one until that ends.
    async fn follow_one(&self, mut begun: Begun, look: Duration) -> Ended {
        let opened = begun.opened.take().unwrap_or_default();
        let instance = opened.position.as_ref().map_or(0, |position| position.instance);
        self.upstream.ask(begun.client.clone(), instance);
        self.open(opened);
        tracing::info!(url = %begun.url, "following the upstream {}", begun.url);
        for missed in std::mem::take(&mut begun.missed) {
            if let Err(problem) = self.take_in(missed) {
                return Ended::Lost(problem);
            }
        }
        let first = begun.heartbeat.take();
        let mut since = first.and_then(|heartbeat| self.hear(&heartbeat, &mut begun));
        let mut beat = interval_at(Instant::now() + PING, PING);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            let message = tokio::select! {
                message = begun.stream.message() => message,
                _ = beat.tick() => {
                    let is_better_elsewhere = since.is_some_and(|since: Instant| since.elapsed() > look);
                    if is_better_elsewhere && self.source.has_several() {
                        return Ended::Another;
                    }
                    if last.elapsed() > SILENCE {
                        return Ended::Lost(format!("it was silent for {SILENCE:?}"));
                    }
                    begun.pings.send(&self.api.clock);
                    continue;
                }
            };
            match message {
                Ok(Some(FollowFactsResponse { changes: Some(changes), .. })) => {
                    if let Err(problem) = self.take_in(changes) {
                        return Ended::Lost(problem);
                    }
                }
                Ok(Some(FollowFactsResponse { heartbeat: Some(heartbeat), .. })) => {
                    let suspect = self.hear(&heartbeat, &mut begun);
                    since = suspect.map(|now| since.unwrap_or(now));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ended::Lost("it has ended the stream".to_owned()),
                Err(status) => return Ended::Lost(status.message().to_owned()),
            }
            last = Instant::now();
        }
    }

    /// Takes in how good what was sent is. Gives the present instant if the upstream does not hear from
    /// the database.
    fn hear(&self, heartbeat: &FollowHeartbeat, begun: &mut Begun) -> Option<Instant> {
        let span = |span: Option<prost_types::Duration>| {
            span.and_then(|span| Duration::try_from(span).ok())
        };
        let sent: Sent = begun.pings.answered(heartbeat.ping)?;
        if let Some(position) = &heartbeat.position {
            self.reach(position.clone());
        }
        let age = span(heartbeat.proof_age);
        let before = |age| sent.time.checked_sub_signed(TimeDelta::from_std(age).ok()?);
        let proof = age.and_then(before);
        let cache = &self.api.cache;
        match (heartbeat.feed(), proof, span(heartbeat.valid_for)) {
            (proto::FeedState::Live, Some(proof), Some(valid_for)) => {
                cache.trust(proof, sent.at.after(valid_for + SLACK));
                self.note(FeedMode::Listening, |report| report.proven = Some(sent.at));
                if self.is_unsure.swap(false, Ordering::Relaxed) {
                    self.want(Wanted::All);
                }
                None
            }
            (proto::FeedState::Off, proof, _) => {
                cache.feed_off(proof.filter(|_| age.is_some_and(|age| age < RECENT)));
                self.note(FeedMode::Off, |_| {});
                None
            }
            (_, proof, _) => {
                cache.suspect_since(proof);
                self.note(FeedMode::Disconnected, |report| report.lost = Some(Cause::Silent));
                Some(Instant::now())
            }
        }
    }

    fn lose(&self, problem: &str) {
        let cache = &self.api.cache;
        // What was proven a moment ago counts for as long as it would without this.
        if cache.feed() == FeedState::Live {
            return;
        }
        cache.suspect();
        self.note(FeedMode::Disconnected, |report| report.lost = Some(Cause::Silent));
        if self.told.lock().is_due(problem, Instant::now()).is_some() {
            tracing::warn!(
                "no upstream can be followed: what is held is suspect until one can: {problem}"
            );
        }
    }

    /// Notes how changes are received.
    fn note(&self, mode: FeedMode, note: impl FnOnce(&mut FeedReport)) {
        let mut report = self.report.lock();
        report.mode = mode;
        if mode != FeedMode::Disconnected {
            report.lost = None;
        }
        note(&mut report);
    }
}
