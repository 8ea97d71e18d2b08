//! Counting: requests that wait are joined into one transaction, as a database joins commits.
//!
//! Whoever finds a turn free begins it and takes everything that waits along, up to
//! [`MAX_BATCH`]. What arrives meanwhile waits for the next turn, and so does what concerns a meter
//! that a turn is busy with. Counters that somebody else has locked are left out of a batch, and waited
//! for in a turn of their own, so that nobody waits for another's lock.

mod queue;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono_tz::Tz;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::{runtime::Handle, sync::oneshot, time::sleep};

use self::queue::{Batch, Queue, Waiting};
use crate::{
    clock::Clock,
    domain::{Counter, CounterId},
    observability::log_limiter::{LogLimiter, log_limited},
    store::{
        ReconcileRequest, Reconciled, Store, StoreError, UsageAnswer, UsageOutcome, UsageRequest,
        usage::WrongCounter,
    },
};

/// Requests in one transaction.
const MAX_BATCH: usize = 256;

/// Requests that may wait. One more is refused.
const MAX_WAITING: usize = 4096;

/// How often what lost its place is tried again: its key was taken from another month meanwhile.
const MAX_TRIES: u32 = 3;

/// The pause between two statements that forget.
const BETWEEN_STEPS: Duration = Duration::from_millis(100);

/// Why nothing was counted, or nobody knows whether it was.
#[derive(Clone, Debug, Error)]
pub enum UsageError {
    /// The database failed. If it failed at the commit, it may have been counted.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else holds the counter for too long.
    #[error("another transaction holds the counter")]
    Locked,
    /// Too many wait.
    #[error("too many wait to count")]
    Overloaded,
    /// The turn ended without an answer.
    #[error("the transaction was given up")]
    Abandoned,
}

static LOCKED: LogLimiter = LogLimiter::new();
static FAILED: LogLimiter = LogLimiter::new();

/// Counts what is used. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Usage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    clock: Clock,
    runtime: Handle,
    queue: Mutex<Queue>,
    wrong: AtomicUsize,
}

impl Usage {
    /// Counts in this database, in transactions that run on `runtime`.
    pub fn new(store: Arc<Store>, clock: Clock, runtime: Handle) -> Self {
        let queue = Mutex::new(Queue::new(store.counts_at_once()));
        let wrong = AtomicUsize::new(0);
        Self(Arc::new(Inner { store, clock, runtime, queue, wrong }))
    }

    /// Does what is asked, and answers once that is committed. It is done also if the caller does not
    /// wait for the answer.
    pub async fn count(&self, request: UsageRequest) -> Result<UsageAnswer, UsageError> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { request, answer, tries: 0 };
        let turn = {
            let mut queue = self.0.queue.lock();
            if queue.len() >= MAX_WAITING {
                return Err(UsageError::Overloaded);
            }
            queue.push(waiting);
            queue.begin(MAX_BATCH)
        };
        if let Some(batch) = turn {
            self.0.runtime.spawn(take_turns(Arc::clone(&self.0), batch));
        }
        answered.await.unwrap_or(Err(UsageError::Abandoned))
    }

    /// Reads a counter.
    pub async fn counter(&self, id: &CounterId) -> Result<Counter, UsageError> {
        Ok(self.0.store.counter(id).await?)
    }

    /// Puts a level right. `None`: there is no such tenant.
    pub async fn reconcile(
        &self,
        request: &ReconcileRequest,
    ) -> Result<Option<Reconciled>, UsageError> {
        let reconciled = self.0.store.reconcile(request, self.0.clock.now()).await;
        reconciled.map_err(failed)
    }

    /// Forgets what is not needed any more, and proves that every counter is the sum of its keys.
    pub async fn keep(&self, zone: Tz) -> Result<(), StoreError> {
        let inner = &self.0;
        while inner.store.forget_usage_keys(inner.clock.now(), zone).await? {
            // Others have work to do as well.
            sleep(BETWEEN_STEPS).await;
        }
        let wrong = inner.store.verify_usage(inner.clock.now(), zone).await?;
        inner.wrong.store(wrong.len(), Ordering::Relaxed);
        if let Some(WrongCounter { tenant, meter, period, .. }) = wrong.first() {
            tracing::error!(
                count = wrong.len(),
                %tenant,
                meter,
                period,
                "usage counters are not the sums of their keys: run `entitlementd usage verify`"
            );
        }
        Ok(())
    }

    /// How many counters were not the sums of their keys when that was last looked at: must be 0.
    pub fn wrong(&self) -> usize {
        self.0.wrong.load(Ordering::Relaxed)
    }

    /// The number of requests that wait for a turn.
    pub fn waiting(&self) -> usize {
        self.0.queue.lock().len()
    }
}

/// Takes turns until nothing waits that no other turn is busy with.
async fn take_turns(inner: Arc<Inner>, first: Batch) {
    let mut turn = Turn { inner, batch: Some(first) };
    while let Some(batch) = &mut turn.batch {
        let again = turn.inner.settle(batch).await;
        let mut queue = turn.inner.queue.lock();
        queue.end(batch, again);
        let next = queue.begin(MAX_BATCH);
        drop(queue);
        turn.batch = next;
    }
}

/// A turn. Its meters are free again when it ends, however that is.
struct Turn {
    inner: Arc<Inner>,
    batch: Option<Batch>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(batch) = &mut self.batch {
            self.inner.queue.lock().end(batch, Vec::new());
        }
    }
}

impl Inner {
    /// Does what a batch asks, and answers it. What is to be tried again is given back.
    async fn settle(&self, batch: &mut Batch) -> Vec<Waiting> {
        let requests: Vec<UsageRequest> =
            batch.waiting.iter().map(|waiting| waiting.request.clone()).collect();
        let counted = self.store.count(&requests, batch.waits, self.clock.now()).await;
        let all = std::mem::take(&mut batch.waiting);
        match counted {
            Ok(answers) => all
                .into_iter()
                .zip(answers)
                .filter_map(|(waiting, answer)| tell(waiting, answer))
                .collect(),
            // A new counter is locked by whoever makes it too.
            Err(error) if error.is_for_want_of_a_lock() && !batch.waits => {
                all.into_iter().filter_map(Waiting::tried).collect()
            }
            Err(error) => {
                let error = failed(error);
                for waiting in all {
                    _ = waiting.answer.send(Err(error.clone()));
                }
                Vec::new()
            }
        }
    }
}

/// What callers are told of an error, and the log.
fn failed(error: StoreError) -> UsageError {
    if error.is_for_want_of_a_lock() {
        let message = "another transaction holds a usage counter: see pg_locks";
        log_limited!(LOCKED, warn, "{message}");
        UsageError::Locked
    } else {
        log_limited!(FAILED, warn, %error, "usage could not be counted: {error}");
        UsageError::Store(error)
    }
}

/// Tells a caller, unless somebody else had locked what it needs: then it is to be tried again.
fn tell(waiting: Waiting, answer: UsageAnswer) -> Option<Waiting> {
    if answer.outcome == UsageOutcome::Locked {
        return waiting.tried();
    }
    _ = waiting.answer.send(Ok(answer));
    None
}

impl Waiting {
    /// It was tried in vain. `None`: too often, and its caller has been told.
    fn tried(mut self) -> Option<Self> {
        self.tries += 1;
        if self.tries < MAX_TRIES {
            return Some(self);
        }
        _ = self.answer.send(Err(UsageError::Locked));
        None
    }
}
