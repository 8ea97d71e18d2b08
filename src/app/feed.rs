//! The feed: hears of changes and tells the cache, and says when it does not hear.

use std::{collections::HashSet, convert::Infallible, pin::pin, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::jitter;
use crate::{
    config::ChangesMode,
    service::Api,
    store::{Announcement, ChangeLog, Listener, News, Poll, Position, Store, StoreError},
};

/// While it listens, the log is polled this often all the same: a sign of life, and a net for what was not heard.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// After news the log is polled this soon, and then ever less often: of writers that commit at the same time only one
/// tells, and the others' changes may follow.
const SOON: Duration = Duration::from_millis(20);
/// A poll that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(1);
/// While listening does not work, it is tried again at least this often, and when the database comes back.
const LISTEN_AGAIN: Duration = Duration::from_secs(30);
/// Before the log is polled instead, listening gets this long to begin.
const HEAD_START: Duration = Duration::from_millis(250);
/// More announcements than this between two polls are not remembered, and then taken in twice.
const MOST_HEARD: usize = 10_000;

/// How changes are heard of at the moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Hearing {
    /// Not yet, or not at all: the database does not answer.
    #[default]
    Nothing,
    /// As they are committed.
    Listening,
    /// By polling the log.
    Polling,
    /// Not at all: there is no log.
    Off,
    /// Not at all: triggers of the log are missing.
    Unarmed,
}

/// What the feed says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    pub(super) hearing: Hearing,
    /// Changes that the log held and that had not been heard while it listened: their writers left the telling to
    /// another, or a poll was faster.
    pub(super) unheard: u64,
    /// How full PostgreSQL's queue of notices is, from 0 to 1.
    pub(super) queue_usage: f64,
    /// The database's role may not read the ERP's tables, or not all of their rows.
    pub(super) is_denied: bool,
}

/// The feed of changes.
pub(super) struct Feed {
    api: Api,
    mode: ChangesMode,
    poll_interval: Duration,
    position: Option<Position>,
    /// What was heard since the log was last read.
    heard: HashSet<Announcement>,
    report: Arc<Mutex<Report>>,
}

impl Feed {
    pub(super) fn new(api: Api, mode: ChangesMode, poll_interval: Duration, report: Arc<Mutex<Report>>) -> Self {
        Self { api, mode, poll_interval, position: None, heard: HashSet::new(), report }
    }

    /// Feeds the cache, and never returns.
    pub(super) async fn run(mut self) -> Infallible {
        if self.api.store.log() == ChangeLog::LeftOut {
            tracing::warn!(
                "changes are off: an answer may be as old as the time to live, and only a min_revision reads past it"
            );
            return self.ping().await;
        }
        self.api.cache.suspect();
        let mut pause = Duration::ZERO;
        loop {
            let listener = self.poll_until_it_listens(pause).await;
            let began = Instant::now();
            let error = self.listen(listener).await;
            // One that worked is replaced at once; one that never did would only fail again.
            pause = match self.lose(&error, "listening to changes ended") {
                Hearing::Listening => HEARTBEAT.saturating_sub(began.elapsed()),
                _ => LISTEN_AGAIN,
            };
        }
    }

    /// Listens until that fails.
    async fn listen(&mut self, mut listener: Listener) -> StoreError {
        let mut pause = HEARTBEAT;
        loop {
            let poll = timeout(PATIENCE, listener.poll(self.position.as_ref())).await;
            let was_news = match poll.unwrap_or(Err(StoreError::TimedOut)) {
                Ok(poll) => self.take_in(poll, Hearing::Listening),
                Err(error) => return error,
            };
            pause = if was_news { SOON } else { HEARTBEAT.min(pause * 2) };
            let mut next_poll = Instant::now() + pause;
            // Looked at each time: news that never ends would keep the timer from being asked.
            while Instant::now() < next_poll {
                match timeout_at(next_poll, listener.next()).await {
                    Ok(Ok(announcement)) => self.hear(announcement),
                    Ok(Err(error)) => return error,
                    Err(_) => break,
                }
                pause = SOON;
                next_poll = next_poll.min(Instant::now() + pause);
            }
        }
    }

