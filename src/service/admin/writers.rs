//! Where administrators' changes are made: apart from loads, a few at a time, and in time.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, sync::Semaphore, task::JoinSet};
use tonic::Status;

use crate::{
    service::status,
    store::{MutationError, StoreError},
};

/// Changes that are made at the same time.
const MOST_CHANGES: usize = 4;
/// Schemas that are made or dropped at the same time: each takes a connection for as long.
const MOST_SETUPS: usize = 2;
/// A change is made within this time, or not at all, unless it is being committed.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The same of a schema.
pub(super) const SETUP_TIMEOUT: Duration = Duration::from_mins(5);

/// The turns of those who write, and the runtime that has the database's connections.
#[derive(Clone, Debug)]
pub struct Writers {
    changes: Arc<Semaphore>,
    setups: Arc<Semaphore>,
    runtime: Handle,
}

impl Writers {
    /// They write on this runtime.
    pub fn on(runtime: Handle) -> Self {
        let [changes, setups] = [MOST_CHANGES, MOST_SETUPS].map(|most| Arc::new(Semaphore::new(most)));
        Self { changes, setups, runtime }
    }

    /// Makes a change. Whoever gives up waiting ends it.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        work: BoxFuture<'static, Result<T, MutationError>>,
    ) -> Result<T, Status> {
        self.run(&self.changes, CHANGE_TIMEOUT, work).await
    }

    /// Makes or drops a schema, which may take long.
    pub(super) async fn set_up<T: Send + 'static>(
        &self,
        work: BoxFuture<'static, Result<T, MutationError>>,
    ) -> Result<T, Status> {
        self.run(&self.setups, SETUP_TIMEOUT, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        turns: &Semaphore,
        timeout: Duration,
        work: BoxFuture<'static, Result<T, MutationError>>,
    ) -> Result<T, Status> {
        // The semaphore is never closed.
        let _turn = turns.acquire().await.map_err(|_| status::store(StoreError::Abandoned))?;
        let mut task = JoinSet::new();
        task.spawn_on(tokio::time::timeout(timeout, work), &self.runtime);
        match task.join_next().await.and_then(Result::ok) {
            Some(Ok(done)) => done.map_err(status::mutation),
            Some(Err(_)) => Err(status::mutation(StoreError::TimedOut.into())),
            None => Err(status::mutation(StoreError::Abandoned.into())),
        }
    }
}
