//! Giving up after some time, and whose fault that is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::time::timeout;

use crate::store::StoreError;

/// Where the time went.
#[derive(Clone, Copy, Debug)]
enum Progress {
    /// It does not wait for a connection.
    Asking,
    /// It waits for one of ours.
    Waiting,
    /// It has waited for one until then.
    HasWaitedUntil(Instant),
}

tokio::task_local! {
    static PROGRESS: Arc<Mutex<Progress>>;
}

/// Waits for so long at most. If most of that went into waiting for a connection of our own, the
/// error says so: nothing is known of the database then.
pub async fn within<T>(
    at_most: Duration,
    asking: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let progress = Arc::new(Mutex::new(Progress::Asking));
    let asking = PROGRESS.scope(Arc::clone(&progress), asking);
    timeout(at_most, asking).await.unwrap_or_else(|_| {
        Err(match *progress.lock() {
            Progress::Waiting => StoreError::PoolExhausted,
            Progress::HasWaitedUntil(until) if until.elapsed() < at_most / 2 => {
                StoreError::PoolExhausted
            }
            Progress::HasWaitedUntil(_) | Progress::Asking => StoreError::TimedOut,
        })
    })
}

/// A wait for a connection, as [`within`] sees it.
pub(super) struct OwnWait(Option<Arc<Mutex<Progress>>>);

impl OwnWait {
    /// It begins. `for_ours`: are there connections that may come back?
    pub(super) fn begin(for_ours: impl FnOnce() -> bool) -> Self {
        let progress = PROGRESS.try_with(Arc::clone).ok().filter(|_| for_ours());
        if let Some(progress) = &progress {
            *progress.lock() = Progress::Waiting;
        }
        Self(progress)
    }

    /// There is a connection.
    pub(super) fn end(self) {
        if let Some(progress) = &self.0 {
            *progress.lock() = Progress::HasWaitedUntil(Instant::now());
        }
    }
}
