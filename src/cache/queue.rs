//! Loads of tenants that wait for their turn: one for each tenant however many ask, joined into one
//! statement when many wait.
//!
//! So many turns are taken at the same time. While one is free a load begins at once, by itself;
//! while none is, loads wait, and the next turn takes along all that wait, up to a hundred; those
//! that callers wait for first. How long they wait here is our own affair: it is bounded, it has an
//! error of its own, and it is never counted as the database's.

mod state;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, ready},
};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tracing::Span;

use self::state::{QueuePlace, QueueState};
use super::{Known, LoadError, breaker::Breaker};
use crate::store::{StoreError, TenantKey};

/// Tenants that one statement reads at most.
pub const MAX_BATCH: usize = 100;

/// Loads that callers wait for and that wait for their turn, at most. It is well below the requests
/// in flight, so that a flood of tenants that are not held leaves room for those that are.
const MAX_WAITING: usize = 5_000;

/// The same for loads that no caller waits for.
const MAX_WAITING_IN_BACKGROUND: usize = 1_000;

/// A load, or a reading past the cache, that has waited longer for its turn is refused: its callers
/// have better things to do.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(1);

/// While the database fails, this many loads at a time find out whether it still does. The others
/// fail at once, instead of each waiting for as long as a dead database takes.
const PROBES: usize = 2;

/// While the database fails, a caller waits for so long after a load was asked for, and no longer: one
/// that answers again does so in far less, and one that hangs would hold everybody up for as long as a
/// load may take. The load goes on.
const PROBE_PATIENCE: Duration = Duration::from_millis(500);

/// What a load comes to, shared by all who wait for it.
pub(super) type LoadOutcome = Shared<BoxFuture<'static, Result<Known, LoadError>>>;

/// The loads of tenants.
pub(super) struct LoadQueue {
    /// So many statements at the same time, at most.
    max_turns: usize,
    breaker: Arc<Breaker>,
    /// How many tenants a statement may read: fewer after one of many has failed.
    batch: AtomicUsize,
    state: Mutex<QueueState>,
}

/// A load that a caller waits for.
pub(super) struct Joined {
    outcome: LoadOutcome,
    /// A turn must be started.
    pub(super) starts_a_turn: bool,
    /// When to wait no longer, although the load goes on.
    give_up_at: Option<Instant>,
}

/// Who waits for a load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Priority {
    /// A caller.
    Caller,
    /// No caller, as yet.
    Background,
}

/// What a load is asked for with.
pub(super) struct LoadRequest {
    pub(super) now: DateTime<Utc>,
    pub(super) priority: Priority,
    pub(super) span: Span,
}

/// Loads that begin together. One that is dropped without an outcome was given up.
pub(super) struct Batch {
    pub(super) loads: Vec<StartedLoad>,
    /// The latest instant at which one of them was asked for: the statement is sent after it.
    pub(super) now: DateTime<Utc>,
    /// Of the first that is traced.
    pub(super) span: Span,
}

/// A load that has begun.
pub(super) struct StartedLoad {
    pub(super) key: TenantKey,
    /// Who waited for it when it began.
    pub(super) priority: Priority,
    number: u64,
    answer: Option<oneshot::Sender<Result<Known, LoadError>>>,
    queue: Arc<LoadQueue>,
}

impl fmt::Debug for LoadQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadQueue").field("max_turns", &self.max_turns).finish_non_exhaustive()
    }
}

impl LoadQueue {
    /// For so many statements at the same time.
    pub(super) fn new(max_turns: usize, breaker: Arc<Breaker>) -> Self {
        Self { max_turns, breaker, batch: MAX_BATCH.into(), state: Mutex::default() }
    }

    /// Joins the load of `key`, or takes what is `held` by now, or adds a load. There are so many
    /// `turns` at present.
    ///
    /// A caller finds nothing held before it comes here, and the load that it missed may have ended
    /// in between: what is held is looked at once more while no load can end.
    pub(super) fn join(
        &self,
        key: &TenantKey,
        held: impl FnOnce() -> Option<Known>,
        asked: LoadRequest,
        turns: usize,
    ) -> Joined {
        let priority = asked.priority;
        let patience = |asked_at: Instant| {
            let is_short = self.breaker.is_open() && priority == Priority::Caller;
            is_short.then(|| asked_at + PROBE_PATIENCE)
        };
        let mut state = self.state.lock();
        if let Some((outcome, asked_at)) = state.join(key, priority) {
            return Joined { outcome, starts_a_turn: false, give_up_at: patience(asked_at) };
        }
        if let Some(held) = held() {
            return Joined::ended(Ok(held));
        }
        if self.breaker.is_open()
            && state.turns_taken >= PROBES.min(self.max_turns.min(turns)).max(1)
        {
            return Joined::ended(Err(LoadError::Failing));
        }
        if state.is_full(asked.priority) {
            return Joined::ended(Err(LoadError::Overloaded));
        }
        let outcome = state.add(key.clone(), asked);
        let starts_a_turn = state.turns_taken < self.max_turns.min(turns);
        state.turns_taken += usize::from(starts_a_turn);
        Joined { outcome, starts_a_turn, give_up_at: patience(Instant::now()) }
    }

