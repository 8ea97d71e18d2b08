//! How many loads go to the database at the same time, and whether it is any use.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::StoreError;

/// Loads that wait for their turn at most. It is well below the requests in flight, so that a flood of tenants that are
/// not held leaves room for those that are.
const MOST_WAITING: usize = 5_000;

/// While the database fails, this many loads at a time find out whether it still does. The others fail at once, instead
/// of each waiting for as long as a dead database takes.
const PROBES: usize = 2;

/// Where loads wait for their turn.
#[derive(Debug)]
pub(super) struct Gate {
    turns: Semaphore,
    probes: Semaphore,
    waiting: AtomicUsize,
    failing: AtomicBool,
}

impl Gate {
    /// For so many loads at the same time.
    pub(super) fn new(turns: usize) -> Self {
        Self {
            turns: Semaphore::new(turns),
            probes: Semaphore::new(PROBES),
            waiting: 0.into(),
            failing: AtomicBool::new(false),
        }
    }

    /// Waits for a turn, which lasts as long as what is returned.
    pub(super) async fn pass(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        if self.is_failing() {
            return self.probes.try_acquire().map_err(|_| StoreError::Failing);
        }
        let waiting = Waiting::begin(&self.waiting);
        if waiting.is_one_too_many() {
            return Err(StoreError::Overloaded);
        }
        // The semaphore is never closed.
        self.turns.acquire().await.map_err(|_| StoreError::Abandoned)
    }

    /// Is the database failing, as far as is known?
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Notes how asking the database went.
    pub(super) fn note<T>(&self, outcome: &Result<T, StoreError>) {
        match outcome {
            Err(StoreError::Unavailable(_) | StoreError::TimedOut) => self.failing.store(true, Ordering::Relaxed),
            Ok(_) if self.is_failing() => self.failing.store(false, Ordering::Relaxed),
            Ok(_) | Err(_) => {}
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

struct Waiting<'a>(&'a AtomicUsize, usize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        Self(count, count.fetch_add(1, Ordering::Relaxed))
    }

    fn is_one_too_many(&self) -> bool {
        self.1 >= MOST_WAITING
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
