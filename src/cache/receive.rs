//! What another instance sends, which has it from the database or from another one again.

use chrono::{DateTime, Utc};

use super::{
    AheadOutcome, Cache, Event, FeedState, Inner, LoadError, PassedOver, queue::Priority,
    relay::ChangeOutcome,
};
use crate::{
    domain::{Facts, TenantId},
    store::{LoadTenant, TenantKey},
};

impl<L: LoadTenant> Cache<L> {
    /// Takes in what another instance has sent of a tenant that has changed. Facts are held if those of
    /// the tenant were, or if it is held ahead.
    pub fn receive(&self, sent: ChangeOutcome, now: DateTime<Utc>) {
        let event = Event::Tenant(sent.tenant(), sent.revision());
        match sent {
            ChangeOutcome::Facts(facts) => self.0.receive_facts(facts),
            ChangeOutcome::Gone(id, revision) => self.0.receive_absence(id, revision, now),
            unread @ ChangeOutcome::Unread(_) => self.0.relay.pass_on_outcome(|| unread),
        }
        self.notify(event);
    }

    /// Holds a tenant ahead, if it is one of those that are, unless what is held of it is known to be so.
    pub async fn hold(&self, id: TenantId, now: DateTime<Utc>) -> Result<AheadOutcome, LoadError> {
        if self.0.peek(id, now, |_| Some(())).is_some() {
            return Ok(AheadOutcome::Held);
        }
        let start = self.0.change_clock.begin();
        let known = self.load(TenantKey::Id(id), Priority::Background, now).await?;
        let is_passed_over = known.facts.is_some_and(|facts| self.held_ahead().passes_over(&facts));
        Ok(match (is_passed_over, known.stale) {
            (false, _) => AheadOutcome::Held,
            (true, false) => AheadOutcome::PassedOver(PassedOver(start)),
            (true, true) if self.holds(id) => AheadOutcome::Held,
            (true, true) => AheadOutcome::Unsure,
        })
    }

    /// The other instance does not hear from the database; `proof`: when it last did.
    pub fn suspect_since(&self, proof: Option<DateTime<Utc>>) {
        self.0.trust.note_proof(proof);
        if self.feed() == FeedState::Suspect {
            self.0.pass_on_feed();
        } else {
            self.suspect();
        }
    }
}

impl<L: LoadTenant> Inner<L> {
    fn receive_facts(&self, facts: Facts) {
        let _placing = self.placing.lock();
        if self.facts.holds(facts.tenant.id) || self.facts.held_ahead().includes(&facts) {
            let epoch = self.trust.trusted().epoch;
            self.put_current(&facts, epoch);
        } else {
            self.no_longer_unknown(&facts);
            self.relay.pass_on_outcome(|| ChangeOutcome::Facts(facts));
        }
    }

    fn receive_absence(&self, id: TenantId, revision: u64, now: DateTime<Utc>) {
        let _placing = self.placing.lock();
        self.facts.remove(id, self.trust.trusted().epoch, now);
        self.put_absence(&TenantKey::Id(id), revision, now);
    }
}
