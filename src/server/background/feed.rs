//! The feed: hears of changes and tells the cache, and says when it does not hear.

mod asked;
mod begin;
mod gap;
mod hints;
mod marks;
mod on_replica;
mod report;

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use self::{
    asked::Asked,
    begin::{LISTEN_AGAIN, begin_to_listen},
    hints::{Hints, Untold},
};
pub(crate) use self::{
    marks::Behind,
    report::{FeedMode, FeedReport},
};
use super::condition::Cause;
use crate::{
    clock::Uptime,
    config::ChangesMode,
    observability::log_limiter::{LogLimiter, log_limited},
    server::jittered,
    service::Core,
    store::{ChangeLog, Listener, News, Poll, Position, StoreError},
};

/// While it listens, the log is polled this often all the same: a sign of life, and a net for what
/// was not heard.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// After news the log is polled this soon, and then ever less often: of writers that commit at the
/// same time only one tells, and the others' changes may follow.
const SOON: Duration = Duration::from_millis(20);
/// A poll that takes longer has failed, and what is held is suspect.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same after a poll that has failed: everything is suspect by then.
const PATIENCE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How late a poll may be on a busy machine, before nothing is relied on that the one before has
/// proven.
const SLACK: Duration = Duration::from_secs(2);
/// Before the log is polled instead, which is told as a trouble, listening gets this long to begin.
const HEAD_START: Duration = Duration::from_secs(1);

/// The feed of changes.
pub(crate) struct Feed {
    core: Core,
    mode: ChangesMode,
    poll_interval: Duration,
    position: Option<Position>,
    report: Arc<Mutex<FeedReport>>,
}

/// Until when an answer is relied on, where the next question follows after this pause.
fn relied_on_until(asked: Asked, pause: Duration) -> Uptime {
    asked.at.after(pause.mul_f64(1.1) + PATIENCE + SLACK)
}

impl Feed {
    pub(crate) fn new(
        core: Core,
        mode: ChangesMode,
        poll_interval: Duration,
        report: Arc<Mutex<FeedReport>>,
    ) -> Self {
        Self { core, mode, poll_interval, position: None, report }
    }

    /// Feeds the cache, and never returns.
    pub(crate) async fn run(mut self) -> Infallible {
        if self.core.store.log() == ChangeLog::LeftOut {
            tracing::warn!(
                "changes are off: an answer may be as old as the time to live, and only a min_revision reads past it"
            );
            return self.ping().await;
        }
        if self.core.store.is_on_replica() {
            return self.run_on_replica().await;
        }
        let mut moves = self.core.store.moves();
        let mut pause = Duration::ZERO;
        loop {
            pause = tokio::select! {
                pause = self.hear(pause) => pause,
                // What was read where the database was says nothing of where it is.
                () = moves.next() => Duration::ZERO,
            };
        }
    }

    /// Hears of changes until listening fails, and gives how long to wait before it is begun again.
    async fn hear(&mut self, pause: Duration) -> Duration {
        let listener = self.poll_until_it_listens(pause).await;
        let began = Instant::now();
        let error = self.listen(listener).await;
        // One that worked is replaced at once; after one that never did, ever later.
        match self.lose(&error, "listening to changes ended") {
            FeedMode::Listening => HEARTBEAT.saturating_sub(began.elapsed()),
            _ => (pause * 2).clamp(HEARTBEAT, LISTEN_AGAIN),
        }
    }

    /// Listens until that fails. A notice is a hint that the log is worth reading, and never news
    /// by itself: anybody may have sent it.
    async fn listen(&mut self, mut listener: Listener) -> StoreError {
        let mut pause = HEARTBEAT;
        let mut hints = Hints::new(Instant::now());
        loop {
            let asked = self.ask();
            let poll = timeout(self.patience(), listener.poll(self.position.as_ref())).await;
            let news = match poll.unwrap_or(Err(StoreError::TimedOut)) {
                Ok(poll) => self.take_in(poll, FeedMode::Listening, asked),
                Err(error) => return error,
            };
            self.note_unheard(hints.untold(news, Instant::now()));
            pause = if news > 0 { SOON } else { HEARTBEAT.min(pause * 2) };
            if let Err(error) = hints.wait(&mut listener, pause).await {
                return error;
            }
        }
    }

    fn ask(&self) -> Asked {
        Asked::now(&self.core.api.clock, self.core.store.whereabouts())
    }

    /// How long a poll may take.
    fn patience(&self) -> Duration {
        if self.report.lock().mode != FeedMode::Disconnected {
            PATIENCE
        } else if self.has_heard() {
            PATIENCE_AFTER_FAILURE
        } else {
            self.core.store.durations().start
        }
    }

    fn has_heard(&self) -> bool {
        self.core.api.cache.last_proof().is_some()
    }

    fn note_unheard(&self, untold: Untold) {
        self.report.lock().unheard += untold.changes;
        if untold.for_long {
            tracing::warn!(
                "changes are found in the log, but nobody tells of them: is another session holding the advisory lock that \
                 writers take for it? See pg_locks where locktype = 'advisory'"
            );
        }
    }