    /// Strikes off the loads that have begun and whose keys are such. Those who wait for one get
    /// its outcome, which was true when they asked; whoever comes now starts another. One that
    /// has yet to begin will do.
    pub(super) fn forget(&self, such: impl Fn(&TenantKey) -> bool) {
        self.state.lock().loads.retain(|key, load| load.waiting.is_some() || !such(key));
    }

    /// How many loads wait that callers wait for.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// What the next turn is to load; `None`: nothing waits.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Batch> {
        let most = if self.breaker.is_open() { 1 } else { self.batch.load(Ordering::Relaxed) };
        let (mut loads, mut too_late) = (Vec::new(), Vec::new());
        let mut asked: Vec<LoadRequest> = Vec::new();
        let mut state = self.state.lock();
        while loads.len() < most {
            let Some((QueuePlace { key, number }, waiting)) = state.next() else { break };
            if waiting.since.elapsed() > MAX_WAIT && waiting.asked.priority == Priority::Caller {
                state.strike_off(&key, number);
                too_late.push(waiting.answer);
                continue;
            }
            let priority = waiting.asked.priority;
            asked.push(waiting.asked);
            loads.push(StartedLoad {
                key,
                priority,
                number,
                answer: Some(waiting.answer),
                queue: Arc::clone(self),
            });
        }
        drop(state);
        refuse(too_late, &LoadError::Overloaded);
        let now = asked.iter().map(|asked| asked.now).max()?;
        let span = asked.into_iter().map(|asked| asked.span).find(|span| !span.is_none());
        Some(Batch { loads, now, span: span.unwrap_or(Span::none()) })
    }

    /// A turn is over. Is another to follow it? Not if there are fewer at present than are taken.
    pub(super) fn end_turn(&self, turns: usize) -> bool {
        let mut state = self.state.lock();
        let waits = !state.waiting.is_empty() || !state.in_background.is_empty();
        let goes_on = waits && state.turns_taken <= turns.max(1);
        state.turns_taken -= usize::from(!goes_on);
        goes_on
    }

    /// Notes how reading so many tenants went. Once the database has begun to fail, nobody waits
    /// for their turn to find that out.
    pub(super) fn note<T>(&self, count: usize, outcome: &Result<T, StoreError>) {
        let batch = match outcome {
            Ok(_) => (self.batch.load(Ordering::Relaxed) * 2).min(MAX_BATCH),
            // It may have been too much at once.
            Err(_) => (count / 2).max(1),
        };
        self.batch.store(batch, Ordering::Relaxed);
        self.note_other(outcome);
    }

    /// Notes how asking the database for something else went.
    pub(super) fn note_other<T>(&self, outcome: &Result<T, StoreError>) {
        if self.breaker.note(outcome) {
            self.fail_waiting();
        }
    }

    fn fail_waiting(&self) {
        let mut failed = Vec::new();
        let mut state = self.state.lock();
        while let Some((QueuePlace { key, number }, waiting)) = state.next() {
            state.strike_off(&key, number);
            failed.push(waiting.answer);
        }
        drop(state);
        refuse(failed, &LoadError::Failing);
    }
}

impl Joined {
    fn ended(outcome: Result<Known, LoadError>) -> Self {
        let outcome = ready(outcome).boxed().shared();
        Self { outcome, starts_a_turn: false, give_up_at: None }
    }

    /// What the load comes to, or that the database is failing.
    pub(super) async fn wait(self) -> Result<Known, LoadError> {
        match self.give_up_at {
            None => self.outcome.await,
            Some(at) => timeout_at(at, self.outcome).await.unwrap_or(Err(LoadError::Failing)),
        }
    }
}

impl StartedLoad {
    /// Answers those who wait for it. What was loaded is in place.
    pub(super) fn end(mut self, outcome: Result<Known, LoadError>) {
        let answer = self.answer.take();
        // Struck off first: whoever comes from now on finds what is held.
        drop(self);
        // Nobody waits for it any more where this fails.
        _ = answer.map(|answer| answer.send(outcome));
    }
}

impl Drop for StartedLoad {
    fn drop(&mut self) {
        self.queue.state.lock().strike_off(&self.key, self.number);
    }
}

fn refuse(answers: Vec<oneshot::Sender<Result<Known, LoadError>>>, error: &LoadError) {
    for answer in answers {
        // Nobody waits for it any more where this fails.
        _ = answer.send(Err(error.clone()));
    }
}
