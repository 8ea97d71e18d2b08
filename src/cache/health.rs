//! Whether the cache can answer for what it holds, by what the change feed says of itself.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Cache, Event, FeedState};
use crate::{clock::Uptime, store::LoadTenant};

/// Can the cache answer for what it holds?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CacheHealth {
    /// Yes.
    Good,
    /// It serves what it holds, although the database does not answer.
    Stale {
        /// When the database last answered.
        since: DateTime<Utc>,
    },
    /// The database has not answered for longer than stale answers are served.
    TooStale,
}

impl<L: LoadTenant> Cache<L> {
    /// The state of the feed.
    pub fn feed(&self) -> FeedState {
        self.0.trust.trusted().feed
    }

    /// When the database last answered the feed.
    pub fn last_proof(&self) -> Option<DateTime<Utc>> {
        self.0.trust.last_proof()
    }

    /// Can it answer for what it holds?
    pub fn health(&self, now: DateTime<Utc>) -> CacheHealth {
        let heard = self.last_proof();
        // What was restored says nothing of whether the database answers.
        let is_known = heard.is_some() || self.restored().is_none();
        match heard.or(self.restored()) {
            _ if is_known && self.0.trust.is_answered() && self.feed() != FeedState::Suspect => {
                CacheHealth::Good
            }
            Some(since) if self.0.is_within_max_stale(since, now) => CacheHealth::Stale { since },
            _ => CacheHealth::TooStale,
        }
    }

    /// How many changes have been taken in. See [`Source::AnyThatHolds`](crate::store::Source).
    pub fn changes_so_far(&self) -> u64 {
        self.0.change_clock.count()
    }

    /// How long ago the feed last heard from the database, in this process or in the one before; zero
    /// if there is no feed.
    pub fn lag(&self, now: DateTime<Utc>) -> TimeDelta {
        match (self.feed(), self.rests_on()) {
            (FeedState::Off, _) | (_, None) => TimeDelta::zero(),
            (_, Some(proof)) => (now - proof).max(TimeDelta::zero()),
        }
    }

    /// The feed has caught up with the log, and receives every change from here on. `until`: by when
    /// it will have said so again, or else is not to be relied on.
    pub fn trust(&self, now: DateTime<Utc>, until: Uptime) {
        let was_suspect = self.feed() == FeedState::Suspect;
        self.end_what_was_restored(now);
        // The changes that it has found have been taken in by now.
        self.0.trust.prove_until(until);
        self.0.trust.set(FeedState::Live, Some(now));
        if was_suspect {
            self.0.catalogue.ask_again();
            self.notify(Event::Doubt);
        }
        self.0.breaker.close();
        self.0.pass_on_feed();
    }

    /// Changes may be missed from here on: what is held is in doubt, until the feed has caught up.
    pub fn suspect(&self) {
        if self.0.trust.set(FeedState::Suspect, None) == FeedState::Live {
            self.notify(Event::Doubt);
        }
        self.0.pass_on_feed();
    }

    /// There is no feed, or none that can be trusted: the time to live is the limit. `proof`: when
    /// the database has just answered, if it has.
    pub fn feed_off(&self, proof: Option<DateTime<Utc>>) {
        if let Some(now) = proof {
            self.end_what_was_restored(now);
        }
        let was_heard = self.0.trust.set(FeedState::Off, proof) != FeedState::Off;
        if proof.is_some() {
            self.0.breaker.close();
        }
        if was_heard {
            self.notify(Event::FeedOff);
        }
        self.0.pass_on_feed();
    }
}
