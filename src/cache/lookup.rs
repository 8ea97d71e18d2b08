//! Looking up what is held, and judging how good it is.

use chrono::{DateTime, TimeDelta, Utc};

use super::{FeedState, Inner, Known, LoadError, standing::Standing, trust::Trusted};
use crate::{
    domain::{Facts, Label, TenantId},
    store::{LoadTenant, TenantKey},
};

/// The outcome of a lookup.
pub(super) enum Lookup {
    /// A valid answer.
    Fresh(Known),
    /// Facts that must be read again first. They are used if the database cannot be reached.
    Suspect(Known),
    /// Nothing of use.
    Miss,
}

/// Is `now` that close to an instant? A clock that was set back must not make what is held look
/// younger than it is.
pub(super) fn is_within(span: TimeDelta, instant: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - instant).abs() < span
}

impl<L: LoadTenant> Inner<L> {
    pub(super) fn peek<R>(
        &self,
        id: TenantId,
        now: DateTime<Utc>,
        look: impl FnOnce(&Facts) -> Option<R>,
    ) -> Option<R> {
        let trusted = self.trust.trusted();
        let look = |facts: &Facts, epoch| match self.standing(facts, epoch, trusted, now) {
            Standing::Proven => look(facts),
            Standing::Unproven | Standing::Doubtful => None,
        };
        self.facts.peek(id, look)?
    }

    /// How good facts are that are held.
    fn standing(
        &self,
        facts: &Facts,
        epoch: u32,
        trusted: Trusted,
        now: DateTime<Utc>,
    ) -> Standing {
        Standing::of(
            epoch == trusted.epoch,
            trusted.feed,
            || is_within(self.settings.ttl, facts.as_of, now),
            || self.is_bearable(facts.as_of, now),
        )
    }

    /// Counts the outcome of a lookup.
    pub(super) fn counted(&self, look: Lookup) -> Lookup {
        match &look {
            Lookup::Fresh(known) => {
                self.tally.hits.add();
                if known.stale {
                    self.tally.stale.add();
                }
            }
            Lookup::Suspect(_) | Lookup::Miss => self.tally.misses.add(),
        }
        look
    }

    pub(super) fn lookup(&self, id: TenantId, now: DateTime<Utc>) -> Lookup {
        let look = |facts: &Facts, epoch| self.judge(facts, epoch, now);
        self.facts.peek(id, look).unwrap_or_else(|| self.lookup_absent(&TenantKey::Id(id), now))
    }

    pub(super) fn lookup_by_label(&self, label: &Label, now: DateTime<Utc>) -> Lookup {
        let belongs = |facts: &Facts| &*facts.tenant.subdomain == label.as_str();
        let look = |facts: &Facts, epoch| belongs(facts).then(|| self.judge(facts, epoch, now));
        let found =
            self.facts.by_subdomain(label.as_str()).and_then(|id| self.facts.peek(id, look)?);
        found.unwrap_or_else(|| self.lookup_absent(&TenantKey::Subdomain(label.clone()), now))
    }

    pub(super) fn lookup_by_key(&self, key: &TenantKey, now: DateTime<Utc>) -> Lookup {
        match key {
            TenantKey::Id(id) => self.lookup(*id, now),
            TenantKey::Subdomain(label) => self.lookup_by_label(label, now),
        }
    }

    fn judge(&self, facts: &Facts, epoch: u32, now: DateTime<Utc>) -> Lookup {
        match self.standing(facts, epoch, self.trust.trusted(), now) {
            Standing::Proven => Lookup::Fresh(Known::found(facts.clone())),
            Standing::Unproven => Lookup::Fresh(Known::stale(facts.clone())),
            Standing::Doubtful => Lookup::Suspect(Known::stale(facts.clone())),
        }
    }

    fn lookup_absent(&self, key: &TenantKey, now: DateTime<Utc>) -> Lookup {
        let absent = self
            .unknown
            .get(key)
            .filter(|absent| is_within(self.settings.negative_ttl, absent.as_of, now));
        absent.map_or(Lookup::Miss, |absent| {
            Lookup::Fresh(self.absent(absent.revision, absent.as_of))
        })
    }

    /// A known absence of a tenant: while the feed is suspect, the tenant may have been created
    /// since.
    pub(super) fn absent(&self, revision: u64, as_of: DateTime<Utc>) -> Known {
        Known {
            stale: self.trust.trusted().feed == FeedState::Suspect,
            ..Known::absent(revision, as_of)
        }
    }

    /// Serves what is held although it is in doubt, if the error permits that and it is not too
    /// old.
    pub(super) fn make_do(
        &self,
        known: Known,
        error: LoadError,
        now: DateTime<Utc>,
    ) -> Result<Known, LoadError> {
        if !error.leaves_what_is_held() || !self.is_bearable(known.as_of, now) {
            return Err(error);
        }
        self.tally.stale.add();
        Ok(known)
    }

    /// Did the database vouch recently enough for what was read then?
    fn is_bearable(&self, as_of: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        is_within(self.settings.max_stale, self.vouched_for(as_of), now)
    }

    /// When the database last vouched for what was read then.
    pub(super) fn vouched_for(&self, as_of: DateTime<Utc>) -> DateTime<Utc> {
        match self.trust.trusted().feed {
            FeedState::Suspect => self.trust.last_proof().unwrap_or(as_of).max(as_of),
            FeedState::Live | FeedState::Off => as_of,
        }
    }
}
