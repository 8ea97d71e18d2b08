//! Turns to read from the database past the cache, shared fairly: a caller with many requests waits
//! behind its own requests, not ahead of others.

use std::{collections::VecDeque, hash::BuildHasher, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;
use tokio::{sync::oneshot, time::timeout};

use super::LoadError;

/// Who wants a turn. Two requesters with equal numbers share the turns of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Requester(u64);

impl Requester {
    /// Used if callers have no names: everybody is one requester.
    pub const ANYBODY: Self = Self(0);

    /// The requester with this name; [`Self::ANYBODY`] if it is empty.
    pub fn called(name: &str) -> Self {
        if name.is_empty() { Self::ANYBODY } else { Self(FxBuildHasher.hash_one(name)) }
    }
}

/// A limit on concurrent turns.
#[derive(Clone, Debug)]
pub(super) struct FairLimiter(Arc<Limiter>);

#[derive(Debug)]
struct Limiter {
    limits: LimiterSettings,
    state: Mutex<LimiterState>,
}

/// How many turns there are, and how many may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimiterSettings {
    /// Concurrent turns.
    pub(super) turns: usize,
    /// Requests that may wait at a time.
    pub(super) waiting: usize,
    /// How many of them may be of one requester.
    pub(super) waiting_each: usize,
    /// How long a request may wait.
    pub(super) patience: Duration,
}

#[derive(Debug, Default)]
struct LimiterState {
    taken: Vec<Requester>,
    /// The queue at the front has the next turn, and then waits behind the others.
    lines: VecDeque<CallerQueue>,
}

/// The waiting requests of one requester. Never empty.
#[derive(Debug)]
struct CallerQueue {
    requester: Requester,
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

/// A turn, which ends when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    shared: Arc<Limiter>,
    requester: Requester,
}

impl FairLimiter {
    pub(super) fn new(limits: LimiterSettings) -> Self {
        Self(Arc::new(Limiter { limits, state: Mutex::default() }))
    }

    /// Waits for a turn.
    pub(super) async fn take(&self, requester: Requester) -> Result<Permit, LoadError> {
        let waiting = {
            let mut state = self.0.state.lock();
            if state.lines.is_empty() && self.0.may_have_another(&state, requester) {
                return Ok(self.0.begin(&mut state, requester));
            }
            self.0.join(&mut state, requester)?
        };
        self.0.hand_out();
        let turn =
            timeout(self.0.limits.patience, waiting).await.map_err(|_| LoadError::Overloaded)?;
        turn.map_err(|_| LoadError::Abandoned)
    }
}

impl Limiter {
    /// Is a turn free for this requester? If there may be other requesters, one of them never has
    /// all turns, unless there is only one turn.
    fn may_have_another(&self, state: &LimiterState, requester: Requester) -> bool {
        let turns = self.limits.turns;
        let most =
            if requester == Requester::ANYBODY { turns } else { turns.saturating_sub(1).max(1) };
        let own = state.taken.iter().filter(|one| **one == requester).count();
        state.taken.len() < turns && own < most
    }

    fn begin(self: &Arc<Self>, state: &mut LimiterState, requester: Requester) -> Permit {
        state.taken.push(requester);
        Permit { shared: Arc::clone(self), requester }
    }

    fn join(
        &self,
        state: &mut LimiterState,
        requester: Requester,
    ) -> Result<oneshot::Receiver<Permit>, LoadError> {
        for line in &mut state.lines {
            // A caller that has given up no longer waits.
            line.waiting.retain(|waiting| !waiting.is_closed());
        }
        state.lines.retain(|line| !line.waiting.is_empty());
        let all: usize = state.lines.iter().map(|line| line.waiting.len()).sum();
        let (sender, receiver) = oneshot::channel();
        let own = state.lines.iter_mut().find(|line| line.requester == requester);
        if all >= self.limits.waiting
            || own.as_ref().is_some_and(|line| line.waiting.len() >= self.limits.waiting_each)
        {
            return Err(LoadError::Overloaded);
        }
        match own {
            Some(line) => line.waiting.push_back(sender),
            None => {
                state.lines.push_back(CallerQueue { requester, waiting: VecDeque::from([sender]) });
            }
        }
        Ok(receiver)
    }

    /// Gives what is free to those whose turn it is.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            let next =
                state.lines.iter().position(|line| self.may_have_another(&state, line.requester));
            let Some(mut line) = next.and_then(|next| state.lines.remove(next)) else { return };
            let waiting = line.waiting.pop_front();
            let requester = line.requester;
            if !line.waiting.is_empty() {
                state.lines.push_back(line);
            }
            let turn = self.begin(&mut state, requester);
            drop(state);
            // A caller that has given up does not take its turn: the turn ends here, and the next
            // caller gets it.
            drop(waiting.map(|waiting| waiting.send(turn)));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state.lock();
            if let Some(place) = state.taken.iter().position(|one| *one == self.requester) {
                state.taken.swap_remove(place);
            }
        }
        self.shared.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn turns(turns: usize) -> FairLimiter {
        let patience = Duration::from_secs(1);
        FairLimiter::new(LimiterSettings { turns, waiting: 10, waiting_each: 5, patience })
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_last_is_not_behind_all_that_another_has_asked_for() {
        let turns = turns(2);
        let [greedy, modest] = ["greedy", "modest"].map(Requester::called);
        let mut had = vec![turns.take(greedy).await.unwrap()];
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(turns.take(greedy))).collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none(), "one never has all of them");
        }
        let own = turns.take(modest).await.unwrap();
        let mut next = Box::pin(turns.take(modest));
        assert!((&mut next).now_or_never().is_none());
        drop(had.pop());
        assert!((&mut waiting[0]).now_or_never().is_some(), "it was first");
        drop(own);
        assert!((&mut next).now_or_never().unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_wait_and_for_so_long() {
        let turns = turns(1);
        let requesters = ["a", "b", "c"].map(Requester::called);
        let held = turns.take(requesters[0]).await.unwrap();
        let mut waiting = Vec::new();
        for requester in requesters {
            for _ in 0..6 {
                let mut one = Box::pin(turns.take(requester));
                match (&mut one).now_or_never() {
                    None => waiting.push(one),
                    Some(refused) => assert!(matches!(refused, Err(LoadError::Overloaded))),
                }
            }
        }
        assert_eq!(waiting.len(), 10, "five of one, and ten of all");
        assert!(
            matches!(waiting.pop().unwrap().await, Err(LoadError::Overloaded)),
            "not for longer than a second"
        );
        drop(waiting);
        // Nobody is there any more who would take it.
        drop(held);
        turns.take(requesters[2]).await.unwrap();
    }
}
