//! Loading, and storing what was loaded.

use std::{sync::Arc, time::Instant};

use chrono::{DateTime, Utc};
use tracing::{Instrument, Span};

use super::{
    Absent, Cache, FeedState, Inner, Known, LoadError, Lookup,
    change_clock::LoadStart,
    is_just_after,
    queue::{Batch, LoadRequest, Priority, StartedLoad},
    relay::ChangeOutcome,
    tally::LoadResult,
};
use crate::{
    clock::Uptime,
    domain::{Facts, Label},
    observability::log_limiter::log_limited,
    store::{LoadTenant, Loaded, Read, Source, StoreError, TenantKey, within},
};

/// What was known when a load was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) start: LoadStart,
    pub(super) epoch: u32,
    pub(super) now: DateTime<Utc>,
    at: Uptime,
    /// Were changes received?
    is_vouched_for: bool,
    /// Did a standby answer?
    is_from_standby: bool,
    /// When what was read is known to have been so, at the latest, if a replica of ours answered.
    known_at: Option<DateTime<Utc>>,
}

impl Sent {
    pub(super) fn answered<T>(self, read: &Read<T>) -> Self {
        Self { is_from_standby: read.is_from_standby, known_at: read.known_at, ..self }
    }
}

impl<L: LoadTenant> Cache<L> {
    /// Loads a tenant, or joins the load that is under way.
    pub(super) async fn load(
        &self,
        key: TenantKey,
        priority: Priority,
        now: DateTime<Utc>,
    ) -> Result<Known, LoadError> {
        if let Some(as_of) = self.0.known_to_be_absent(&key, now).await {
            return Ok(self.0.absent(0, as_of));
        }
        let held = || match self.0.lookup_by_key(&key, now) {
            Lookup::Fresh(known) => Some(known),
            Lookup::Suspect(..) | Lookup::Miss => None,
        };
        let joined = {
            let asked = LoadRequest { now, priority, span: span() };
            self.0.queue.join(&key, held, asked, self.0.loader.loads_at_once())
        };
        if joined.starts_a_turn {
            self.0.start_turn();
        }
        let outcome = joined.wait().await;
        if priority == Priority::Caller && matches!(outcome, Err(LoadError::Overloaded)) {
            self.0.tally.overloads.add();
        }
        outcome
    }
}

/// A load belongs to the trace of the request that began it, if that is traced.
pub(super) fn span() -> Span {
    if Span::current().is_none() {
        Span::none()
    } else {
        tracing::info_span!(target: "traced", "load")
    }
}

/// A turn to load what waits. If more is waiting when it ends, another turn follows, however it
/// ended.
struct LoadTurn<L: LoadTenant>(Arc<Inner<L>>);

impl<L: LoadTenant> Drop for LoadTurn<L> {
    fn drop(&mut self) {
        if self.0.queue.end_turn(self.0.loader.loads_at_once()) {
            self.0.start_turn();
        }
    }
}

impl<L: LoadTenant> Inner<L> {
    fn start_turn(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        self.runtime.spawn(async move {
            let LoadTurn(inner) = &LoadTurn(inner);
            if let Some(batch) = inner.queue.begin() {
                let span = batch.span.clone();
                inner.load_together(batch).instrument(span).await;
            }
        });
    }

