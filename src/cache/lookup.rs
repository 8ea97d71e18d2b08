//! Looking up what is held, and judging how good it is.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    FeedState, Inner, Known, LoadError, restored::Restored, standing::Standing, trust::Trusted,
};
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

/// Is no change known of what was read?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum IsCurrent {
    Yes,
    /// Or it would not be served at once any more.
    No,
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
            || self.is_bearable(facts.as_of, IsCurrent::Yes, now),
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
        if !error.leaves_what_is_held() || !self.is_bearable(known.as_of, IsCurrent::No, now) {
            return Err(error);
        }
        self.tally.stale.add();
        Ok(known)
    }

    /// Did the database vouch recently enough for what was read then?
    fn is_bearable(&self, as_of: DateTime<Utc>, current: IsCurrent, now: DateTime<Utc>) -> bool {
        let proof = match self.trust.trusted().feed {
            FeedState::Suspect => self.proof_of(as_of, current),
            FeedState::Live | FeedState::Off => None,
        };
        self.is_within_max_stale(proof.unwrap_or(as_of).max(as_of), now)
    }

    /// May what was so then still be served?
    pub(super) fn is_within_max_stale(&self, instant: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let at_most = self.settings.max_stale;
        let is_over = |restored: &Restored| restored.is_over(instant, at_most);
        is_within(at_most, instant, now) && !self.restored.get().is_some_and(is_over)
    }
}
