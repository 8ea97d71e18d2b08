//! Answers requests on their connection's own task, if they can be answered at once.
//!
//! What pays for it (`cargo bench --bench check`, against a bare tonic service): 0.85 of its requests
//! per second at random instead of 0.83, with 0.99 of its p99 instead of 1.26. See
//! `docs/decisions/0005-requests-answered-on-their-connections-task.md`.

use std::{
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, StreamExt, future::CatchUnwind, stream::FuturesUnordered};
use hyper::rt::Executor;
use parking_lot::Mutex;

use super::{
    stalling::{Exchange, Stalling},
    traffic::{Traffic, TurnEnd},
    unread::Unread,
};

/// The number of requests that a connection has answered before the thread's other connections get
/// their turn. A request with a token to verify takes a hundred times as long as most.
const MAX_IN_A_TURN: usize = 64;

/// Takes the requests that hyper reads from one connection, for each of which hyper would otherwise
/// spawn a task.
///
/// An answer from memory does not wait for anything, so that a task costs more than the decision:
/// it is made, listed, queued and woken. So requests are collected while the connection reads, then
/// polled once. They are not polled as they arrive, because the connection would then write each
/// answer separately.
///
/// Those that have to wait stay on the connection's task, too, for the same reason: when a load ends
/// for which many wait, or a change is announced to many streams, the connection is woken once and
/// writes all answers together. A task each would be woken one by one, and the connection after each.
#[derive(Clone)]
pub(crate) struct InlineExecutor(Arc<ExecutorState>);

struct ExecutorState {
    /// Requests that were read, and have not been polled yet.
    requests: Mutex<Vec<Exchange>>,
    /// Those that have to wait.
    waiting: Mutex<FuturesUnordered<CatchUnwind<AssertUnwindSafe<Stalling>>>>,
    traffic: Traffic,
    unread: Arc<Unread>,
}

/// Why a connection is no longer served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Served<T> {
    Ended(T),
    /// Its peer has just cancelled more requests than it may.
    Spent,
}

/// Drops the requests that nobody will answer when their connection ends. Each of them holds its
/// executor, and would otherwise be held by it forever.
pub(crate) struct DropRequests(InlineExecutor);

impl Drop for DropRequests {
    fn drop(&mut self) {
        // Taken first: nothing is locked while they are dropped.
        let left = mem::take(&mut *self.0.0.requests.lock());
        let waiting = mem::take(&mut *self.0.0.waiting.lock());
        drop((left, waiting));
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for InlineExecutor {
    fn execute(&self, request: F) {
        self.0.requests.lock().push(Box::pin(request));
    }
}

impl InlineExecutor {
    /// For a connection with this traffic and these unread answers.
    pub(crate) fn new(traffic: Traffic, unread: Arc<Unread>) -> Self {
        let (requests, waiting) = (Mutex::default(), Mutex::default());
        Self(Arc::new(ExecutorState { requests, waiting, traffic, unread }))
    }

    /// Must live exactly as long as the connection.
    pub(crate) fn drop_requests_at_the_end(&self) -> DropRequests {
        DropRequests(self.clone())
    }

    /// Serves a connection whose requests are handed to this executor.
    pub(crate) async fn serve<C: Future>(&self, mut connection: Pin<&mut C>) -> Served<C::Output> {
        poll_fn(|context| self.poll(connection.as_mut(), context)).await
    }

    /// Serves a connection that was already asked to leave: cancelled requests no longer end it.
    pub(crate) async fn serve_to_the_end<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
    ) -> C::Output {
        loop {
            if let Served::Ended(ended) = self.serve(connection.as_mut()).await {
                return ended;
            }
        }
    }

    fn poll<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
        context: &mut Context<'_>,
    ) -> Poll<Served<C::Output>> {
        let ExecutorState { requests, traffic, .. } = &*self.0;
        traffic.begin_turn(requests.lock().len());
        self.poll_waiting(context);
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(Served::Ended(ended));
        }
        let turn = self.turn();
        if !turn.is_empty() {
            let begin = |request| self.begin(request, context);
            let wait: Vec<_> = turn.into_iter().filter_map(begin).collect();
            if !wait.is_empty() {
                self.0.waiting.lock().extend(wait);
            }
            // Now the connection writes all answers at once.
            if let Poll::Ready(ended) = connection.poll(context) {
                return Poll::Ready(Served::Ended(ended));
            }
        }
        let TurnEnd { is_paused, is_spent } = traffic.end_turn();
        if is_spent {
            return Poll::Ready(Served::Spent);
        }
        // Requests that are left, were read meanwhile, or could not be read yet get their turn
        // after the other connections.
        if is_paused || !requests.lock().is_empty() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn turn(&self) -> Vec<Exchange> {
        let mut read = self.0.requests.lock();
        if read.len() <= MAX_IN_A_TURN {
            return mem::take(&mut *read);
        }
        read.drain(..MAX_IN_A_TURN).collect()
    }

    /// Polls a request for the first time; returns what is left of it if it has to wait.
    ///
    /// A panic ends only its own request, as it would on a task; so does one while it waits.
    ///
    /// It wakes the connection, and is polled in the turn that follows, whoever caused it; from then
    /// on only if it has something new.
    fn begin(
        &self,
        request: Exchange,
        context: &mut Context<'_>,
    ) -> Option<CatchUnwind<AssertUnwindSafe<Stalling>>> {
        let begin = || Stalling::begin(request, &self.0.unread, context);
        let waits = catch_unwind(AssertUnwindSafe(begin)).ok().flatten()?;
        Some(AssertUnwindSafe(waits).catch_unwind())
    }

    /// Polls those of the waiting requests that have something new.
    fn poll_waiting(&self, context: &mut Context<'_>) {
        let mut waiting = self.0.waiting.lock();
        if waiting.is_empty() {
            return;
        }
        while let Poll::Ready(Some(_)) = waiting.poll_next_unpin(context) {}
    }
}

#[cfg(test)]
mod tests;
