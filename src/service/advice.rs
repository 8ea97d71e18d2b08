//! How long an answer may be kept.

use chrono::{DateTime, TimeDelta, Utc};

use super::Api;
use crate::{cache::Known, domain::Decision};

/// How long callers may keep answers at most.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// Grants.
    pub grant: TimeDelta,
    /// Denials: shorter, so that a customer who has just paid is not kept out.
    pub denial: TimeDelta,
}

/// When an answer is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The present.
    pub(super) now: DateTime<Utc>,
    /// The instant to judge, where the caller named one.
    pub(super) at: Option<DateTime<Utc>>,
}

impl Asked {
    /// The instant to judge.
    pub(super) fn instant(self) -> DateTime<Utc> {
        self.at.unwrap_or(self.now)
    }
}

/// What a `Freshness` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Advice {
    pub(super) revision: u64,
    pub(super) as_of: DateTime<Utc>,
    pub(super) valid_until: Option<DateTime<Utc>>,
    pub(super) max_age: TimeDelta,
}

impl Advice {
    /// The advice for two answers that are kept as one.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            valid_until: self.valid_until.into_iter().chain(other.valid_until).min(),
            max_age: self.max_age.min(other.max_age),
            ..self
        }
    }
}

impl Api {
    /// The advice for one decision about a tenant.
    pub(super) fn advise(&self, known: &Known, decision: Decision, asked: Asked) -> Advice {
        let limit = if decision.allowed() { self.ages.grant } else { self.ages.denial };
        self.advise_within(limit, known, decision.valid_until, asked)
    }

    /// The advice for an answer that may be kept for `limit`, if nothing else ends it before.
    pub(super) fn advise_within(
        &self,
        limit: TimeDelta,
        known: &Known,
        valid_until: Option<DateTime<Utc>>,
        asked: Asked,
    ) -> Advice {
        let settings = self.cache.settings();
        let (revision, ttl) = match known {
            Known::Facts(facts) => (facts.revision, settings.ttl),
            Known::Nothing(_) => (0, settings.negative_ttl),
        };
        let as_of = known.as_of();
        let max_age = match asked.at {
            Some(_) => TimeDelta::zero(),
            None => {
                let fresh = as_of + ttl - asked.now;
                let valid = valid_until.map_or(limit, |end| end - asked.now);
                limit.min(fresh).min(valid).max(TimeDelta::zero())
            }
        };
        Advice { revision, as_of, valid_until, max_age }
    }
}
