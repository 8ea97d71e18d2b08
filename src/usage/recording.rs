//! Recording: each message is a transaction of its own.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{PATIENCE, Usage, UsageError};
use crate::store::{MessageId, Recording, StoreError, UsageRequest};

/// How long a message that is to be recorded waits for its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(2);

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
            let recording = inner.store.record(&requests, message, lock_wait, inner.clock.now());
            let recorded = timeout(PATIENCE, recording).await;
            drop(turn);
            recorded.unwrap_or(Err(StoreError::TimedOut))
        });
        recording.await.unwrap_or(Err(StoreError::TimedOut)).map_err(|error| self.0.failed(error))
    }
}
