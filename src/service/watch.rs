//! WatchChanges: what has changed, as it changes.

mod named;
mod rights;
mod stage;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

pub(super) use self::stage::reached;
pub(crate) use self::stage::{ConnectionStage, Ending};
use self::{named::NamedTenants, rights::WatcherRights};
use super::{
    Api,
    caller::{CallerIdentity, Credentials, NotAdmitted},
    error::RequestError,
    stream_places::Place,
};
use crate::{
    cache::{Event, Events, FeedState, Received},
    domain::{ModuleCode, TenantId, enabled::Transition},
};

/// How often a watcher gets a heartbeat who does not say how often it wants one.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// And at least how often while its connection is about to end: it waits for one to know that it
/// missed nothing.
const LAST_HEARTBEATS: Duration = Duration::from_secs(1);
/// The next transition is looked for again after this long at the latest: clocks are set.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// Many rights end at the same instant, midnight for one. Those who watch them are notified within this
/// time after it, and not all at once, so that others are answered meanwhile. Everybody knows the
/// instant from `valid_until`.
const MAX_DELAY: Duration = Duration::from_millis(200);

/// Once this many transitions are to be sent, other things have their turn before more are looked
/// for.
const MAX_TRANSITIONS: usize = 100;

/// Whose changes to tell.
#[derive(Debug)]
pub(super) struct WatchQuery {
    /// What whoever asks has shown.
    pub(super) credentials: Credentials,
    /// Empty: all.
    pub(super) tenants: HashSet<TenantId>,
    /// It wants a message before its connection ends.
    pub(super) announce_end: bool,
    /// How often it wants a heartbeat; it is then told at once when the feed becomes suspect.
    pub(super) heartbeat_interval: Option<Duration>,
}

/// What is sent to a watcher.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum WatchMessage {
    Opened { as_of: DateTime<Utc>, heartbeat_interval: Option<Duration> },
    Tenant { id: TenantId, revision: u64 },
    Catalogue { revision: u64 },
    Transition { id: TenantId, module: ModuleCode, at: DateTime<Utc> },
    Reset,
    Heartbeat { lag: TimeDelta, unproven: bool },
    Ending,
}

/// One who watches.
pub(super) struct Watcher {
    api: Api,
    rights: WatcherRights,
    wanted: Arc<HashSet<TenantId>>,
    events: Events,
    ending: Option<Ending>,
    announce_end: bool,
    /// The stage at which there is something to do: to announce the end, or to end.
    awaited: ConnectionStage,
    heartbeat_interval: Option<Duration>,
    /// The feed has become suspect, or is live again.
    owes_heartbeat: bool,
    beat: Interval,
    /// What is sent before anything else happens.
    outbox: VecDeque<WatchMessage>,
    /// The tenants that are named, as far as they have been read.
    named: NamedTenants,
    /// Named tenants whose facts are to be read again.
    unread: HashSet<TenantId>,
    /// How long after their instant transitions are sent.
    delay: Duration,
    _place: Place,
}

impl Api {
    pub(super) fn watch(
        &self,
        query: WatchQuery,
        ending: Option<Ending>,
    ) -> Result<Watcher, RequestError> {
        let rights = WatcherRights::new(&self.callers, query.credentials)?;
        self.permit_watch(rights.identity(), &query.tenants)?;
        let place = self.watchers.take(rights.identity().name(), query.tenants.len());
        let place = place.ok_or(RequestError::TooManyWatchers)?;
        // Watched first, so that what is sent comes after what is known.
        let wanted = Arc::new(query.tenants);
        let events = self.cache.watch(Arc::clone(&wanted));
        // Before the database has answered for the first time, nobody knows whether changes will be
        // heard of, unless they were by the process before.
        let as_of = self.cache.rests_on().ok_or(RequestError::NotHeardYet)?;
        if self.cache.feed() == FeedState::Off {
            return Err(RequestError::ChangesOff);
        }
        let now = self.clock.now();
        let heartbeat_interval = query.heartbeat_interval;
        Ok(Watcher {
            api: self.clone(),
            rights,
            unread: (*wanted).clone(),
            wanted,
            events,
            ending,
            announce_end: query.announce_end,
            awaited: ConnectionStage::Ending,
            heartbeat_interval,
            owes_heartbeat: false,
            beat: every(heartbeat_interval.unwrap_or(HEARTBEAT)),
            // The first heartbeat comes at once: before one, a watcher relies on nothing.
            outbox: VecDeque::from([
                WatchMessage::Opened { as_of, heartbeat_interval },
                self.heartbeat(),
            ]),
            named: NamedTenants::new(now),
            // A timer counts in milliseconds, and must not end before the instant.
            delay: Duration::from_millis(1) + MAX_DELAY.mul_f64(fastrand::f64()),
            _place: place,
        })
    }
}

impl Api {
    fn heartbeat(&self) -> WatchMessage {
        let unproven = self.cache.feed() == FeedState::Suspect;
        WatchMessage::Heartbeat { lag: self.cache.lag(self.clock.now()), unproven }
    }

    fn permit_watch(
        &self,
        caller: CallerIdentity<'_>,
        tenants: &HashSet<TenantId>,
    ) -> Result<(), NotAdmitted> {
        if tenants.is_empty() {
            return self.permit_enumeration(caller);
        }
        tenants.iter().try_for_each(|tenant| self.permit_tenant(caller, Some(*tenant)))
    }
}

