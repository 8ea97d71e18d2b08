//! Reading again in the background what is held: to confirm it, and to find out whether a change
//! was ever missed.

use std::{collections::VecDeque, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Cache, Event, FeedState, MAX_BATCH, busy::busy, change_clock::LoadStart, load::Sent,
    relay::Relayed,
};
use crate::{
    domain::TenantId,
    store::{Change, LoadTenant, Loaded, Source, StoreError, TenantKey},
};

/// The maximum number of differences that wait to be judged. The cache has been corrected by then,
/// whatever the verdict.
const MAX_DIFFERENCES: usize = 1_000;

/// The share of the time to live that a round may take while changes are not received: nothing that
/// is held outlives it, and nothing is read much more often than necessary.
const ROUND: f64 = 0.92;

/// The outcome of a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RevalidationStep {
    /// It was not the time: loads are waiting, or the database does not answer.
    Paused,
    /// Tenants were read again, if there were any.
    Read {
        /// For how long that kept a core busy.
        busy: Duration,
    },
}

/// Tenants whose held facts differed from the database.
#[derive(Debug, Default)]
pub(super) struct Differences(Mutex<VecDeque<Difference>>);

#[derive(Clone, Copy, Debug)]
struct Difference {
    id: TenantId,
    /// When they were read again.
    start: LoadStart,
    found_at: DateTime<Utc>,
}

impl<L: LoadTenant> Cache<L> {
    /// How long a round should take, in which everything that is held is read again once.
    pub fn round(&self) -> Duration {
        let ttl = self.settings().ttl.to_std().unwrap_or_default();
        if self.feed() == FeedState::Off { ttl.mul_f64(ROUND) } else { ttl }
    }

    /// The number of places that a round goes through.
    pub fn places(&self) -> usize {
        self.0.facts.places()
    }

    /// The age of the oldest facts, counted from when they were read or last compared with the
    /// database.
    pub fn oldest_proof(&self, now: DateTime<Utc>) -> TimeDelta {
        self.0
            .facts
            .oldest(MAX_BATCH)
            .map_or(TimeDelta::zero(), |oldest| (now - oldest).max(TimeDelta::zero()))
    }

    /// Reads the tenants in the next places again, in one statement. Unchanged facts then count as
    /// just loaded; the others are corrected. It waits for nobody, and nobody waits for it.
    pub async fn revalidate(
        &self,
        places: usize,
        now: DateTime<Utc>,
    ) -> Result<RevalidationStep, StoreError> {
        let inner = &self.0;
        if inner.breaker.is_open() || inner.queue.waiting() > 0 || self.feed() == FeedState::Suspect
        {
            return Ok(RevalidationStep::Paused);
        }
        let keys: Vec<TenantKey> =
            inner.facts.next(places).into_iter().map(TenantKey::Id).collect();
        if keys.is_empty() {
            return Ok(RevalidationStep::Read { busy: Duration::ZERO });
        }
        let (read, busy) = busy(self.read_again(keys, now)).await;
        read.map(|()| RevalidationStep::Read { busy })
    }

    async fn read_again(&self, keys: Vec<TenantKey>, now: DateTime<Utc>) -> Result<(), StoreError> {
        let inner = &self.0;
        let sent = {
            // A change that is being applied meanwhile would look like one that was not received.
            let _placing = inner.placing.lock();
            inner.send(now)
        };
        let read = inner.read(&keys, Source::Primary, now).await;
        inner.load_health.note(&read, Instant::now());
        let read = read?;
        let sent = sent.answered(&read);
        for (key, loaded) in keys.iter().zip(read.value) {
            match loaded {
                Ok(loaded) => self.compare(key, loaded, sent),
                Err(error) => inner.failed(&error),
            }
        }
        Ok(())
    }

    fn compare(&self, key: &TenantKey, loaded: Loaded, sent: Sent) {
        let inner = &self.0;
        let TenantKey::Id(id) = *key else { return };
        if inner.change_clock.since(sent.start, id) {
            // What was read is known to be possibly outdated.
            return;
        }
        if !inner.vouches_for(sent) {
            return;
        }
        inner.tally.audited.add();
        if loaded.facts.as_ref().is_some_and(|found| inner.facts.prove(found, sent.epoch)) {
            return;
        }
        if self.feed() == FeedState::Live && inner.facts.is_of(id, sent.epoch) {
            inner.differences.add(Difference { id, start: sent.start, found_at: sent.now });
            inner.relay.pass_on(|| Relayed::Change(Change::Tenant(id)));
        }
        inner.put_in_place(key, loaded, sent);
    }

    /// Judges what differed `grace` ago or longer. A change that was committed during the read is
    /// not a divergence: it has been received meanwhile. One that was not received is counted, and
    /// its watchers are notified.
    pub fn judge_differences(&self, grace: TimeDelta, now: DateTime<Utc>) {
        for Difference { id, start, .. } in self.0.differences.found_before(now - grace) {
            if self.0.change_clock.since(start, id) {
                continue;
            }
            self.0.tally.divergences.add();
            if let Some(others) = self.0.log_limiter.admit() {
                tracing::error!(tenant = %id, others, "the tenant {id} in memory differed from the database, although no change was announced");
            }
            let revision = self.0.facts.peek(id, |facts, _| facts.revision).unwrap_or_default();
            self.notify(Event::Tenant(id, revision));
        }
        if self.0.catalogue.has_diverged(now - grace) {
            self.0.tally.divergences.add();
            tracing::error!(
                "the catalogue in memory differed from the database, although no change was announced"
            );
            self.notify(Event::Catalogue(0));
        }
    }
}

impl Differences {
    fn add(&self, difference: Difference) {
        let mut differences = self.0.lock();
        if differences.len() < MAX_DIFFERENCES {
            differences.push_back(difference);
        }
    }

    fn found_before(&self, instant: DateTime<Utc>) -> Vec<Difference> {
        let mut differences = self.0.lock();
        let count =
            differences.iter().take_while(|difference| difference.found_at <= instant).count();
        differences.drain(..count).collect()
    }
}
