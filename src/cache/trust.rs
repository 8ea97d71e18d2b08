//! How far what is held can be trusted, as far as the change feed knows.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

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
        Self { trusted: Trusted::of(state).pack().into(), state: Mutex::new(state) }
    }

    /// What is trusted now.
    pub(super) fn trusted(&self) -> Trusted {
        Trusted::unpack(self.trusted.load(Ordering::Acquire))
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
        self.state().feed
    }

    pub(super) fn last_proof(&self) -> Option<DateTime<Utc>> {
        self.state().last_proof
    }

    pub(super) fn is_answered(&self) -> bool {
        self.state().is_answered
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
