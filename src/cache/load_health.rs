//! How loads have gone lately: a database may answer the feed, and refuse every load.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Cache, Inner};
use crate::{
    domain::TenantId,
    store::{LoadTenant, Source, StoreError, TenantKey},
};

/// Loads fail for as long as none has succeeded since the last failure, and for this long after it:
/// where some succeed and some do not, that is one trouble and not many.
const LINGER: Duration = Duration::from_secs(3);

/// Loads that fail.
#[derive(Clone, Debug)]
pub struct FailingLoads {
    /// Since when.
    pub since: Instant,
    /// How many statements have failed since then.
    pub failed: u64,
    /// Has one succeeded since the first failure?
    pub some_succeed: bool,
    /// Has one succeeded since the last failure?
    pub last_succeeded: bool,
    /// Why the last one failed.
    pub error: StoreError,
    last: Instant,
}

#[derive(Debug, Default)]
pub(super) struct LoadHealth(Mutex<Option<FailingLoads>>);

impl LoadHealth {
    /// Notes how a statement went that reads tenants.
    pub(super) fn note<T>(&self, outcome: &Result<T, StoreError>, now: Instant) {
        let mut failing = self.0.lock();
        match outcome {
            Ok(_) => {
                if let Some(failing) = &mut *failing {
                    (failing.some_succeed, failing.last_succeeded) = (true, true);
                }
            }
            Err(error) => {
                let before = failing.take().filter(|failing| failing.lasts(now));
                *failing = Some(FailingLoads {
                    since: before.as_ref().map_or(now, |before| before.since),
                    failed: before.as_ref().map_or(0, |before| before.failed) + 1,
                    some_succeed: before.is_some_and(|before| before.some_succeed),
                    last_succeeded: false,
                    error: error.clone(),
                    last: now,
                });
            }
        }
    }

    fn failing(&self, now: Instant) -> Option<FailingLoads> {
        self.0.lock().clone().filter(|failing| failing.lasts(now))
    }
}

impl FailingLoads {
    fn lasts(&self, now: Instant) -> bool {
        !self.last_succeeded || now - self.last < LINGER
    }
}

impl<L: LoadTenant> Cache<L> {
    /// Do loads fail?
    pub fn failing_loads(&self) -> Option<FailingLoads> {
        self.0.load_health.failing(Instant::now())
    }

    /// Finds out whether loads succeed again, though nobody asks: reads a tenant that does not exist.
    pub async fn probe(&self, now: chrono::DateTime<chrono::Utc>) {
        let inner = &self.0;
        let nobody = [TenantKey::Id(TenantId::from(uuid::Uuid::nil()))];
        let read = inner.read(&nobody, Source::Primary, now).await;
        inner.note_load(1, &read);
    }
}

impl<L: LoadTenant> Inner<L> {
    /// Notes how reading so many tenants in one statement went.
    pub(super) fn note_load<T>(&self, count: usize, outcome: &Result<T, StoreError>) {
        self.queue.note(count, outcome);
        self.load_health.note(outcome, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_fail_until_one_succeeds_and_none_has_failed_for_a_while() {
        let (health, start) = (LoadHealth::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let failing = |seconds| health.failing(at(seconds));
        health.note(&Ok(()), at(0));
        assert!(failing(0).is_none());
        health.note::<()>(&Err(StoreError::TimedOut), at(1));
        health.note::<()>(&Err(StoreError::TimedOut), at(2));
        let told = failing(100).unwrap();
        assert!(told.since == at(1) && told.failed == 2 && !told.some_succeed);
        health.note(&Ok(()), at(3));
        assert!(failing(4).unwrap().last_succeeded);
        health.note::<()>(&Err(StoreError::TimedOut), at(4));
        let told = failing(4).unwrap();
        assert!(told.failed == 3 && told.some_succeed && !told.last_succeeded);
        health.note(&Ok(()), at(5));
        assert!(failing(6).is_some() && failing(7).is_none());
        health.note::<()>(&Err(StoreError::TimedOut), at(9));
        assert_eq!(failing(9).unwrap().since, at(9), "that is another trouble");
    }
}
