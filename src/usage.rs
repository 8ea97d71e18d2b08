//! Counting: requests that wait are joined into one transaction, as a database joins commits.
//!
//! Whoever finds a turn free begins it and takes everything that waits along, up to 256 requests.
//! What arrives meanwhile waits for the next turn, and so does what concerns a meter that a turn is
//! busy with. Counters that somebody else has locked are left out of a batch, and waited for in a turn
//! of their own, so that nobody waits for another's lock.

mod queue;
mod recording;
mod refusals;
mod upkeep;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use moka::sync::Cache;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
    time::timeout,
};

pub use self::refusals::Refusal;
use self::{
    queue::{Batch, Queue, Waiting},
    refusals::Refusals,
};
use crate::{
    clock::Clock,
    domain::{Counter, CounterId, MeterId, calendar::Zones},
    observability::log_limiter::{LogLimiter, log_limited},
    store::{
        ReconcileRequest, Reconciled, Store, StoreError, UsageAnswer, UsageOutcome, UsageRequest,
        UsageSpan, UsageSpans,
    },
};

/// Requests in one transaction.
const MAX_BATCH: usize = 256;

/// Requests that may wait. One more is refused.
const MAX_WAITING: usize = 4096;

/// The same of one meter, so that a counter that somebody has locked does not use up the room of all.
const MAX_WAITING_OF_METER: usize = 1024;

/// How long a counter is waited for that somebody else has locked. A hand-made transaction that sits
/// on it must not stop a shop for longer.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// The same at a time, where there is one turn, which others need too.
const LOCK_SLICE: Duration = Duration::from_millis(100);

/// How long a transaction may take in all: a connection may be cut off without a word. Less than a
/// request may take by default, so that callers are told that they may ask again.
const PATIENCE: Duration = Duration::from_secs(4);

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
static NOT_ALONE: LogLimiter = LogLimiter::new();

/// Counts what is used. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Usage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    clock: Clock,
    runtime: Handle,
    queue: Mutex<Queue>,
    /// How long a lock is waited for at a time.
    lock_wait: Duration,
    /// The turns of their messages: each is a transaction.
    recording: Arc<Semaphore>,
    /// The turns of those that wait for a lock.
    waiting_to_record: Arc<Semaphore>,
    /// The meters of messages that were not all new, lately.
    in_vain: Cache<MeterId, ()>,
    wrong: AtomicUsize,
    refusals: Refusals,
}

impl Usage {
    /// Counts in this database, in transactions that run on `runtime`.
    pub fn new(store: Arc<Store>, clock: Clock, runtime: Handle) -> Self {
        let turns = store.counts_at_once();
        let lock_wait = if turns == 1 { LOCK_SLICE } else { LOCK_PATIENCE };
        let (queue, wrong) = (Mutex::new(Queue::new(turns)), AtomicUsize::new(0));
        let recording = Arc::new(Semaphore::new(turns));
        let waiting_to_record = Arc::new(Semaphore::new(1));
        Self(Arc::new(Inner {
            store,
            clock,
            runtime,
            queue,
            lock_wait,
            recording,
            waiting_to_record,
            in_vain: recording::in_vain(),
            wrong,
            refusals: Refusals::default(),
        }))
    }

    /// Does what is asked, and answers once that is committed. It is done also if the caller does not
    /// wait for the answer.
    pub async fn count(&self, request: UsageRequest) -> Result<UsageAnswer, UsageError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.0.queue.lock();
            let of_meter = queue.len_of(&request.counter.0);
            if queue.len() >= MAX_WAITING || of_meter >= MAX_WAITING_OF_METER {
                return Err(UsageError::Overloaded);
            }
            queue.push(Waiting { request, answer, locked_since: None });
        }
        self.0.begin_turn();
        answered.await.unwrap_or(Err(UsageError::Abandoned))
    }

    /// Remembers a reservation that was refused, for whoever asks why.
    pub fn refused(&self, meter: &MeterId, refusal: Refusal) {
        self.0.refusals.add(meter, refusal);
    }

    /// What this server has refused of a meter last, the newest first.
    pub fn refusals(&self, meter: &MeterId) -> Vec<Refusal> {
        self.0.refusals.of(meter)
    }

    /// Reads what was used over time, by a tenant with these time zones.
    pub async fn spans(
        &self,
        asked: &UsageSpans,
        zones: &Zones,
    ) -> Result<Vec<UsageSpan>, StoreError> {
        let spans = self.0.store.usage_spans(asked, zones).await;
        spans.map_err(|error| self.0.store.naming_primary(error))
    }

    /// Reads a counter.
    pub async fn counter(&self, id: &CounterId) -> Result<Counter, StoreError> {
        let counter = self.0.store.counter(id, self.0.clock.now()).await;
        counter.map_err(|error| self.0.store.naming_primary(error))
    }

    /// Puts a level right. `None`: there is no such tenant.
    pub async fn reconcile(
        &self,
        request: &ReconcileRequest,
    ) -> Result<Option<Reconciled>, UsageError> {
        let reconciling = self.0.store.reconcile(request, self.0.clock.now());
        let reconciled = timeout(PATIENCE, reconciling).await.unwrap_or(Err(StoreError::TimedOut));
        reconciled.map_err(|error| self.0.failed(error))
    }

    /// The number of requests that wait for a turn.
    pub fn waiting(&self) -> usize {
        self.0.queue.lock().len()
    }
}

