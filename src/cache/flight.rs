//! One load however many wait for it.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, ready},
};
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot};

use crate::store::StoreError;

/// The loads that are under way, by key.
///
/// `moka` and `quick_cache` have a single flight too. In moka's a leader that is cancelled hands over to the next, and in
/// `quick_cache`'s a failure does: with the database away, each waiter would time out after the one before it. Here the
/// load is a task of its own, and everyone who waits shares its outcome, be it an error.
pub(super) struct Flights<K, V>(Mutex<HashMap<K, Entry<V>>>);

/// A flight, and its number, by which it knows its own place.
struct Entry<V> {
    number: u64,
    flight: Flight<V>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// A load's outcome, to be shared by all who wait for it.
type Flight<V> = Shared<BoxFuture<'static, V>>;

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

impl<K, T> Flights<K, Result<T, StoreError>>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Joins the load of `key` that is under way, or takes what is `held` by now, or starts `load`.
    ///
    /// A caller finds nothing held before it comes here, and the load that it missed may have landed in between: what
    /// is held is looked at once more while no flight can land. A load that panics is an error for all who wait.
    pub(super) fn join(
        self: &Arc<Self>,
        runtime: &Handle,
        key: K,
        held: impl FnOnce() -> Option<T>,
        load: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Flight<Result<T, StoreError>> {
        let mut under_way = self.0.lock();
        if let Some(Entry { flight, .. }) = under_way.get(&key) {
            return flight.clone();
        }
        if let Some(held) = held() {
            return ready(Ok(held)).boxed().shared();
        }
        let (landed, outcome) = oneshot::channel();
        let flight = outcome.map(|outcome| outcome.unwrap_or(Err(StoreError::Abandoned))).boxed().shared();
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        under_way.insert(key.clone(), Entry { number, flight: flight.clone() });
        // A runtime that is stopping drops the task at once, and with it the landing, which takes the lock.
        drop(under_way);
        let landing = Landing { flights: Arc::clone(self), key, number };
        runtime.spawn(async move {
            let outcome = load.await;
            drop(landing);
            // Nobody waits for it any more where this fails.
            _ = landed.send(outcome);
        });
        flight
    }
}

impl<K, V> Flights<K, V> {
    /// Strikes off the flights whose keys are such. Those who wait for one get its outcome, which was true when they
    /// asked; whoever comes now starts another.
    pub(super) fn forget(&self, such: impl Fn(&K) -> bool) {
        self.0.lock().retain(|key, _| !such(key));
    }
}

/// Strikes a flight off when its task ends, however it ends.
struct Landing<K: Eq + Hash, V> {
    flights: Arc<Flights<K, V>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let mut under_way = self.flights.0.lock();
        // It may have been forgotten, and another one be under way.
        if under_way.get(&self.key).is_some_and(|entry| entry.number == self.number) {
            under_way.remove(&self.key);
        }
    }
}
