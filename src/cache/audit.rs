//! Comparing what is held with the database, to find out whether a change ever went unheard.

use chrono::{DateTime, Utc};

use super::{Cache, Feed};
use crate::{
    domain::{Facts, TenantId},
    store::{LoadTenant, Source, StoreError, TenantKey},
};

impl<L: LoadTenant> Cache<L> {
    /// Compares some tenants that are held with the database, a different few each time. One that is not what the
    /// database says is counted, told to the log, and read again.
    ///
    /// A change that was committed while the database was asked is no divergence: it will be announced. So the facts are
    /// looked at again `grace` later, and count only if they are still believed.
    pub async fn audit(&self, count: usize, now: DateTime<Utc>, grace: std::time::Duration) -> Result<(), StoreError> {
        let mut doubtful = Vec::new();
        for id in self.0.facts.next_few(count) {
            let Some(held) = self.believed(id, now) else { continue };
            let inner = std::sync::Arc::clone(&self.0);
            let reading = async move { inner.loader.load_tenant(&TenantKey::Id(id), Source::Primary, now).await };
            let found = self.past(reading).await?.facts;
            self.0.tally.audited.add();
            if !found.is_some_and(|found| held.says_the_same_as(&found)) {
                doubtful.push(held);
            }
        }
        if doubtful.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(grace).await;
        for held in doubtful {
            self.count_if_still_believed(&held, now);
        }
        Ok(())
    }

    fn count_if_still_believed(&self, held: &Facts, now: DateTime<Utc>) {
        let id = held.tenant.id;
        if self.believed(id, now).is_some_and(|still| still.as_of == held.as_of && still.revision == held.revision) {
            self.0.tally.divergences.add();
            self.0.facts.outdate(id);
            tracing::error!(tenant = %id, "what is held of the tenant {id} is not what the database says, and no change was announced");
        }
    }

    /// Facts that stand in for the database's own: those that a feed vouches for.
    fn believed(&self, id: TenantId, now: DateTime<Utc>) -> Option<Facts> {
        if self.feed() == Feed::Live { self.0.glance(id, now, |facts| Some(facts.clone())) } else { None }
    }
}
