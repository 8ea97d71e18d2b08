//! Which connections there are, and who waits for one.

use std::collections::VecDeque;

use sqlx::PgConnection;
use tokio::{
    sync::oneshot,
    time::{Duration, Instant},
};

use super::{
    Limits,
    lease::Lease,
    share::{Each, Purpose, Shares},
};
use crate::store::StoreError;

/// A connection that nothing has used for this long is closed.
const IDLE: Duration = Duration::from_mins(10);

/// What could not be opened longer ago than this says nothing about now.
const RECENT: Duration = Duration::from_secs(10);

/// A connection that nobody uses.
pub(super) struct Idle {
    pub(super) connection: PgConnection,
    pub(super) opened: Instant,
    pub(super) since: Instant,
    /// The number of the address that it was opened with.
    pub(super) address: u64,
}

pub(super) type Answer = oneshot::Sender<Result<Lease, StoreError>>;

pub(super) struct Waiter {
    pub(super) since: Instant,
    pub(super) answer: Answer,
}

/// The database has refused a connection for their number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    /// So many it gave.
    pub(super) granted: usize,
    /// Not before then is it asked for more.
    pub(super) until: Instant,
    /// How long that was.
    pub(super) pause: Duration,
    /// When the log was last told.
    pub(super) told: Instant,
}

/// Why a connection could not be opened.
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// May that pass within a moment?
    pub(super) is_passing: bool,
    /// Not before then is it tried again, while there are others, or if it does not pass.
    pub(super) until: Instant,
}

impl Failure {
    /// Does it say anything about now?
    pub(super) fn is_recent(&self, now: Instant) -> bool {
        now < self.until + RECENT
    }
}

#[derive(Default)]
pub(super) struct State {
    /// The one that was used last is the last.
    idle: VecDeque<Idle>,
    /// Connections that exist, and places for those that others open.
    pub(super) open: usize,
    pub(super) places: usize,
    pub(super) opening: usize,
    pub(super) in_use: Each<usize>,
    pub(super) lines: Each<VecDeque<Waiter>>,
    pub(super) refusal: Option<Refusal>,
    /// Why the last one could not be opened; `None`: it could.
    pub(super) failure: Option<Failure>,
    /// When the log was last told of one.
    pub(super) told: Option<Instant>,
    pub(super) is_closed: bool,
}

/// What is to be done once the state is no longer locked.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) handed: Vec<(Answer, Idle, Purpose)>,
    pub(super) to_open: usize,
    pub(super) expired: Vec<Idle>,
}

impl State {
    /// How many connections there may be, as far as is known.
    pub(super) fn allowed(&self, limits: &Limits) -> usize {
        self.refusal.map_or(limits.most, |refusal| refusal.granted.clamp(1, limits.most))
    }

    pub(super) fn shares(&self, limits: &Limits) -> Shares {
        limits.shares(self.allowed(limits))
    }

    /// Connections that can serve those who wait, now or once they come back.
    pub(super) fn usable(&self) -> usize {
        self.open - self.places
    }

    /// Why nobody needs to wait: there is no connection, and another was just tried in vain.
    pub(super) fn is_in_vain(&self, now: Instant) -> Option<StoreError> {
        let failure = self.failure.as_ref().filter(|failure| !failure.is_passing)?;
        (self.usable() == 0 && now < failure.until).then(|| failure.error.clone())
    }

