//! Looking up what is held, and judging how good it is.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    FeedState, Inner, Known, LoadError, held::Vouched, restored::Restored, standing::Standing,
    trust::Trusted,
};
use crate::{
    clock::Moment,
    domain::{Facts, Label, TenantId},
    store::{LoadTenant, TenantKey},
};

/// The outcome of a lookup.
pub(super) enum Lookup {
    /// A valid answer.
    Fresh(Known),
    /// Facts that must be read again first, and the last instant at which they are known to have been
    /// so. They are used if the database cannot be reached.
    Suspect(Known, DateTime<Utc>),
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
        let look = |facts: &Facts, vouched| match self.standing(facts, vouched, trusted, now) {
            Standing::Proven => look(facts),
            Standing::Unproven | Standing::Doubtful => None,
        };
        self.facts.peek(id, look)?
    }

    /// How good facts are that are held.
    fn standing(
        &self,
        facts: &Facts,
        vouched: Vouched,
        trusted: Trusted,
        now: DateTime<Utc>,
    ) -> Standing {
        Standing::of(
            vouched == Vouched::AsEpoch(trusted.epoch),
            trusted.feed,
            || is_within(self.settings.ttl, facts.as_of, now),
            || self.is_within_max_stale(self.were_so_at(facts, vouched), now),
        )
    }

    /// The last instant at which facts are known to have been what the database says.
    pub(super) fn were_so_at(&self, facts: &Facts, vouched: Vouched) -> DateTime<Utc> {
        let proven_at = match vouched {
            Vouched::AsEpoch(epoch) => self.trust.proven_at_in(epoch),
            Vouched::Until(at) => at,
        };
        proven_at.map_or(facts.as_of, |at| at.max(facts.as_of))
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
            Lookup::Suspect(..) | Lookup::Miss => self.tally.misses.add(),
        }
        look
    }

    pub(super) fn lookup(&self, id: TenantId, now: DateTime<Utc>) -> Lookup {
        let look = |facts: &Facts, vouched| self.judge(facts, vouched, now);
        self.facts.peek(id, look).unwrap_or_else(|| self.lookup_absent(&TenantKey::Id(id), now))
    }

    pub(super) fn lookup_by_label(&self, label: &Label, now: DateTime<Utc>) -> Lookup {
        let belongs = |facts: &Facts| &*facts.tenant.subdomain == label.as_str();
        let look = |facts: &Facts, vouched| belongs(facts).then(|| self.judge(facts, vouched, now));
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

    fn judge(&self, facts: &Facts, vouched: Vouched, now: DateTime<Utc>) -> Lookup {
        match self.standing(facts, vouched, self.trust.trusted(), now) {
            Standing::Proven => Lookup::Fresh(Known::found(facts.clone())),
            Standing::Unproven => Lookup::Fresh(Known::stale(facts.clone())),
            Standing::Doubtful => {
                Lookup::Suspect(Known::stale(facts.clone()), self.were_so_at(facts, vouched))
            }
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

    /// Serves what is held although it is in doubt, if the error permits that and it was so recently
    /// enough.
    pub(super) fn make_do(
        &self,
        known: Known,
        was_so_at: DateTime<Utc>,
        error: LoadError,
        now: DateTime<Utc>,
    ) -> Result<Known, LoadError> {
        if !error.leaves_what_is_held() || !self.is_within_max_stale(was_so_at, now) {
            return Err(error);
        }
        self.tally.stale.add();
        Ok(known)
    }

    /// May what was so then still be served? A clock that is set back meanwhile makes it last no longer.
    pub(super) fn is_within_max_stale(&self, instant: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let at_most = self.settings.max_stale;
        let is_over = |heard: Moment| instant <= heard.time && heard.age_of(instant) >= at_most;
        let was_over = |restored: &Restored| restored.is_over(instant, at_most);
        is_within(at_most, instant, now)
            && !self.trust.heard_at().is_some_and(is_over)
            && !self.restored.get().is_some_and(was_over)
    }
}
