//! Limits on administrators' use of the database: separate from loads, a few at a time, and with
//! timeouts. Failures here say nothing about checks.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, sync::Semaphore, task::JoinSet};

use crate::{
    observability::log_limiter::{LogLimiter, log_limited},
    service::admin::error::AdminError,
    store::{MutationError, Store, StoreError},
};

static READ_FAILED: LogLimiter = LogLimiter::new();

/// Maximum number of concurrent reads.
const MAX_READS: usize = 2;
/// How long a read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of concurrent changes.
const MAX_CHANGES: usize = 4;
/// Maximum number of schemas that are made or dropped concurrently: each takes a connection
/// meanwhile.
const MAX_SETUPS: usize = 2;
/// How long a change may take; a slower one is not made, unless it is being committed.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long making or dropping a schema may take.
pub(crate) const SETUP_TIMEOUT: Duration = Duration::from_mins(5);

/// The turns of administrators, and the runtime that has the database's connections.
#[derive(Clone, Debug)]
pub(crate) struct AdminLimiter {
    reads: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    setups: Arc<Semaphore>,
    runtime: Handle,
    store: Arc<Store>,
}

impl AdminLimiter {
    /// Their work is done on this runtime, in this database.
    pub(crate) fn on(runtime: Handle, store: Arc<Store>) -> Self {
        let [reads, changes, setups] =
            [MAX_READS, MAX_CHANGES, MAX_SETUPS].map(|most| Arc::new(Semaphore::new(most)));
        Self { reads, changes, setups, runtime, store }
    }

    /// Runs a read. A caller that gives up ends it.
    pub(in crate::service) async fn read<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, AdminError> {
        let read = self.run(&self.reads, READ_TIMEOUT, work).await;
        let named = |error| AdminError::Read(self.store.naming_primary(error));
        let read = read.map_or(Err(AdminError::ReadAbandoned), |read| read.map_err(named));
        read.inspect_err(|error| {
            log_limited!(READ_FAILED, warn, %error, "an administrator's read failed: {error}");
        })
    }

    /// Makes a change. A caller that gives up ends it.
    pub(in crate::service) async fn change<T: Send + 'static>(
        &self,
        work: BoxFuture<'static, Result<T, MutationError>>,
    ) -> Result<T, AdminError> {
        self.changed(self.run(&self.changes, CHANGE_TIMEOUT, work).await)
    }

    /// Makes or drops a schema, which may take long.
    pub(in crate::service) async fn set_up<T: Send + 'static>(
        &self,
        work: BoxFuture<'static, Result<T, MutationError>>,
    ) -> Result<T, AdminError> {
        self.changed(self.run(&self.setups, SETUP_TIMEOUT, work).await)
    }

    /// Runs it in its turn; `None`: it ended without an outcome.
    async fn run<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        turns: &Semaphore,
        timeout: Duration,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Option<Result<T, E>> {
        // The semaphore is never closed.
        let _turn = turns.acquire().await.ok()?;
        let mut task = JoinSet::new();
        task.spawn_on(tokio::time::timeout(timeout, work), &self.runtime);
        let ended = task.join_next().await?.ok()?;
        Some(ended.unwrap_or_else(|_| Err(StoreError::TimedOut.into())))
    }

    fn changed<T>(&self, change: Option<Result<T, MutationError>>) -> Result<T, AdminError> {
        let Some(change) = change else {
            tracing::warn!("a change was given up, and it is not known whether it was made");
            return Err(AdminError::ChangeAbandoned);
        };
        change.map_err(|error| {
            AdminError::Change(match error {
                MutationError::Store(error) => {
                    MutationError::Store(self.store.naming_primary(error))
                }
                error => error,
            })
        })
    }
}
