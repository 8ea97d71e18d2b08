//! How long an answer may be kept.

use chrono::{DateTime, TimeDelta, Utc};

use super::Api;
use crate::{
    cache::Known,
    domain::{Catalogue, Decision, Facts},
};

/// How long a caller may keep an answer that was served while the database was unreachable.
const STALE_MAX_AGE: TimeDelta = TimeDelta::seconds(1);

/// The maximum times for which callers may keep answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxAges {
    /// For grants.
    pub grant: TimeDelta,
    /// For denials: shorter, so that a customer who has just paid is not kept out.
    pub denial: TimeDelta,
}

/// The time of a request, and the instant that it asks about.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedTime {
    /// The present.
    pub(super) now: DateTime<Utc>,
    /// The instant to judge, if the caller named one.
    pub(super) at: Option<DateTime<Utc>>,
}

impl AskedTime {
    /// The instant to judge.
    pub(super) fn instant(self) -> DateTime<Utc> {
        self.at.unwrap_or(self.now)
    }
}

/// The contents of a `Freshness`.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheHint {
    pub(super) revision: u64,
    /// Of the catalogue that it rests on as well; 0: on none.
    pub(super) catalogue_revision: u64,
    pub(super) as_of: DateTime<Utc>,
    pub(super) valid_until: Option<DateTime<Utc>>,
    pub(super) max_age: TimeDelta,
    pub(super) stale: bool,
}

impl CacheHint {
    /// The hint for an answer that nobody may keep.
    pub(super) fn of_the_moment(self) -> Self {
        Self { max_age: TimeDelta::zero(), ..self }
    }

    /// The hint for two answers that are kept as one.
    pub(super) fn and(self, other: Self) -> Self {
        let catalogues = [self.catalogue_revision, other.catalogue_revision];
        Self {
            catalogue_revision: catalogues.into_iter().filter(|it| *it > 0).min().unwrap_or(0),
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
    /// Of the catalogue; 0: it rests on none.
    catalogue_revision: u64,
    as_of: DateTime<Utc>,
    /// How long it is trusted after that without reading it again. `None`: until something changes.
    ttl: Option<TimeDelta>,
    /// The database is unreachable, so it is not known whether it still holds.
    stale: bool,
}

impl Api {
    /// What an answer from facts rests on.
    pub(super) fn provenance(&self, facts: &Facts) -> Provenance {
        Provenance {
            revision: facts.revision,
            catalogue_revision: 0,
            as_of: facts.as_of,
            ttl: self.cache.time_to_live(),
            stale: false,
        }
    }

    /// What an answer rests on, including that a tenant does not exist.
    pub(super) fn provenance_of(&self, known: &Known) -> Provenance {
        let Known { facts, as_of, revision, stale } = known;
        let ttl = if facts.is_some() {
            self.cache.time_to_live()
        } else {
            Some(self.cache.settings().negative_ttl)
        };
        Provenance { revision: *revision, catalogue_revision: 0, as_of: *as_of, ttl, stale: *stale }
    }

    /// The hint for one decision about a tenant.
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
    /// This hint, marked as stale also if `stale` is set.
    pub(super) fn or_stale(self, stale: bool) -> Self {
        Self { stale: self.stale || stale, ..self }
    }

    /// It rests on this catalogue as well.
    pub(super) fn and_catalogue(self, catalogue: &Catalogue) -> Self {
        Self { catalogue_revision: catalogue.revision, ..self }
    }

    /// The hint for an answer that may be kept for `limit`, unless something else ends it before.
    pub(super) fn cache_hint(
        self,
        limit: TimeDelta,
        valid_until: Option<DateTime<Utc>>,
        asked: AskedTime,
    ) -> CacheHint {
        let Self { revision, catalogue_revision, as_of, ttl, stale } = self;
        let max_age = match asked.at {
            Some(_) => TimeDelta::zero(),
            None => {
                let valid = valid_until.map_or(limit, |end| end - asked.now);
                // Stale facts may have outlived their time to live: they are soon asked for again,
                // whatever their age.
                let fresh = if stale {
                    Some(STALE_MAX_AGE)
                } else {
                    ttl.map(|ttl| ttl - (asked.now - as_of))
                };
                limit.min(fresh.unwrap_or(limit)).min(valid).max(TimeDelta::zero())
            }
        };
        CacheHint { revision, catalogue_revision, as_of, valid_until, max_age, stale }
    }
}
