//! Recording: each message is a transaction of its own.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use moka::sync::Cache;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Inner, PATIENCE, Usage, UsageError};
use crate::{
    domain::{MeterId, Recorded},
    observability::log_limiter::{LogLimiter, log_limited},
    store::{MessageId, Recording, StoreError, Unread, UsageOutcome, UsageRequest},
};

static NOT_UNREAD: LogLimiter = LogLimiter::new();

/// How long a message that is to be recorded waits for its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(2);

/// For how long a meter is looked at first after it was not, in vain.
const LATELY: Duration = Duration::from_secs(10);

/// With more such meters, some are forgotten sooner.
const MOST_IN_VAIN: u64 = 10_000;

impl Usage {
    /// Writes down what was used, and answers once that is committed. What was begun is done also if
    /// the caller does not wait for the answer.
    pub async fn record(
        &self,
        requests: Vec<UsageRequest>,
        message: Option<MessageId>,
    ) -> Result<Recording, UsageError> {
        let requests = Arc::<[UsageRequest]>::from(requests);
        let turn = self.turn(&self.0.recording).await.ok_or(UsageError::Overloaded)?;
        let recorded = self.record_in(turn, &requests, message, Duration::ZERO).await?;
        if !matches!(recorded, Recording::Locked) {
            return Ok(recorded);
        }
        // Whoever waits for a lock must not keep those waiting who need none.
        let turn = self.turn(&self.0.waiting_to_record).await.ok_or(UsageError::Locked)?;
        match self.record_in(turn, &requests, message, self.0.lock_wait).await? {
            Recording::Locked => Err(UsageError::Locked),
            recorded => Ok(recorded),
        }
    }

    /// A turn; `None`: there was none for too long.
    async fn turn(&self, turns: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        timeout(TURN_PATIENCE, Arc::clone(turns).acquire_owned()).await.ok()?.ok()
    }

    async fn record_in(
        &self,
        turn: OwnedSemaphorePermit,
        requests: &Arc<[UsageRequest]>,
        message: Option<MessageId>,
        lock_wait: Duration,
    ) -> Result<Recording, UsageError> {
        let (inner, requests) = (Arc::clone(&self.0), Arc::clone(requests));
        let recording = self.0.runtime.spawn(async move {
            let recording = async {
                if message.is_none()
                    && lock_wait.is_zero()
                    && inner.is_recorded_unread(&requests).await?
                {
                    let counted = UsageOutcome::Recorded(Recorded::Counted);
                    return Ok(Recording::Done(vec![counted; requests.len()]));
                }
                inner.store.record(&requests, message, lock_wait, inner.clock.now()).await
            };
            let recorded = timeout(PATIENCE, recording).await;
            drop(turn);
            recorded.unwrap_or(Err(StoreError::TimedOut))
        });
        recording.await.unwrap_or(Err(StoreError::TimedOut)).map_err(|error| self.0.failed(error))
    }
}

impl Inner {
    /// Writes down what is all new, without a look first. Where that fails, it may fare better the
    /// other way: each of these has a key, which tells whether it was counted.
    async fn is_recorded_unread(&self, requests: &[UsageRequest]) -> Result<bool, StoreError> {
        let meters: BTreeSet<&MeterId> = requests.iter().map(|it| &it.counter.0).collect();
        if meters.iter().any(|meter| self.in_vain.contains_key(*meter)) {
            return Ok(false);
        }
        match self.store.record_unread(requests, self.clock.now()).await {
            Ok(Unread::Counted) => return Ok(true),
            Ok(Unread::NotTried) => return Ok(false),
            Ok(Unread::InVain) => {}
            Err(error @ (StoreError::Rejected(_) | StoreError::Forbidden(_))) => {
                log_limited!(NOT_UNREAD, warn, %error, "what was used could not be recorded by one call: {error}");
            }
            Err(error) if error.lost_connection() || error.is_for_want_of_time() => {}
            Err(error) => return Err(error),
        }
        for meter in meters {
            self.in_vain.insert(meter.clone(), ());
        }
        Ok(false)
    }
}

/// The meters with which something was tried without a look first, and in vain, lately: what repeats
/// keys, and what waits for somebody who sits on a meter, would pay for both ways each time.
pub(super) fn in_vain() -> Cache<MeterId, ()> {
    Cache::builder().max_capacity(MOST_IN_VAIN).time_to_live(LATELY).build()
}
