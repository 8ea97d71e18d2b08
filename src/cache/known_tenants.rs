//! Which tenants exist: kept while callers keep asking for ones that do not.
//!
//! Random ids are never held, and each of them would cost a query. When too many arrive in a short
//! time, the keys of all tenants are read once, and anything that is not among them is unknown
//! without a query. The answer is as old as any other "does not exist": at most `negative_ttl`.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::{Inner, flight::Flight, is_within};
use crate::store::{LoadTenant, StoreError, TenantKey};

/// Up to this many unknown tenants within `negative_ttl` are looked up one by one.
const MAX_LOOKED_UP: u32 = 100;

#[derive(Debug, Default)]
pub(super) struct KnownTenants {
    unknown: Mutex<UnknownCount>,
    keys: Mutex<Option<Arc<Keys>>>,
    load: Arc<Flight<Arc<Keys>>>,
}

/// Unknown tenants that were looked up since an instant.
#[derive(Debug, Default)]
struct UnknownCount {
    since: DateTime<Utc>,
    unknown: u32,
}

/// The keys of all tenants, as keyed hashes: a caller cannot aim for a collision, which would only
/// cost a look-up.
#[derive(Debug)]
struct Keys {
    as_of: DateTime<Utc>,
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl KnownTenants {
    pub(super) fn count_unknown(&self, now: DateTime<Utc>, window: TimeDelta) {
        let mut count = self.unknown.lock();
        if !is_within(window, count.since, now) {
            *count = UnknownCount { since: now, unknown: 0 };
        }
        count.unknown = count.unknown.saturating_add(1);
    }

    /// It could not be read. Until that is tried again, unknown tenants are looked up one by one,
    /// within the initial limit.
    fn give_up(&self, now: DateTime<Utc>) {
        *self.unknown.lock() = UnknownCount { since: now, unknown: 0 };
    }

    fn is_needed(&self, now: DateTime<Utc>, window: TimeDelta) -> bool {
        let count = self.unknown.lock();
        count.unknown >= MAX_LOOKED_UP && is_within(window, count.since, now)
    }

    /// The set of tenants has changed.
    pub(super) fn forget(&self) {
        *self.keys.lock() = None;
        self.load.forget();
    }
}

impl<L: LoadTenant> Inner<L> {
    /// Since when it is known, without a query, that the tenant does not exist.
    ///
    /// A roster that cannot be read (it may be too long to be read in time) is not an error:
    /// tenants are then looked up one by one.
    pub(super) async fn known_to_be_absent(
        self: &Arc<Self>,
        key: &TenantKey,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let window = self.settings.negative_ttl;
        let held = || {
            self.known_tenants.keys.lock().clone().filter(|keys| is_within(window, keys.as_of, now))
        };
        let keys = match held() {
            Some(keys) => keys,
            None if self.known_tenants.is_needed(now, window) => {
                let inner = Arc::clone(self);
                let load = async move { inner.load_known_tenants(now).await };
                self.known_tenants.load.join(&self.runtime, held, load).await.ok()?
            }
            None => return None,
        };
        let exists = keys.hashes.contains(&keys.hasher.hash_one(key));
        (!exists).then_some(keys.as_of)
    }

    async fn load_known_tenants(&self, now: DateTime<Utc>) -> Result<Arc<Keys>, StoreError> {
        let sent = self.send(now);
        let read = self
            .in_time(self.loader.load_keys())
            .await
            .inspect_err(|_| self.known_tenants.give_up(now))?;
        let sent = sent.answered(&read);
        let hasher = RandomState::new();
        let hashes = read.value.iter().map(|key| hasher.hash_one(key)).collect();
        let keys = Arc::new(Keys { as_of: now, hasher, hashes });
        let _placing = self.placing.lock();
        if self.vouches_for(sent) && !self.change_clock.of_directory_since(sent.start) {
            *self.known_tenants.keys.lock() = Some(Arc::clone(&keys));
        }
        Ok(keys)
    }
}
