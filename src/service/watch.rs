//! WatchChanges: what has changed, as it changes.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep},
};
use tonic::Status;

use super::{
    Api,
    asker::{Asker, NotAdmitted},
    status,
};
use crate::{
    cache::{Event, Feed},
    domain::{
        Facts, ModuleCode, TenantId,
        enabled::{next_change, transitions},
    },
};

/// How often a watcher is told that nothing happened.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The next transition is looked for again after this long at the latest: clocks are set.
const LONGEST_SLEEP: TimeDelta = TimeDelta::minutes(1);

/// Turns true when the connection that it belongs to is to end.
pub type Ending = watch::Receiver<bool>;

/// Whose changes to tell.
#[derive(Debug)]
pub(super) struct WatchQuery<'a> {
    pub(super) asker: Asker<'a>,
    /// Empty: all.
    pub(super) tenants: HashSet<TenantId>,
}

/// What a watcher is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Told {
    Opened { as_of: DateTime<Utc> },
    Tenant { id: TenantId, revision: u64 },
    Catalogue { revision: u64 },
    Transition { id: TenantId, module: ModuleCode, at: DateTime<Utc> },
    Reset,
    Heartbeat { lag: TimeDelta },
}

/// The places of those who watch. Clones share them.
#[derive(Clone, Debug)]
pub struct WatcherPlaces {
    taken: Arc<AtomicUsize>,
    most: usize,
}

impl WatcherPlaces {
    /// So many may watch at the same time.
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    fn take(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.taken));
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.most).then_some(place)
    }
}

/// A place that is taken for as long as this lives.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One who watches.
pub(super) struct Watcher {
    api: Api,
    wanted: HashSet<TenantId>,
    events: broadcast::Receiver<Event>,
    ending: Option<Ending>,
    beat: Interval,
    /// What is told before anything else happens.
    told: VecDeque<Told>,
    /// The facts of the tenants that are named, as far as they have been read.
    facts: HashMap<TenantId, Facts>,
    /// Named tenants whose facts are to be read again.
    unread: HashSet<TenantId>,
    /// Up to here, transitions have been told.
    judged: DateTime<Utc>,
    _place: Place,
}

impl Api {
    pub(super) fn watch(&self, query: WatchQuery<'_>, ending: Option<Ending>) -> Result<Watcher, Status> {
        self.permit_watch(&query).map_err(status::not_admitted)?;
        let place = self.watchers.take().ok_or_else(status::too_many_watchers)?;
        // Watched first, so that what is told comes after what is known.
        let events = self.cache.watch();
        // Before the database has answered for the first time, nobody knows whether changes will be heard of.
        let as_of = self.cache.last_proof().ok_or_else(status::not_heard_yet)?;
        if self.cache.feed() == Feed::Off {
            return Err(status::changes_off());
        }
        let now = self.clock.now();
        let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Watcher {
            api: self.clone(),
            unread: query.tenants.clone(),
            wanted: query.tenants,
            events,
            ending,
            beat,
            told: VecDeque::from([Told::Opened { as_of }]),
            facts: HashMap::new(),
            judged: now,
            _place: place,
        })
    }
}

impl Api {
    fn permit_watch(&self, query: &WatchQuery<'_>) -> Result<(), NotAdmitted> {
        if query.tenants.is_empty() {
            return self.permit_enumeration(query.asker);
        }
        query.tenants.iter().try_for_each(|tenant| self.permit_tenant(query.asker, Some(*tenant)))
    }
}

/// What has happened.
enum Happened {
    Ending,
    Event(Result<Event, RecvError>),
    Beat,
    /// It is time to look for transitions.
    Time,
}

impl Watcher {
    /// The next thing to tell; `None`: the stream ends.
    pub(super) async fn next(&mut self) -> Option<Result<Told, Status>> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return Some(Ok(told));
            }
            self.read_named().await;
            let happened = self.happened().await;
            match happened {
                Happened::Ending | Happened::Event(Err(RecvError::Closed)) => return None,
                Happened::Event(Ok(Event::Deaf)) => return Some(Err(status::changes_off())),
                // It was too slow, and something was left out.
                Happened::Event(Err(RecvError::Lagged(_))) => self.take_in(Event::Reset),
                Happened::Event(Ok(event)) => self.take_in(event),
                Happened::Beat => {
                    let lag = self.api.cache.lag(self.api.clock.now());
                    self.told.push_back(Told::Heartbeat { lag });
                }
                Happened::Time => self.tell_transitions(),
            }
        }
    }

    async fn happened(&mut self) -> Happened {
        let pause = self.until_next_transition();
        tokio::select! {
            () = end_of(&mut self.ending) => Happened::Ending,
            event = self.events.recv() => Happened::Event(event),
            _ = self.beat.tick() => Happened::Beat,
            () = sleep(pause) => Happened::Time,
        }
    }

    fn take_in(&mut self, event: Event) {
        match event {
            Event::Tenant(id, revision) => {
                if self.wanted.contains(&id) {
                    self.unread.insert(id);
                } else if !self.wanted.is_empty() {
                    return;
                }
                self.told.push_back(Told::Tenant { id, revision });
            }
            Event::Catalogue(revision) => self.told.push_back(Told::Catalogue { revision }),
            Event::Reset | Event::Deaf => {
                self.unread = self.wanted.clone();
                self.told.push_back(Told::Reset);
            }
        }
    }

    /// Reads the facts of named tenants that are new or have changed. One that cannot be read is tried again later.
    async fn read_named(&mut self) {
        let now = self.api.clock.now();
        for id in std::mem::take(&mut self.unread) {
            match self.api.cache.get(id, now).await {
                Ok(known) => match known.facts {
                    Some(facts) => drop(self.facts.insert(id, facts)),
                    None => drop(self.facts.remove(&id)),
                },
                Err(_) => drop(self.unread.insert(id)),
            }
        }
    }

    fn until_next_transition(&self) -> Duration {
        let next = self.facts.values().filter_map(|facts| next_change(facts, self.judged)).min();
        let now = self.api.clock.now();
        let pause = next.map_or(LONGEST_SLEEP, |next| (next - now).clamp(TimeDelta::zero(), LONGEST_SLEEP));
        // A timer counts in milliseconds, and must not end before the instant.
        pause.to_std().unwrap_or_default() + Duration::from_millis(u64::from(!pause.is_zero()))
    }

    fn tell_transitions(&mut self) {
        let now = self.api.clock.now();
        let judged = self.judged;
        self.judged = now.max(judged);
        for (id, facts) in &self.facts {
            for transition in transitions(facts, judged, now) {
                self.told.push_back(Told::Transition { id: *id, module: transition.module, at: transition.at });
            }
        }
    }
}

/// Waits for the end of a connection. A request that came over none has no end.
async fn end_of(ending: &mut Option<Ending>) {
    match ending {
        // An error: the connection is gone already.
        Some(ending) => drop(ending.wait_for(|ending| *ending).await),
        None => std::future::pending().await,
    }
}
