//! One load, however many callers wait for it, of things that exist only once. Loads of tenants
//! have a queue: see `queue`.

use std::{
    fmt,
    future::Future,
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

use super::LoadError;
use crate::store::StoreError;

/// The load that is under way, if there is one.
///
/// `moka` and `quick_cache` have a single flight too. In moka's a leader that is cancelled hands
/// over to the next, and in `quick_cache`'s a failure does: with the database away, each waiter
/// would time out after the one before it. Here the load is a task of its own, and everyone who
/// waits shares its outcome, even an error.
pub(super) struct Flight<T>(Mutex<Option<InFlightLoad<T>>>);

/// A load, and its number, by which it knows its own place.
struct InFlightLoad<T> {
    number: u64,
    outcome: FlightOutcome<T>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// A load's outcome, to be shared by all who wait for it.
type FlightOutcome<T> = Shared<BoxFuture<'static, Result<T, LoadError>>>;

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> fmt::Debug for Flight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").finish_non_exhaustive()
    }
}

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    /// Joins the load that is under way, or takes what is `held` by now, or starts `load`.
    ///
    /// A caller finds nothing held before it comes here, and the load that it missed may have
    /// landed in between: what is held is checked once more while no flight can land. A load that
    /// panics is an error for all who wait.
    pub(super) fn join(
        self: &Arc<Self>,
        runtime: &Handle,
        held: impl FnOnce() -> Option<T>,
        load: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> FlightOutcome<T> {
        let mut under_way = self.0.lock();
        if let Some(InFlightLoad { outcome, .. }) = &*under_way {
            return outcome.clone();
        }
        if let Some(held) = held() {
            return ready(Ok(held)).boxed().shared();
        }
        let (landed, outcome) = oneshot::channel();
        let outcome =
            outcome.map(|outcome| outcome.unwrap_or(Err(LoadError::Abandoned))).boxed().shared();
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        *under_way = Some(InFlightLoad { number, outcome: outcome.clone() });
        // A runtime that is stopping drops the task at once, and with it the landing, which takes
        // the lock.
        drop(under_way);
        let landing = Landing { flight: Arc::clone(self), number };
        runtime.spawn(async move {
            let outcome = load.await.map_err(LoadError::from);
            drop(landing);
            // Nobody waits for it any more where this fails.
            _ = landed.send(outcome);
        });
        outcome
    }
}

impl<T> Flight<T> {
    /// Removes the load. Callers that wait for it get its outcome, which was true when they asked;
    /// later callers start another load.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }
}

/// Removes a load when its task ends, however it ends.
struct Landing<T> {
    flight: Arc<Flight<T>>,
    number: u64,
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        // It may have been removed, and another load may be under way.
        self.flight.0.lock().take_if(|under_way| under_way.number == self.number);
    }
}
