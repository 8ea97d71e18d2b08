//! What is in the way of loads that the database refuses, in the words of `migrate --status`.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::condition::Cause;
use crate::store::Store;

/// How often the schema is looked at while loads are refused: some of what was missing may be there
/// by now.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Why the schema is looked at: since when loads fail, if they do, and why. Another refusal is
/// another look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) since: Option<Instant>,
    pub(super) cause: Cause,
}

/// What the last look has found.
#[derive(Debug, Default)]
pub(super) struct Obstacles(Mutex<Option<Found>>);

#[derive(Debug)]
struct Found {
    refusal: Refusal,
    obstacle: Option<String>,
    at: Instant,
}

impl Obstacles {
    /// What is known to be in the way.
    pub(super) fn of(&self, refusal: Refusal) -> Option<String> {
        let found = self.0.lock();
        found.as_ref().filter(|found| found.refusal == refusal)?.obstacle.clone()
    }

    /// Looks at the schema, unless that has been done lately.
    pub(super) async fn look(&self, store: &Store, refusal: Refusal) {
        let is_known = |found: &Found| found.refusal == refusal && found.at.elapsed() < LOOK_AGAIN;
        if self.0.lock().as_ref().is_some_and(is_known) {
            return;
        }
        let look = timeout(store.durations().start, store.schema()).await;
        let obstacle = look.ok().and_then(|look| look.ok()?.obstacle());
        *self.0.lock() = Some(Found { refusal, obstacle, at: Instant::now() });
    }

    /// Nothing is refused.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }
}
