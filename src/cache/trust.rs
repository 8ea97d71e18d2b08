//! How far what is held can be trusted, as far as the change feed knows.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::clock::Uptime;

/// The first epoch; 0 marks outdated facts, and [`NONE`] is no epoch.
const FIRST: u32 = 2;
/// While this is the trusted epoch, nothing that is held belongs to it.
const NONE: u32 = 1;

/// The state of the change feed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FeedState {
    /// There is none: what is held is trusted for its time to live.
    Off,
    /// Every change is received: what is held is valid until a change arrives.
    Live,
    /// Changes may be missed: what is held is suspect until it has been checked again.
    Suspect,
}

/// What the feed vouches for.
#[derive(Debug)]
pub(super) struct Trust {
    /// A [`Trusted`], packed. Read on every look-up.
    trusted: AtomicU64,
    /// Until when the last proof that changes are received is good: an [`Uptime`]. A process that was
    /// stopped, or whose machine was suspended, has not been told of anything, and answers before
    /// its feed has noticed.
    proven_until: AtomicU64,
    state: Mutex<TrustState>,
}

/// Which of the facts that are held are trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Trusted {
    /// The epoch whose facts are trusted; [`NONE`] while the feed is suspect.
    pub(super) epoch: u32,
    /// Every change is received, so that age does not matter.
    pub(super) is_fed: bool,
}

impl Trusted {
    fn of(state: TrustState) -> Self {
        let epoch = if state.feed == FeedState::Suspect { NONE } else { state.epoch };
        Self { epoch, is_fed: state.feed == FeedState::Live }
    }

    fn pack(self) -> u64 {
        u64::from(self.epoch) << 1 | u64::from(self.is_fed)
    }

    fn unpack(packed: u64) -> Self {
        // The upper half of what was packed is empty.
        Self { epoch: u32::try_from(packed >> 1).unwrap_or(NONE), is_fed: packed & 1 == 1 }
    }
}

#[derive(Clone, Copy, Debug)]
struct TrustState {
    feed: FeedState,
    /// Grows when anything may have changed.
    epoch: u32,
    /// When the database last answered the feed.
    last_proof: Option<DateTime<Utc>>,
    /// Did it answer the last time it was asked?
    is_answered: bool,
}

impl Trust {
    /// The state without a feed.
    pub(super) fn new() -> Self {
        let state =
            TrustState { feed: FeedState::Off, epoch: FIRST, last_proof: None, is_answered: true };
        Self {
            trusted: Trusted::of(state).pack().into(),
            proven_until: Uptime::NEVER.nanos().into(),
            state: Mutex::new(state),
        }
    }

    /// What is trusted now.
    pub(super) fn trusted(&self) -> Trusted {
        let trusted = Trusted::unpack(self.trusted.load(Ordering::Acquire));
        if trusted.is_fed && self.is_overdue() {
            Trusted { epoch: NONE, is_fed: false }
        } else {
            trusted
        }
    }

    /// Should the feed have given another proof by now?
    fn is_overdue(&self) -> bool {
        self.proven_until.load(Ordering::Acquire) <= Uptime::now().nanos()
    }

    /// Would facts of this epoch be trusted, were the feed not suspect?
    pub(super) fn was_in(&self, epoch: u32) -> bool {
        epoch == self.state().epoch
    }

    /// The epoch to which facts that are read now will belong.
    pub(super) fn epoch(&self) -> u32 {
        self.state().epoch
    }

    pub(super) fn feed(&self) -> FeedState {
        match self.state().feed {
            FeedState::Live if self.is_overdue() => FeedState::Suspect,
            feed => feed,
        }
    }

    pub(super) fn last_proof(&self) -> Option<DateTime<Utc>> {
        self.state().last_proof
    }

    pub(super) fn is_answered(&self) -> bool {
        self.state().is_answered
    }

    /// The proof that is given next is good until then.
    pub(super) fn prove_until(&self, until: Uptime) {
        self.proven_until.store(until.nanos(), Ordering::Release);
    }

    /// Sets the state of the feed, and when the database has just answered, if it has. Gives the
    /// state before.
    pub(super) fn set(&self, feed: FeedState, proof: Option<DateTime<Utc>>) -> FeedState {
        self.change(|state| {
            state.is_answered = proof.is_some();
            state.last_proof = proof.or(state.last_proof);
            std::mem::replace(&mut state.feed, feed)
        })
    }

    /// Ends the epoch: everything that is held must be read again.
    pub(super) fn end_epoch(&self) {
        // After four billion resets the numbers repeat, skipping 0 and 1.
        self.change(|state| state.epoch = state.epoch.checked_add(1).unwrap_or(FIRST));
    }

    fn change<R>(&self, change: impl FnOnce(&mut TrustState) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        self.trusted.store(Trusted::of(*state).pack(), Ordering::Release);
        result
    }

    fn state(&self) -> TrustState {
        *self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_that_is_overdue_is_trusted_by_nobody_until_there_is_another() {
        let trust = Trust::new();
        let epoch = trust.epoch();
        let fed = Trusted { epoch, is_fed: true };
        trust.prove_until(Uptime::NEVER);
        trust.set(FeedState::Live, None);
        assert_eq!((trust.trusted(), trust.feed()), (fed, FeedState::Live));
        trust.prove_until(Uptime::now());
        assert_eq!(trust.trusted(), Trusted { epoch: NONE, is_fed: false });
        assert!(trust.feed() == FeedState::Suspect && trust.was_in(epoch));
        trust.prove_until(Uptime::NEVER);
        assert_eq!((trust.trusted(), trust.feed()), (fed, FeedState::Live));
        // Without a feed there is nothing to prove.
        trust.set(FeedState::Off, None);
        trust.prove_until(Uptime::now());
        assert_eq!(trust.feed(), FeedState::Off);
        assert_eq!(trust.trusted(), Trusted { epoch, is_fed: false });
    }
}
