//! What waits to be counted.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Instant,
};

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
    /// Since when it is known that somebody else has locked what it needs. Then it waits for that.
    pub(super) locked_since: Option<Instant>,
}

impl Waiting {
    fn meter(&self) -> &MeterId {
        &self.request.counter.0
    }
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
    fresh: VecDeque<Waiting>,
    /// Those that wait for a lock.
    locked: VecDeque<Waiting>,
    of_meter: HashMap<MeterId, usize>,
    busy: HashSet<MeterId>,
    turns: usize,
    /// Those among them that wait for a lock.
    waiting_turns: usize,
    most_turns: usize,
    waited_last: bool,
}

impl Queue {
    /// With so many turns at the same time.
    pub(super) fn new(most_turns: usize) -> Self {
        Self {
            fresh: VecDeque::new(),
            locked: VecDeque::new(),
            of_meter: HashMap::new(),
            busy: HashSet::new(),
            turns: 0,
            waiting_turns: 0,
            most_turns,
            waited_last: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.locked.len()
    }

    /// How many wait for this meter.
    pub(super) fn len_of(&self, meter: &MeterId) -> usize {
        self.of_meter.get(meter).copied().unwrap_or_default()
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        *self.of_meter.entry(waiting.meter().clone()).or_default() += 1;
        if waiting.locked_since.is_some() {
            self.locked.push_back(waiting);
        } else {
            self.fresh.push_back(waiting);
        }
    }

    /// Begins a turn with up to `most` requests, the oldest first. `None`: there is no turn to begin,
    /// or nothing for one. Who waits for a lock never has all turns, and takes the only one in turn
    /// with the others.
    pub(super) fn begin(&mut self, most: usize) -> Option<Batch> {
        if self.turns == self.most_turns {
            return None;
        }
        let is_free = |waiting: &Waiting| !self.busy.contains(waiting.meter());
        let has_fresh = self.fresh.iter().any(is_free);
        let may_wait = self.waiting_turns < self.most_turns.saturating_sub(1).max(1);
        let first_locked = self.locked.iter().find(|waiting| is_free(waiting));
        let locked = first_locked.filter(|_| may_wait && !(has_fresh && self.waited_last));
        let of = locked.map(|waiting| waiting.meter().clone());
        self.waited_last = of.is_some();
        let batch = match of {
            Some(meter) => {
                let mut batch = self.take(most, true, |waiting| *waiting.meter() == meter);
                batch.extend(self.take(most - batch.len(), false, |it| *it.meter() == meter));
                self.waiting_turns += 1;
                Batch { waiting: batch, waits: true, meters: vec![meter] }
            }
            None if has_fresh => {
                let busy = std::mem::take(&mut self.busy);
                let batch = self.take(most, false, |waiting| !busy.contains(waiting.meter()));
                self.busy = busy;
                let meters: HashSet<MeterId> =
                    batch.iter().map(|waiting| waiting.meter().clone()).collect();
                let meters = meters.into_iter().collect();
                Batch { waiting: batch, waits: false, meters }
            }
            None => return None,
        };
        self.busy.extend(batch.meters.iter().cloned());
        self.turns += 1;
        Some(batch)
    }

    /// A turn ends. What is to be tried again waits for its lock.
    pub(super) fn end(&mut self, batch: &mut Batch, again: Vec<Waiting>) {
        for meter in batch.meters.drain(..) {
            self.busy.remove(&meter);
        }
        self.turns -= 1;
        self.waiting_turns -= usize::from(batch.waits);
        for waiting in again {
            self.push(waiting);
        }
    }

    /// Takes everything that waits for the lock of this meter.
    pub(super) fn take_locked(&mut self, meter: &MeterId) -> Vec<Waiting> {
        self.take(usize::MAX, true, |waiting| waiting.meter() == meter)
    }

    fn take(
        &mut self,
        most: usize,
        are_locked: bool,
        fits: impl Fn(&Waiting) -> bool,
    ) -> Vec<Waiting> {
        let queue = if are_locked { &mut self.locked } else { &mut self.fresh };
        let (mut taken, mut left) = (Vec::new(), VecDeque::with_capacity(queue.len()));
        for waiting in queue.drain(..) {
            if taken.len() < most && fits(&waiting) {
                taken.push(waiting);
            } else {
                left.push_back(waiting);
            }
        }
        *queue = left;
        for waiting in &taken {
            if let Some(count) = self.of_meter.get_mut(waiting.meter()) {
                *count -= 1;
                if *count == 0 {
                    self.of_meter.remove(waiting.meter());
                }
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{LimitKind, TenantId, UsageKey},
        store::UsageOp,
    };

    fn waiting(tenant: u128, is_locked: bool) -> Waiting {
        let tenant = TenantId::from(Uuid::from_u128(tenant));
        let meter = MeterId { tenant, meter: "users".into() };
        let op = UsageOp::Release { key: UsageKey::parse("a").unwrap(), only_held: false };
        let (counter, kind) = ((meter, Arc::from("")), LimitKind::Level);
        let request = UsageRequest { counter, kind, modules: None, op };
        let locked_since = is_locked.then(Instant::now);
        Waiting { request, answer: oneshot::channel().0, locked_since }
    }

    fn size(batch: Option<&Batch>) -> Option<(usize, bool)> {
        batch.map(|batch| (batch.waiting.len(), batch.waits))
    }

    #[test]
    fn a_turn_takes_what_waits_but_for_what_others_are_busy_with() {
        let mut queue = Queue::new(3);
        for tenant in [1, 1, 2] {
            queue.push(waiting(tenant, false));
        }
        let mut first = queue.begin(256).unwrap();
        assert_eq!(size(Some(&first)), Some((3, false)));
        for tenant in [1, 3] {
            queue.push(waiting(tenant, false));
        }
        assert_eq!(size(queue.begin(256).as_ref()), Some((1, false)), "1 is busy");
        assert!(queue.begin(256).is_none());
        queue.end(&mut first, Vec::new());
        assert_eq!(size(queue.begin(256).as_ref()), Some((1, false)));
        assert_eq!((queue.len(), queue.of_meter.len()), (0, 0));
    }

    #[test]
    fn who_waits_for_a_lock_leaves_a_turn_to_the_others_or_takes_the_only_one_in_turn() {
        let mut queue = Queue::new(3);
        for tenant in 1..=5 {
            queue.push(waiting(tenant, true));
        }
        assert_eq!(size(queue.begin(256).as_ref()), Some((1, true)));
        assert_eq!(size(queue.begin(256).as_ref()), Some((1, true)));
        assert!(queue.begin(256).is_none());
        queue.push(waiting(9, false));
        assert_eq!(size(queue.begin(256).as_ref()), Some((1, false)));

        let mut only = Queue::new(1);
        let mut waits = Vec::new();
        for tenant in 1..=3 {
            only.push(waiting(tenant, true));
            only.push(waiting(10 + tenant, false));
        }
        while let Some(mut batch) = only.begin(1) {
            waits.push(batch.waits);
            only.end(&mut batch, Vec::new());
        }
        assert_eq!(waits, [true, false, true, false, true, false]);
    }
}