    /// Is everything as wanted, so that a connection can be replaced by a younger one?
    pub(super) fn can_replace(&self) -> bool {
        self.failure.is_none() && self.refusal.is_none()
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(super) fn has_waiters(&mut self) -> bool {
        self.forget_those_who_left();
        Purpose::ALL.iter().any(|purpose| !self.lines.of(*purpose).is_empty())
    }

    /// May a place be given away without closing a connection for it?
    pub(super) fn has_room(&self, limits: &Limits) -> bool {
        self.refusal.is_none() && self.open + self.opening < limits.most
    }

    pub(super) fn put_back(&mut self, idle: Idle) {
        self.idle.push_back(idle);
    }

    pub(super) fn take_all_idle(&mut self) -> VecDeque<Idle> {
        std::mem::take(&mut self.idle)
    }

    /// Gives what is idle to those who wait, and decides how many are to be opened.
    pub(super) fn match_up(&mut self, limits: &Limits, now: Instant) -> Orders {
        self.forget_those_who_left();
        let mut orders = Orders::default();
        if self.is_closed {
            return orders;
        }
        while let Some(purpose) = self.next(limits) {
            let Some(idle) = self.idle.pop_back() else { break };
            let Some(waiter) = self.lines.of_mut(purpose).pop_front() else { break };
            *self.in_use.of_mut(purpose) += 1;
            orders.handed.push((waiter.answer, idle, purpose));
        }
        orders.to_open = self.to_open(limits, now);
        self.opening += orders.to_open;
        let is_expired = |idle: &Idle| now.duration_since(idle.since) > IDLE;
        // None is given up while another may not be had.
        while self.failure.is_none() && self.idle.front().is_some_and(is_expired) {
            orders.expired.extend(self.idle.pop_front());
        }
        orders
    }

    /// Whose turn it is.
    fn next(&self, limits: &Limits) -> Option<Purpose> {
        let shares = self.shares(limits);
        let since = |purpose: Purpose| {
            let first = self.lines.of(purpose).front()?;
            shares.allow(purpose, self.in_use).then_some(first.since)
        };
        if since(Purpose::Watching).is_some() {
            return Some(Purpose::Watching);
        }
        match (since(Purpose::Loading), since(Purpose::Writing)) {
            (Some(load), Some(write)) if write < load => Some(Purpose::Writing),
            (Some(_), _) => Some(Purpose::Loading),
            (None, write) => write.map(|_| Purpose::Writing),
        }
    }

    fn to_open(&self, limits: &Limits, now: Instant) -> usize {
        let wanted = self.admissible(limits).saturating_sub(self.opening);
        let room = self.allowed(limits).saturating_sub(self.open + self.opening);
        // While none can be opened, one at a time finds out whether that is still so.
        let at_once = match &self.failure {
            None => usize::MAX,
            Some(failure) if self.usable() > 0 && now < failure.until => 0,
            Some(_) => 1_usize.saturating_sub(self.opening),
        };
        let opens = wanted.min(room).min(at_once);
        // Perhaps there are more by now. Who uses them takes no more turns than there are, so that
        // nobody needs to be waiting for one.
        let is_worth_asking = self.refusal.is_some_and(|refusal| now >= refusal.until)
            && self.failure.as_ref().is_none_or(|failure| now >= failure.until)
            && self.opening == 0
            && self.open < limits.most;
        opens.max(usize::from(is_worth_asking))
    }

    /// How many of those who wait could be served, if there were connections enough.
    fn admissible(&self, limits: &Limits) -> usize {
        let shares = self.shares(limits);
        let mut in_use = self.in_use;
        let mut count = 0;
        for purpose in Purpose::ALL {
            for _ in 0..self.lines.of(purpose).len() {
                if !shares.allow(purpose, in_use) {
                    break;
                }
                *in_use.of_mut(purpose) += 1;
                count += 1;
            }
        }
        count
    }

    fn forget_those_who_left(&mut self) {
        for purpose in Purpose::ALL {
            self.lines.of_mut(purpose).retain(|waiter| !waiter.answer.is_closed());
        }
    }

    /// Everybody who waits.
    pub(super) fn take_all_waiters(&mut self) -> Vec<Answer> {
        let lines = Purpose::ALL.map(|purpose| std::mem::take(self.lines.of_mut(purpose)));
        lines.into_iter().flatten().map(|waiter| waiter.answer).collect()
    }
}