    fn hear(&mut self, announcement: Announcement) {
        if self.heard.len() < MOST_HEARD {
            self.heard.insert(announcement);
        }
        self.api.cache.announce(&[announcement], self.api.clock.now());
    }

    /// Polls the log until there is something to listen to, which is begun after a pause. Where nothing is to be
    /// listened to, it never returns.
    async fn poll_until_it_listens(&mut self, pause: Duration) -> Listener {
        let store = Arc::clone(&self.api.store);
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
            let poll = timeout(PATIENCE, store.poll(self.position.as_ref())).await;
            let pause = match poll.unwrap_or(Err(StoreError::TimedOut)) {
                Ok(poll) => {
                    self.take_in(poll, Hearing::Polling);
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
                () = tokio::time::sleep(jitter::around(pause)) => {}
            }
        }
    }

    /// Tells the cache what a poll has brought. Was there news that had not been heard?
    fn take_in(&mut self, poll: Poll, hearing: Hearing) -> bool {
        let now = self.api.clock.now();
        let mut unheard = 0;
        let hearing = if poll.armed {
            match &poll.news {
                News::Anything => self.api.cache.reset(now),
                News::Announced(announced) => {
                    let new: Vec<_> = announced.iter().filter(|one| !self.heard.contains(one)).copied().collect();
                    unheard = new.len() as u64;
                    self.api.cache.announce(&new, now);
                }
            }
            self.position = Some(poll.position);
            self.api.cache.trust(now);
            hearing
        } else {
            // What happens now leaves no trace: once the triggers are back, anything may have changed.
            self.position = None;
            self.api.cache.unfed(Some(now));
            Hearing::Unarmed
        };
        self.heard.clear();
        self.tell(hearing, |report| {
            report.unheard += if hearing == Hearing::Listening { unheard } else { 0 };
            report.queue_usage = poll.queue_usage;
            report.is_denied = poll.denied;
        });
        unheard > 0
    }

    /// Changes are not heard of any more. Gives how they were until now.
    fn lose(&self, error: &StoreError, what: &str) -> Hearing {
        self.api.cache.suspect();
        let before = self.tell(Hearing::Nothing, |_| {});
        if before != Hearing::Nothing {
            tracing::warn!(%error, "{what}: what is held is suspect until the log has been read: {error}");
        }
        before
    }

    /// Notes how changes are heard of, and tells the log when that has changed. Gives what it was before.
    fn tell(&self, hearing: Hearing, note: impl FnOnce(&mut Report)) -> Hearing {
        let mut report = self.report.lock();
        let before = std::mem::replace(&mut report.hearing, hearing);
        note(&mut report);
        drop(report);
        match hearing {
            _ if hearing == before => {}
            Hearing::Listening => tracing::info!("listening to changes"),
            Hearing::Polling => tracing::info!("polling the log of changes"),
            Hearing::Unarmed => tracing::error!("triggers of the change log are missing; run: entitlementd migrate"),
            Hearing::Nothing | Hearing::Off => {}
        }
        before
    }

    /// Without a feed, finds out whether the database is there.
    async fn ping(&self) -> Infallible {
        loop {
            let answer = timeout(PATIENCE, self.api.store.ping()).await;
            let proof = matches!(answer, Ok(Ok(()))).then(|| self.api.clock.now());
            self.api.cache.unfed(proof);
            self.tell(if proof.is_some() { Hearing::Off } else { Hearing::Nothing }, |_| {});
            tokio::time::sleep(jitter::around(PATIENCE)).await;
        }
    }
}

/// Begins to listen, and tries it now and then until it works.
async fn begin_to_listen(store: &Store, is_wanted: bool, pause: Duration) -> Listener {
    if !is_wanted {
        return std::future::pending().await;
    }
    tokio::time::sleep(pause).await;
    let mut pause = HEARTBEAT;
    loop {
        match store.listen().await {
            Ok(listener) => return listener,
            Err(error) => tracing::warn!(%error, "changes are polled, since nothing can be listened to: {error}"),
        }
        // A database that restarts is back soon; one that cannot be listened to is not worth asking often.
        tokio::time::sleep(jitter::around(pause)).await;
        pause = (pause * 2).min(LISTEN_AGAIN);
    }
}
