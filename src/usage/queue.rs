//! What waits to be counted.

use std::collections::{HashSet, VecDeque};

use tokio::sync::oneshot;

use super::UsageError;
use crate::{
    domain::MeterId,
    store::{UsageAnswer, UsageRequest},
};

/// A request, and who waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) request: UsageRequest,
    pub(super) answer: oneshot::Sender<Result<UsageAnswer, UsageError>>,
    /// How often it was tried, and found its counter locked. Then it waits for that.
    pub(super) tries: u32,
}

/// What a turn takes along.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) waiting: Vec<Waiting>,
    /// Are counters waited for that somebody else has locked? They are then all of one meter.
    pub(super) waits: bool,
    meters: Vec<MeterId>,
}

/// Requests in the order in which they came, and what the turns are busy with.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    busy: HashSet<MeterId>,
    turns: usize,
    most_turns: usize,
}

impl Queue {
    /// With so many turns at the same time.
    pub(super) fn new(most_turns: usize) -> Self {
        Self { waiting: VecDeque::new(), busy: HashSet::new(), turns: 0, most_turns }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    /// Begins a turn with up to `most` requests, the oldest first. `None`: there is no turn to begin,
    /// or nothing for one.
    pub(super) fn begin(&mut self, most: usize) -> Option<Batch> {
        if self.turns == self.most_turns {
            return None;
        }
        let first = self.waiting.iter().find(|waiting| !self.busy.contains(meter(waiting)))?;
        let (waits, of) = (first.tries > 0, meter(first).clone());
        let mut batch = Batch { waiting: Vec::new(), waits, meters: Vec::new() };
        let mut left = VecDeque::with_capacity(self.waiting.len());
        for waiting in self.waiting.drain(..) {
            let fits = if waits { *meter(&waiting) == of } else { waiting.tries == 0 };
            if fits && batch.waiting.len() < most && !self.busy.contains(meter(&waiting)) {
                batch.waiting.push(waiting);
            } else {
                left.push_back(waiting);
            }
        }
        self.waiting = left;
        let meters: HashSet<MeterId> =
            batch.waiting.iter().map(|waiting| meter(waiting).clone()).collect();
        self.busy.extend(meters.iter().cloned());
        batch.meters = meters.into_iter().collect();
        self.turns += 1;
        Some(batch)
    }

    /// A turn ends. What is to be tried again goes before what came later.
    pub(super) fn end(&mut self, batch: &mut Batch, again: Vec<Waiting>) {
        for meter in batch.meters.drain(..) {
            self.busy.remove(&meter);
        }
        self.turns -= 1;
        for waiting in again.into_iter().rev() {
            self.waiting.push_front(waiting);
        }
    }
}

fn meter(waiting: &Waiting) -> &MeterId {
    &waiting.request.counter.0
}
