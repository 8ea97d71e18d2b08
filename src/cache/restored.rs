//! What another process held, before this one has heard from the database.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Cache, FactsCopy, FeedState};
use crate::{clock::Moment, domain::Catalogue, store::LoadTenant};

/// What was held once, and is not known to be what the database says.
#[derive(Debug)]
pub struct ReadBefore {
    /// The facts of tenants.
    pub facts: Vec<FactsCopy>,
    /// The catalogue, and whether it is outdated.
    pub catalogue: Option<(Catalogue, bool)>,
    /// When the database last answered: what is not outdated was so then, if changes were received.
    pub last_proof: DateTime<Utc>,
    /// When all of that was gathered: nothing of it was read later.
    pub gathered_at: DateTime<Utc>,
    /// Were changes received?
    pub changes_received: bool,
}

/// How long what was restored may be served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restored {
    last_proof: DateTime<Utc>,
    gathered_at: DateTime<Utc>,
    /// When it was restored.
    at: Moment,
    /// What was held then belongs to it.
    epoch: u32,
}

impl Restored {
    pub(super) fn last_proof(&self) -> DateTime<Utc> {
        self.last_proof
    }

    /// Was what the database said then so long ago, by the clock that nobody sets? What was read later
    /// is none of its business.
    pub(super) fn is_over(&self, instant: DateTime<Utc>, at_most: TimeDelta) -> bool {
        self.is_over_at(self.at.age_of(instant), instant, at_most)
    }

    fn is_over_at(&self, age: TimeDelta, instant: DateTime<Utc>, at_most: TimeDelta) -> bool {
        instant <= self.gathered_at && age >= at_most
    }
}

impl<L: LoadTenant> Cache<L> {
    /// Puts in place what was held once, before anything else is: it is served, marked, until there
    /// is proof that it is what the database says, and for `--max-stale` at most. Where changes are
    /// not received, now or then, all of it is read again first.
    pub fn restore(&self, before: ReadBefore, now: DateTime<Utc>) {
        let ReadBefore { facts, catalogue, last_proof, gathered_at, changes_received } = before;
        let trusted = self.0.trust.trusted();
        let is_fed = trusted.feed != FeedState::Off && changes_received;
        if is_fed {
            self.0.trust.restore(last_proof);
        }
        for FactsCopy { facts, outdated_after } in facts {
            if is_fed && outdated_after.is_none() {
                self.0.facts.insert(facts, trusted.epoch);
            } else {
                self.0.facts.insert_outdated(facts, outdated_after);
            }
        }
        if let Some((catalogue, is_outdated)) = catalogue {
            self.0.catalogue.restore(catalogue, is_fed && !is_outdated, now);
        }
        let (at, epoch) = (Moment::now(now), trusted.epoch);
        let restored = Restored { last_proof, gathered_at, at, epoch };
        // What is restored a second time belongs to the first.
        _ = self.0.restored.set(restored);
    }

    /// When the database last vouched for what was restored, if anything was.
    pub fn restored(&self) -> Option<DateTime<Utc>> {
        self.0.restored.get().map(Restored::last_proof)
    }

    /// The database answers for the first time: from here on only what is read counts.
    pub(super) fn end_what_was_restored(&self, now: DateTime<Utc>) {
        if self.0.restored.get().is_some_and(|restored| restored.epoch == self.epoch()) {
            self.reset(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_last_longer() {
        let at = |minutes: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let (last_proof, gathered_at) = (at(100), at(101));
        let restored = Restored { last_proof, gathered_at, at: Moment::now(at(130)), epoch: 1 };
        let is_over = |since, instant| {
            let age = restored.at.age_after(Duration::from_mins(since), at(instant));
            restored.is_over_at(age, at(instant), TimeDelta::hours(1))
        };
        assert!(!is_over(0, 100) && !is_over(29, 100), "half an hour is left");
        assert!(is_over(30, 100) && is_over(1_000, 100), "whatever the time of day is");
        assert!(is_over(0, 70), "it was over by the time");
        assert!(!is_over(30, 101) && is_over(31, 101));
        assert!(!is_over(1_000, 131), "that was read by this process");
    }
}