    /// Polls the log until there is something to listen to, which is begun after a pause. Where
    /// nothing is to be listened to, it never returns.
    async fn poll_until_it_listens(&mut self, pause: Duration) -> Listener {
        let store = Arc::clone(&self.core.store);
        let is_wanted = self.mode != ChangesMode::Poll && store.can_listen();
        let mut listening = pin!(begin_to_listen(&store, is_wanted, pause));
        let mut was_lost = false;
        if is_wanted && pause.is_zero() {
            // Most of the time it works at once, and reads the log itself.
            if let Ok(listener) = timeout(HEAD_START, &mut listening).await {
                return listener;
            }
        }
        loop {
            let asked = self.ask();
            let poll = timeout(self.patience(), store.poll(self.position.as_ref())).await;
            let pause = match poll.unwrap_or(Err(StoreError::TimedOut)) {
                Ok(poll) => {
                    self.take_in(poll, FeedMode::Polling, asked);
                    if std::mem::take(&mut was_lost) {
                        listening.set(begin_to_listen(&store, is_wanted, Duration::ZERO));
                    }
                    self.poll_interval
                }
                Err(error) => {
                    was_lost = true;
                    self.lose(&error, "the log of changes cannot be read");
                    // The interval is how old news may be, not how long an outage lasts.
                    self.poll_interval.min(HEARTBEAT)
                }
            };
            // Meanwhile it goes on polling: to begin may take as long as nobody answers.
            tokio::select! {
                listener = &mut listening => return listener,
                () = tokio::time::sleep(jittered(pause)) => {}
            }
        }
    }

    /// Tells the cache what a poll has brought, and gives how many changes those were. `asked`: when
    /// it was sent. Its answer may have waited for a process that was stopped meanwhile.
    fn take_in(&mut self, poll: Poll, mode: FeedMode, asked: Asked) -> u64 {
        let store = Arc::clone(&self.core.store);
        // What was asked where the database was vouches for nothing where it is.
        store.if_still_there(asked.of, || self.believe(poll, mode, asked)).unwrap_or(0)
    }

    fn believe(&mut self, poll: Poll, mode: FeedMode, asked: Asked) -> u64 {
        let now = self.core.api.clock.now();
        let mut changes = 0;
        let mode = if poll.armed {
            changes = self.take_news(&poll, now);
            self.core.store.note_read(Some(&poll.position));
            self.position = Some(poll.position);
            let pause = if mode == FeedMode::Listening { HEARTBEAT } else { self.poll_interval };
            self.core.api.cache.trust(now, relied_on_until(asked, pause));
            mode
        } else {
            // What happens now leaves no trace: once the triggers are back, anything may have
            // changed.
            self.position = None;
            self.core.store.note_read(None);
            self.core.api.cache.feed_off(Some(now));
            FeedMode::Unarmed
        };
        self.tell(mode, |report| {
            report.queue_usage = poll.queue_usage;
            report.clock_skew = asked.skew(poll.clock, now);
            report.proven = if poll.armed { Some(asked.at) } else { report.proven };
            report.is_denied = poll.denied;
            report.lost = None;
        });
        changes
    }

    /// Tells the cache what has changed, and gives how many changes those were.
    fn take_news(&self, poll: &Poll, now: DateTime<Utc>) -> u64 {
        let cache = &self.core.api.cache;
        let changes = match &poll.news {
            News::Anything(gap) => {
                gap::tell(*gap);
                cache.reset(now);
                0
            }
            News::Changes(news) => {
                cache.apply_changes(news, now);
                news.len() as u64
            }
        };
        cache.mark(&poll.position.mark());
        changes
    }

    /// Changes are not heard of any more. Gives how they were until now.
    fn lose(&self, error: &StoreError, what: &str) -> FeedMode {
        self.core.api.cache.suspect();
        let before =
            self.tell(FeedMode::Disconnected, |report| report.lost = Some(Cause::of(error)));
        if !self.has_heard() {
            static NOT_HEARD: LogLimiter = LogLimiter::new();
            log_limited!(NOT_HEARD, warn, %error, "not ready, what has changed has not been read: {error}");
        } else if before != FeedMode::Disconnected {
            tracing::warn!(%error, "{what}: what is held is suspect until the log has been read: {error}");
        }
        before
    }

    /// Notes how changes are heard of, and tells the log when that has changed. Gives what it was
    /// before.
    fn tell(&self, mode: FeedMode, note: impl FnOnce(&mut FeedReport)) -> FeedMode {
        let mut report = self.report.lock();
        let before = std::mem::replace(&mut report.mode, mode);
        note(&mut report);
        drop(report);
        match mode {
            _ if mode == before => {}
            FeedMode::Listening => tracing::info!("listening to changes"),
            FeedMode::Polling => tracing::info!("polling the log of changes"),
            FeedMode::Unarmed => {
                tracing::error!(
                    "triggers of the change log are missing; run: entitlementd migrate"
                );
            }
            FeedMode::Disconnected | FeedMode::Off => {}
        }
        before
    }

    /// Without a feed, finds out whether the database is there.
    async fn ping(&self) -> Infallible {
        loop {
            let asked = self.ask();
            let answer = timeout(PATIENCE, self.core.store.ping()).await;
            let now = self.core.api.clock.now();
            if let Ok(Ok(clock)) = answer {
                self.core.api.cache.feed_off(Some(now));
                self.tell(FeedMode::Off, |report| report.clock_skew = asked.skew(clock, now));
            } else {
                self.core.api.cache.feed_off(None);
                self.tell(FeedMode::Disconnected, |_| {});
            }
            tokio::time::sleep(jittered(PATIENCE)).await;
        }
    }
}
