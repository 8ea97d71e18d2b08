//! How far what is held can be trusted, as far as the change feed knows.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::relay::RelayedFeed;
use crate::clock::{Moment, Uptime};

/// The first epoch; 0 marks outdated facts.
const FIRST: u32 = 1;

/// The ended epochs that are remembered. What is older counts from when it was read.
const MAX_ENDED: usize = 16;

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

/// How far what is held is trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Trusted {
    /// The epoch of what has not changed, as far as is known.
    pub(super) epoch: u32,
    /// Are changes received?
    pub(super) feed: FeedState,
}

impl Trusted {
    fn pack(self) -> u64 {
        let feed = match self.feed {
            FeedState::Off => 0,
            FeedState::Live => 1,
            FeedState::Suspect => 2,
        };
        u64::from(self.epoch) << 2 | feed
    }

    fn unpack(packed: u64) -> Self {
        let feed = match packed & 3 {
            0 => FeedState::Off,
            1 => FeedState::Live,
            _ => FeedState::Suspect,
        };
        // The upper part of what was packed is empty.
        Self { epoch: u32::try_from(packed >> 2).unwrap_or(0), feed }
    }
}

#[derive(Debug)]
struct TrustState {
    /// Its epoch grows when anything may have changed.
    trusted: Trusted,
    /// When the database last answered the feed.
    last_proof: Option<DateTime<Utc>>,
    /// The same by both clocks, where it answered this process's own question.
    heard_at: Option<Moment>,
    /// Did it answer the last time it was asked?
    is_answered: bool,
    /// The last instant by which every change was received: what belongs to the epoch was so then.
    proven_at: Option<DateTime<Utc>>,
    /// The epochs that have ended last, each with that instant.
    ended: VecDeque<(u32, DateTime<Utc>)>,
}

impl Trust {
    /// The state without a feed.
    pub(super) fn new() -> Self {
        let trusted = Trusted { epoch: FIRST, feed: FeedState::Off };
        Self {
            trusted: trusted.pack().into(),
            proven_until: Uptime::NEVER.nanos().into(),
            state: Mutex::new(TrustState {
                trusted,
                last_proof: None,
                heard_at: None,
                is_answered: true,
                proven_at: None,
                ended: VecDeque::new(),
            }),
        }
    }

    /// What is trusted now.
    pub(super) fn trusted(&self) -> Trusted {
        let trusted = Trusted::unpack(self.trusted.load(Ordering::Acquire));
        if trusted.feed == FeedState::Live && self.is_overdue() {
            Trusted { feed: FeedState::Suspect, ..trusted }
        } else {
            trusted
        }
    }

    /// Should the feed have given another proof by now?
    fn is_overdue(&self) -> bool {
        self.proven_until.load(Ordering::Acquire) <= Uptime::now().nanos()
    }

    pub(super) fn last_proof(&self) -> Option<DateTime<Utc>> {
        self.state.lock().last_proof
    }

    pub(super) fn is_answered(&self) -> bool {
        self.state.lock().is_answered
    }

    /// When the database last answered, by both clocks.
    pub(super) fn heard_at(&self) -> Option<Moment> {
        self.state.lock().heard_at
    }

    /// The last instant at which what belongs to the present epoch is known to have been so; `None`:
    /// no instant but the one at which it was read.
    pub(super) fn proven_at(&self) -> Option<DateTime<Utc>> {
        self.state.lock().proven_at
    }

    /// The same of any epoch.
    pub(super) fn proven_at_in(&self, epoch: u32) -> Option<DateTime<Utc>> {
        let state = self.state.lock();
        if epoch == state.trusted.epoch {
            return state.proven_at;
        }
        state.ended.iter().find(|(ended, _)| *ended == epoch).map(|(_, proven_at)| *proven_at)
    }

    /// What is passed on of it.
    pub(super) fn relayed(&self) -> RelayedFeed {
        let until = Uptime::of_nanos(self.proven_until.load(Ordering::Acquire));
        RelayedFeed { state: self.trusted().feed, proof: self.last_proof(), until }
    }

    /// The database has answered then, though perhaps not whoever asks now.
    pub(super) fn note_proof(&self, proof: Option<DateTime<Utc>>) {
        self.change(|state| state.last_proof = proof.max(state.last_proof));
    }

    /// What is about to be put in place was so then, by what another process has left.
    pub(super) fn restore(&self, proven_at: DateTime<Utc>) {
        self.change(|state| state.proven_at = Some(proven_at));
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
            state.heard_at = proof.map(Moment::now).or(state.heard_at);
            if feed == FeedState::Live {
                state.proven_at = proof.or(state.proven_at);
            }
            std::mem::replace(&mut state.trusted.feed, feed)
        })
    }

    /// Ends the epoch: everything that is held must be read again.
    pub(super) fn end_epoch(&self) {
        // After four billion resets the numbers repeat, skipping 0.
        self.change(|state| {
            if let Some(proven_at) = state.proven_at.take() {
                state.ended.push_back((state.trusted.epoch, proven_at));
            }
            if state.ended.len() > MAX_ENDED {
                state.ended.pop_front();
            }
            state.trusted.epoch = state.trusted.epoch.checked_add(1).unwrap_or(FIRST);
        });
    }

    fn change<R>(&self, change: impl FnOnce(&mut TrustState) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        self.trusted.store(state.trusted.pack(), Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_that_is_overdue_is_trusted_by_nobody_until_there_is_another() {
        let trust = Trust::new();
        let trusted = |feed| Trusted { epoch: FIRST, feed };
        trust.prove_until(Uptime::NEVER);
        trust.set(FeedState::Live, None);
        assert_eq!(trust.trusted(), trusted(FeedState::Live));
        trust.prove_until(Uptime::now());
        assert_eq!(trust.trusted(), trusted(FeedState::Suspect));
        trust.prove_until(Uptime::NEVER);
        assert_eq!(trust.trusted(), trusted(FeedState::Live));
        // Without a feed there is nothing to prove.
        trust.set(FeedState::Off, None);
        trust.prove_until(Uptime::now());
        assert_eq!(trust.trusted(), trusted(FeedState::Off));
    }
}