/// What has happened.
enum Wakeup {
    ConnectionStage(ConnectionStage),
    Event(Option<Received>),
    Beat,
    /// It is time to look for transitions.
    Time,
    /// Callers may do something else than before.
    Rights,
}

impl Watcher {
    /// The next thing to tell; `None`: the stream ends.
    pub(super) async fn next(&mut self) -> Option<Result<WatchMessage, RequestError>> {
        loop {
            if let Err(refused) = self.rights.look_again(&self.api, &self.wanted) {
                return Some(Err(refused.into()));
            }
            if let Some(outbox) = self.outbox.pop_front() {
                if self.rights.may_hear(&outbox) {
                    return Some(Ok(outbox));
                }
                continue;
            }
            match self.goes_on().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(status) => return Some(Err(status)),
            }
        }
    }

    /// Waits until something has happened. Does the stream go on?
    async fn goes_on(&mut self) -> Result<bool, RequestError> {
        self.read_named().await;
        match self.happened().await {
            Wakeup::ConnectionStage(ConnectionStage::Ending) if self.announce_end => {
                self.send_ending();
            }
            Wakeup::ConnectionStage(_) | Wakeup::Event(None) => return Ok(false),
            Wakeup::Event(Some(heard)) => self.receive(heard)?,
            Wakeup::Beat => self.send_heartbeat()?,
            Wakeup::Time => self.send_transitions(),
            Wakeup::Rights => {}
        }
        while std::mem::take(&mut self.owes_heartbeat) {
            self.send_heartbeat()?;
        }
        Ok(true)
    }

    async fn happened(&mut self) -> Wakeup {
        let pause = self.until_next_transition();
        tokio::select! {
            stage = reached(&mut self.ending, self.awaited) => Wakeup::ConnectionStage(stage),
            event = self.events.next() => Wakeup::Event(event),
            _ = self.beat.tick() => Wakeup::Beat,
            () = sleep(pause) => Wakeup::Time,
            () = self.rights.changed() => Wakeup::Rights,
        }
    }

    fn receive(&mut self, heard: Received) -> Result<(), RequestError> {
        match heard {
            Received::Event(event) => self.queue_event(event),
            Received::Lagged => self.queue_event(Event::Reset),
        }
    }

    fn queue_event(&mut self, event: Event) -> Result<(), RequestError> {
        match event {
            Event::Tenant(id, revision) => {
                if !self.wanted.is_empty() {
                    self.unread.insert(id);
                }
                self.outbox.push_back(WatchMessage::Tenant { id, revision });
            }
            Event::Catalogue(revision) => {
                self.outbox.push_back(WatchMessage::Catalogue { revision });
            }
            Event::Reset => {
                self.unread = (*self.wanted).clone();
                self.outbox.push_back(WatchMessage::Reset);
            }
            Event::Doubt => self.owes_heartbeat = self.heartbeat_interval.is_some(),
            Event::FeedOff => return Err(RequestError::ChangesOff),
        }
        Ok(())
    }

    fn send_heartbeat(&mut self) -> Result<(), RequestError> {
        let heartbeat = self.api.heartbeat();
        // What was heard by then goes first: who moves to another stream is done with this one once
        // the message was sent.
        while let Some(heard) = self.events.next_now() {
            self.receive(heard)?;
        }
        self.outbox.push_back(heartbeat);
        Ok(())
    }

    fn send_ending(&mut self) {
        self.awaited = ConnectionStage::Ended;
        self.beat = every(self.heartbeat_interval.unwrap_or(HEARTBEAT).min(LAST_HEARTBEATS));
        self.outbox.push_back(WatchMessage::Ending);
    }

    /// Reads the facts of named tenants that are new or have changed. One that cannot be read is
    /// tried again later.
    async fn read_named(&mut self) {
        let now = self.api.clock.now();
        for id in std::mem::take(&mut self.unread) {
            match self.api.cache.get(id, now).await {
                Ok(known) => self.named.update(id, known.facts),
                Err(_) => drop(self.unread.insert(id)),
            }
        }
    }

    fn until_next_transition(&self) -> Duration {
        let now = self.api.clock.now();
        // A negative span is no `Duration`: what is due already is sent at once.
        let until = |next: DateTime<Utc>| {
            (next - now).to_std().map_or(Duration::ZERO, |pause| pause + self.delay)
        };
        self.named.next().map_or(LONGEST_SLEEP, until).min(LONGEST_SLEEP)
    }

    /// Tells of some tenants at a time: at midnight there may be a thousand, with ten rights each.
    fn send_transitions(&mut self) {
        let now = self.api.clock.now();
        while self.outbox.len() < MAX_TRANSITIONS
            && let Some((id, changed)) = self.named.changed_by(now)
        {
            let outbox = changed
                .into_iter()
                .map(|Transition { module, at }| WatchMessage::Transition { id, module, at });
            self.outbox.extend(outbox);
        }
    }
}

/// Beats in this rhythm. Those who came together, after a restart for one, do not beat together.
fn every(pause: Duration) -> Interval {
    let mut beat = interval_at(Instant::now() + pause.mul_f64(0.5 + 0.5 * fastrand::f64()), pause);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}