    async fn load_together(&self, Batch { loads, now, .. }: Batch) {
        let keys: Vec<TenantKey> = loads.iter().map(|load| load.key.clone()).collect();
        let (sent, source) = {
            // Changes that are being applied would otherwise be missing from one of the two.
            let _placing = self.placing.lock();
            (self.send(now), self.source_for(&keys))
        };
        let loaded = self.read(&keys, source, now).await;
        self.note_load(keys.len(), &loaded);
        match loaded {
            Ok(read) => {
                let sent = sent.answered(&read);
                if read.is_from_standby && self.trust.trusted().feed == FeedState::Live {
                    log_limited!(
                        self.log_limiter,
                        warn,
                        "a standby answers where the primary should, or another upstream than the one that is followed: what it says is marked stale, and not kept"
                    );
                }
                let in_place = |(load, loaded): (StartedLoad, _)| {
                    let outcome = self.keep(&load, loaded, sent);
                    (load, outcome)
                };
                // All are kept before the first caller is answered: those who wait on one connection
                // are then answered together.
                let ended: Vec<_> = loads.into_iter().zip(read.value).map(in_place).collect();
                for (load, outcome) in ended {
                    load.end(outcome);
                }
            }
            Err(error) => loads.into_iter().for_each(|load| load.end(Err(error.clone().into()))),
        }
    }

    fn keep(
        &self,
        load: &StartedLoad,
        loaded: Result<Loaded, StoreError>,
        sent: Sent,
    ) -> Result<Known, LoadError> {
        match loaded {
            Ok(loaded) if load.priority == Priority::Background && self.passes_over(&loaded) => {
                Ok(self.known(loaded, sent))
            }
            Ok(loaded) => Ok(self.put_in_place(&load.key, loaded, sent)),
            Err(error) => {
                self.failed(&error);
                Err(error.into())
            }
        }
    }

    /// Reads tenants in one statement, and limits the time that it may take.
    pub(super) async fn read(
        &self,
        keys: &[TenantKey],
        source: Source,
        now: DateTime<Utc>,
    ) -> Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError> {
        self.tally.loads.add_many(keys.len() as u64);
        self.tally.statements.add();
        let began = Instant::now();
        // Boxed: the future of a query is large, and every future that may load would contain it.
        let read = self.in_time(Box::pin(self.loader.load_tenants(keys, source, now))).await;
        let read = read.and_then(|read| self.if_bearable(read, now));
        self.tally.load_durations.observe(LoadResult::of(&read), began.elapsed());
        read
    }

    /// What a replica of ours says is served for as long as what is held would be: it may have been cut
    /// off since it was known to be so.
    pub(super) fn if_bearable<T>(
        &self,
        read: Read<T>,
        now: DateTime<Utc>,
    ) -> Result<Read<T>, StoreError> {
        let is_bearable = read.known_at.is_none_or(|at| self.is_within_max_stale(at, now));
        if is_bearable { Ok(read) } else { Err(StoreError::Unproven) }
    }

    /// Begins a load.
    pub(super) fn send(&self, now: DateTime<Utc>) -> Sent {
        let trusted = self.trust.trusted();
        Sent {
            start: self.change_clock.begin(),
            epoch: trusted.epoch,
            now,
            at: Uptime::now(),
            is_vouched_for: trusted.feed != FeedState::Suspect,
            is_from_standby: false,
            known_at: None,
        }
    }

    /// Is what was read then what the database says? While the feed does not hear from it, the
    /// address may lead to a standby that lags; so may a connection that was opened since the feed's
    /// own. And what took longer than it may has waited for a process that was stopped meanwhile.
    pub(super) fn vouches_for(&self, sent: Sent) -> bool {
        let feed = self.trust.trusted().feed;
        sent.is_vouched_for
            && feed != FeedState::Suspect
            && (feed == FeedState::Off || !sent.is_from_standby)
            && Uptime::now() < sent.at.after(self.settings.load_timeout)
    }

    fn source_for(&self, keys: &[TenantKey]) -> Source {
        match self.trust.trusted().feed {
            // Without received changes, it is not known whether a replica is up to date.
            FeedState::Off => Source::Primary,
            FeedState::Live | FeedState::Suspect => self.change_clock.source_for(keys),
        }
    }

    /// Limits the time that the database may take. Waiting for a turn does not count.
    pub(super) async fn in_time<T>(
        &self,
        load: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let loaded = within(self.settings.load_timeout, load).await;
        loaded.inspect_err(|error| self.failed(error))
    }

