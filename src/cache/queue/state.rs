//! Which loads there are, and which of them wait.

use std::collections::{HashMap, VecDeque};

use futures_util::FutureExt;
use tokio::{sync::oneshot, time::Instant};

use super::{LoadOutcome, LoadRequest, MAX_WAITING, MAX_WAITING_IN_BACKGROUND, Priority};
use crate::{
    cache::{Known, LoadError},
    store::TenantKey,
};

#[derive(Default)]
pub(super) struct QueueState {
    pub(super) loads: HashMap<TenantKey, Load>,
    /// In the order in which they were asked for. What has begun, or was struck off, is passed
    /// over.
    pub(super) waiting: VecDeque<QueuePlace>,
    pub(super) in_background: VecDeque<QueuePlace>,
    pub(super) turns_taken: usize,
    last_number: u64,
}

/// A load's place in a line. It may have been struck off, and another one be there for its tenant.
pub(super) struct QueuePlace {
    pub(super) key: TenantKey,
    pub(super) number: u64,
}

pub(super) struct Load {
    number: u64,
    asked_at: Instant,
    outcome: LoadOutcome,
    /// `None`: it has begun.
    pub(super) waiting: Option<Waiting>,
}

pub(super) struct Waiting {
    pub(super) asked: LoadRequest,
    pub(super) since: Instant,
    pub(super) answer: oneshot::Sender<Result<Known, LoadError>>,
}

impl QueueState {
    /// Joins the load of this tenant, if there is one, and says when it was asked for first. It comes
    /// forward where a caller joins one that no caller waited for.
    pub(super) fn join(
        &mut self,
        key: &TenantKey,
        priority: Priority,
    ) -> Option<(LoadOutcome, Instant)> {
        let load = self.loads.get_mut(key)?;
        if let Some(waiting) = &mut load.waiting
            && waiting.asked.priority == Priority::Background
            && priority == Priority::Caller
        {
            waiting.asked.priority = Priority::Caller;
            waiting.since = Instant::now();
            self.waiting.push_back(QueuePlace { key: key.clone(), number: load.number });
        }
        Some((load.outcome.clone(), load.asked_at))
    }

    pub(super) fn is_full(&self, priority: Priority) -> bool {
        match priority {
            Priority::Caller => self.waiting.len() >= MAX_WAITING,
            Priority::Background => self.in_background.len() >= MAX_WAITING_IN_BACKGROUND,
        }
    }

    pub(super) fn add(&mut self, key: TenantKey, asked: LoadRequest) -> LoadOutcome {
        let (answer, outcome) = oneshot::channel();
        // A load that panics, or a process that stops, drops the other end.
        let outcome =
            outcome.map(|outcome| outcome.unwrap_or(Err(LoadError::Abandoned))).boxed().shared();
        self.last_number += 1;
        let place = QueuePlace { key: key.clone(), number: self.last_number };
        match asked.priority {
            Priority::Caller => self.waiting.push_back(place),
            Priority::Background => self.in_background.push_back(place),
        }
        let asked_at = Instant::now();
        let waiting = Some(Waiting { asked, since: asked_at, answer });
        let load = Load { number: self.last_number, asked_at, outcome: outcome.clone(), waiting };
        self.loads.insert(key, load);
        outcome
    }

    /// The load whose turn it is. It waits no longer.
    pub(super) fn next(&mut self) -> Option<(QueuePlace, Waiting)> {
        loop {
            let place = self.waiting.pop_front().or_else(|| self.in_background.pop_front())?;
            let load = self.loads.get_mut(&place.key).filter(|load| load.number == place.number);
            if let Some(waiting) = load.and_then(|load| load.waiting.take()) {
                return Some((place, waiting));
            }
        }
    }

    /// It may have been forgotten, and another load be there.
    pub(super) fn strike_off(&mut self, key: &TenantKey, number: u64) {
        if self.loads.get(key).is_some_and(|load| load.number == number) {
            self.loads.remove(key);
        }
    }
}