/// A turn. Its meters are free again when it ends, however that is, and then the next one begins.
struct Turn {
    inner: Arc<Inner>,
    batch: Batch,
    again: Vec<Waiting>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let again = std::mem::take(&mut self.again);
        self.inner.queue.lock().end(&mut self.batch, again);
        self.inner.begin_turn();
    }
}

async fn take_turn(mut turn: Turn) {
    let inner = Arc::clone(&turn.inner);
    turn.again = inner.settle(&mut turn.batch).await;
    drop(turn);
}

impl Inner {
    /// Begins a turn, if there is one to begin and something for it.
    fn begin_turn(self: &Arc<Self>) {
        let Some(batch) = self.queue.lock().begin(MAX_BATCH) else { return };
        let turn = Turn { inner: Arc::clone(self), batch, again: Vec::new() };
        self.runtime.spawn(take_turn(turn));
    }

    /// Does what a batch asks, and answers it. What is to be tried again is given back.
    async fn settle(&self, batch: &mut Batch) -> Vec<Waiting> {
        let requests: Vec<UsageRequest> =
            batch.waiting.iter().map(|waiting| waiting.request.clone()).collect();
        let lock_wait = if batch.waits { self.lock_wait } else { Duration::ZERO };
        let counting = async {
            let now = self.clock.now();
            if let ([request], false) = (&requests[..], batch.waits) {
                match self.store.take_alone(request, now).await {
                    Ok(Some(answer)) => return Ok(vec![answer]),
                    Ok(None) => {}
                    // It may fare better the other way.
                    Err(error @ StoreError::Rejected(_)) => {
                        log_limited!(NOT_ALONE, warn, %error, "a lone reservation was refused: {error}");
                    }
                    // If it was done, its key is there.
                    Err(error) if error.lost_connection() => {}
                    Err(error) => return Err(error),
                }
            }
            self.store.count(&requests, lock_wait, now).await
        };
        let counted = timeout(PATIENCE, counting).await.unwrap_or(Err(StoreError::TimedOut));
        let all = std::mem::take(&mut batch.waiting);
        match counted {
            Ok(answers) => all
                .into_iter()
                .zip(answers)
                .filter_map(|(waiting, answer)| tell(waiting, answer))
                .collect(),
            // A new counter is locked by whoever makes it too; and what the database refuses for one
            // meter is no reason to refuse it for the others.
            Err(StoreError::Rejected(_)) if !batch.waits => {
                all.into_iter().filter_map(Waiting::again).collect()
            }
            Err(error) if error.is_for_want_of_a_lock() => self.give_up(all, error),
            Err(error) => {
                tell_all(all, &self.failed(error));
                Vec::new()
            }
        }
    }

    fn failed(&self, error: StoreError) -> UsageError {
        failed(self.store.naming_primary(error))
    }

    /// Somebody else still has the lock. If the first has waited for long enough, so has everyone who
    /// waits for the same; else they go on.
    fn give_up(&self, mut all: Vec<Waiting>, error: StoreError) -> Vec<Waiting> {
        let is_over = |waiting: &Waiting| {
            waiting.locked_since.is_some_and(|since| since.elapsed() >= LOCK_PATIENCE)
        };
        if !all.iter().any(is_over) {
            return all.into_iter().filter_map(Waiting::again).collect();
        }
        if let Some(first) = all.first() {
            let behind = self.queue.lock().take_locked(&first.request.counter.0);
            all.extend(behind);
        }
        tell_all(all, &failed(error));
        Vec::new()
    }
}

/// What callers are told of an error, and the log.
fn failed(error: StoreError) -> UsageError {
    if error.is_for_want_of_a_lock() {
        log_limited!(LOCKED, warn, "another transaction holds a usage counter: see pg_locks");
        UsageError::Locked
    } else {
        log_limited!(FAILED, warn, %error, "usage could not be counted: {error}");
        UsageError::Store(error)
    }
}

fn tell_all(all: Vec<Waiting>, error: &UsageError) {
    for waiting in all {
        _ = waiting.answer.send(Err(error.clone()));
    }
}

/// Tells a caller, unless somebody else had locked what it needs: then it is to be tried again.
fn tell(waiting: Waiting, answer: UsageAnswer) -> Option<Waiting> {
    if answer.outcome == UsageOutcome::Locked {
        return waiting.again();
    }
    _ = waiting.answer.send(Ok(answer));
    None
}

impl Waiting {
    /// It was tried in vain, and is to be tried again. `None`: for too long, and its caller has been
    /// told.
    fn again(mut self) -> Option<Self> {
        let since = *self.locked_since.get_or_insert_with(Instant::now);
        if since.elapsed() < 2 * LOCK_PATIENCE {
            return Some(self);
        }
        _ = self.answer.send(Err(UsageError::Locked));
        None
    }
}