    /// Counts and logs a failed read: once per load, not for each of the callers that wait for it,
    /// and at most once a second.
    pub(super) fn failed(&self, error: &StoreError) {
        self.tally.load_errors.add();
        log_limited!(self.log_limiter, warn, %error, "a load failed: {error}");
    }

    /// Is it nobody whom this instance holds, or is to hold ahead?
    fn passes_over(&self, loaded: &Loaded) -> bool {
        let is_passed_over = |facts: &Facts| {
            !self.facts.holds(facts.tenant.id) && self.facts.held_ahead().passes_over(facts)
        };
        loaded.facts.as_ref().is_some_and(is_passed_over)
    }

    fn known(&self, loaded: Loaded, sent: Sent) -> Known {
        let stale = !self.vouches_for(sent) || loaded.was_so_at.is_some();
        Known { stale, ..Known::of(loaded) }
    }

    /// Stores what was read, and returns it.
    pub(super) fn put_in_place(&self, key: &TenantKey, loaded: Loaded, sent: Sent) -> Known {
        let was_so_at = loaded.was_so_at.or(sent.known_at);
        let known = self.known(loaded, sent);
        let _placing = self.placing.lock();
        match &known.facts {
            Some(facts) if known.stale => self.facts.insert_outdated(facts.clone(), was_so_at),
            Some(facts) => self.place(facts, sent.start, sent.epoch),
            None if known.stale => {
                self.known_tenants.count_unknown(sent.now, self.settings.negative_ttl);
            }
            None => self.place_nothing(key, &known, sent),
        }
        known
    }

    fn place(&self, facts: &Facts, start: LoadStart, epoch: u32) {
        let id = facts.tenant.id;
        if self.change_clock.since(start, id) {
            // The facts have changed since. If nothing else is held, they are kept in case the
            // database cannot be reached again.
            self.facts.insert_outdated(facts.clone(), None);
            return;
        }
        // A load that began later has found that the tenant is gone.
        if self
            .unknown
            .get(&TenantKey::Id(id))
            .is_some_and(|gone| is_just_after(gone.as_of, facts.as_of))
        {
            return;
        }
        self.put_current(facts, epoch);
    }

    /// Holds facts of which no change is known. `placing` is locked.
    pub(super) fn put_current(&self, facts: &Facts, epoch: u32) {
        if self.facts.insert(facts.clone(), epoch) {
            self.relay.pass_on_outcome(|| ChangeOutcome::Facts(facts.clone()));
        }
        self.no_longer_unknown(facts);
    }

    pub(super) fn no_longer_unknown(&self, facts: &Facts) {
        self.unknown.invalidate(&TenantKey::Id(facts.tenant.id));
        if let Some(label) = Label::parse(&facts.tenant.subdomain) {
            self.unknown.invalidate(&TenantKey::Subdomain(label));
        }
    }

    fn place_nothing(
        &self,
        key: &TenantKey,
        known: &Known,
        Sent { start, epoch, now: sent_at, .. }: Sent,
    ) {
        let now = known.as_of;
        match key {
            TenantKey::Id(id) if self.change_clock.since(start, *id) => return,
            TenantKey::Id(id) => self.facts.remove(*id, epoch, now),
            TenantKey::Subdomain(_) if self.change_clock.of_directory_since(start) => return,
            TenantKey::Subdomain(label) => self.facts.no_longer_has(label.as_str()),
        }
        self.put_absence(key, known.revision, now);
        self.known_tenants.count_unknown(sent_at, self.settings.negative_ttl);
    }

    /// Remembers that there is no such tenant. `placing` is locked.
    pub(super) fn put_absence(&self, key: &TenantKey, revision: u64, as_of: DateTime<Utc>) {
        self.unknown.insert(key.clone(), Absent { as_of, revision });
        if let TenantKey::Id(id) = key {
            self.relay.pass_on_outcome(|| ChangeOutcome::Gone(*id, revision));
        }
    }
}
