//! How long an answer may be kept.

use chrono::{DateTime, TimeDelta, Utc};

use super::Api;
use crate::{
    cache::Known,
    domain::{Decision, Facts},
};

/// How long a caller may keep an answer that was served although the database could not be asked.
const STALE_MAX_AGE: TimeDelta = TimeDelta::seconds(1);

/// How long callers may keep answers at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxAges {
    /// Grants.
    pub grant: TimeDelta,
    /// Denials: shorter, so that a customer who has just paid is not kept out.
    pub denial: TimeDelta,
}

/// When an answer is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedTime {
    /// The present.
    pub(super) now: DateTime<Utc>,
    /// The instant to judge, where the caller named one.
    pub(super) at: Option<DateTime<Utc>>,
}

impl AskedTime {
    /// The instant to judge.
    pub(super) fn instant(self) -> DateTime<Utc> {
        self.at.unwrap_or(self.now)
    }
}

/// What a `Freshness` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheHint {
    pub(super) revision: u64,
    pub(super) as_of: DateTime<Utc>,
    pub(super) valid_until: Option<DateTime<Utc>>,
    pub(super) max_age: TimeDelta,
    pub(super) stale: bool,
}

impl CacheHint {
    /// The advice for two answers that are kept as one.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            valid_until: self.valid_until.into_iter().chain(other.valid_until).min(),
            max_age: self.max_age.min(other.max_age),
            stale: self.stale || other.stale,
            ..self
        }
    }
}

/// What an answer rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Provenance {
    revision: u64,
    as_of: DateTime<Utc>,
    /// For how long after that it is believed without asking again. `None`: until something
    /// changes.
    ttl: Option<TimeDelta>,
    /// The database cannot be asked whether it is still so.
    stale: bool,
}

impl Api {
    /// What an answer from facts rests on.
    pub(super) fn provenance(&self, facts: &Facts) -> Provenance {
        Provenance {
            revision: facts.revision,
            as_of: facts.as_of,
            ttl: self.cache.time_to_live(),
            stale: false,
        }
    }

    /// What an answer rests on, be it that there is no such tenant.
    pub(super) fn provenance_of(&self, known: &Known) -> Provenance {
        let Known { facts, as_of, revision, stale } = known;
        let ttl = if facts.is_some() {
            self.cache.time_to_live()
        } else {
            Some(self.cache.settings().negative_ttl)
        };
        Provenance { revision: *revision, as_of: *as_of, ttl, stale: *stale }
    }

    /// The advice for one decision about a tenant.
    pub(super) fn cache_hint(
        &self,
        provenance: Provenance,
        decision: Decision,
        asked: AskedTime,
    ) -> CacheHint {
        let limit = if decision.allowed() { self.ages.grant } else { self.ages.denial };
        provenance.cache_hint(limit, decision.valid_until, asked)
    }
}

impl Provenance {
    /// The same, stale where that is so.
    pub(super) fn or_stale(self, stale: bool) -> Self {
        Self { stale, ..self }
    }

    /// The advice for an answer that may be kept for `limit`, if nothing else ends it before.
    pub(super) fn cache_hint(
        self,
        limit: TimeDelta,
        valid_until: Option<DateTime<Utc>>,
        asked: AskedTime,
    ) -> CacheHint {
        let Self { revision, as_of, ttl, stale } = self;
        let max_age = match asked.at {
            Some(_) => TimeDelta::zero(),
            None => {
                let valid = valid_until.map_or(limit, |end| end - asked.now);
                // What is stale has outlived its time to live, perhaps: it is asked for again soon,
                // whatever its age.
                let fresh = if stale {
                    Some(STALE_MAX_AGE)
                } else {
                    ttl.map(|ttl| ttl - (asked.now - as_of))
                };
                limit.min(fresh.unwrap_or(limit)).min(valid).max(TimeDelta::zero())
            }
        };
        CacheHint { revision, as_of, valid_until, max_age, stale }
    }
}
