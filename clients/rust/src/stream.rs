//! What the change stream says about everything that is held: how far it can be trusted.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::clock::{ALWAYS, Micros, NEVER, is_within};

/// A stream is not trusted that has been silent for so many times the interval at which its server
/// sends something.
const INTERVALS: Micros = 4;
/// The same for a server that does not say how often it sends something: every 10 s.
const SILENCE: Micros = 30_000_000;
/// A server that has not heard from its own database for this long is not trusted to report
/// changes.
const LAG: Micros = 10_000_000;
/// The number of eras for which it is remembered how long the server vouched for what was held
/// then.
const MOST_ERAS: usize = 64;
/// A server that has not received a change yet gives unmarked answers for at most this long: then it
/// either has, or knows that it does not hear.
const SETTLING: Micros = 4_000_000;

/// The state of the stream, as far as it matters to what is held.
///
/// An era begins when a stream opens, and when anything may have changed. What was asked for in the
/// present era is good while the stream lives; what was asked for before the last reset is
/// outdated.
#[derive(Debug)]
pub(crate) struct Stream {
    era: AtomicU64,
    /// From when on no server answers any more with what was before the last thing that was told
    /// without a revision.
    settled: AtomicI64,
    reset: AtomicU64,
    /// Of the database, which may have been restored: revisions of one say nothing in another.
    history: AtomicU64,
    is_open: AtomicBool,
    heard: AtomicI64,
    /// The last instant that a heartbeat has vouched for, whatever came after it.
    vouched: AtomicI64,
    /// When the last event came, whatever it said.
    last_event: AtomicI64,
    /// How often its server sends something; 0: it does not say.
    interval: AtomicI64,
    /// From when on what was asked for before is in doubt: since the server has said that it may
    /// miss changes, or when it will have been silent for too long.
    doubted: AtomicI64,
    past: Mutex<VecDeque<Past>>,
}

/// An era that has ended.
#[derive(Clone, Copy, Debug)]
struct Past {
    era: u64,
    vouched: Micros,
    doubted: Micros,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            era: 1.into(),
            settled: ALWAYS.into(),
            reset: 0.into(),
            history: 1.into(),
            is_open: false.into(),
            heard: ALWAYS.into(),
            vouched: ALWAYS.into(),
            last_event: ALWAYS.into(),
            interval: 0.into(),
            doubted: NEVER.into(),
            past: Mutex::default(),
        }
    }
}

impl Stream {
    pub(crate) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    pub(crate) fn history(&self) -> u64 {
        self.history.load(Ordering::Acquire)
    }

    /// The stream has opened: from here on nothing is missed. Whether its server receives changes,
    /// the first heartbeat says. `interval`: how often they come, if the server says so.
    pub(crate) fn open(&self, interval: Option<Micros>, now: Micros) {
        self.settle(now);
        self.end_era();
        let doubted = self.doubted.swap(NEVER, Ordering::AcqRel);
        for past in self.past.lock().iter_mut() {
            past.doubted = past.doubted.min(doubted);
        }
        self.hear(ALWAYS);
        self.set_interval(interval);
        self.history.fetch_add(1, Ordering::AcqRel);
        self.is_open.store(true, Ordering::Release);
    }

    /// The stream has ended.
    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::Release);
    }

    /// Is it open, and was it opened after this era?
    pub(crate) fn has_opened_since(&self, era: u64) -> bool {
        self.is_open.load(Ordering::Acquire) && self.era() != era
    }

    /// An event has come.
    pub(crate) fn event(&self, now: Micros) {
        self.last_event.store(now, Ordering::Release);
    }

    /// Is it open, and silent for so long that the server cannot be expected to answer?
    pub(crate) fn is_silent(&self, now: Micros) -> bool {
        self.is_open.load(Ordering::Acquire)
            && !is_within(self.patience(), self.last_event.load(Ordering::Acquire), now)
    }

    /// A heartbeat, which vouches for this instant.
    pub(crate) fn beat(&self, heard: Micros, now: Micros) {
        self.hear(heard);
        if heard == ALWAYS && self.interval.load(Ordering::Acquire) > 0 {
            self.doubted.fetch_min(now, Ordering::AcqRel);
        }
    }

    /// Another stream is read from now on, and nothing was missed. Its server last reported at this
    /// instant.
    pub(crate) fn taken_over(&self, heard: Micros, interval: Option<Micros>, now: Micros) {
        self.set_interval(interval);
        self.beat(heard, now);
    }

    fn hear(&self, heard: Micros) {
        self.heard.store(heard, Ordering::Release);
        if heard != ALWAYS {
            self.vouched.store(heard, Ordering::Release);
            let is_prompt = self.interval.load(Ordering::Acquire) > 0;
            let doubted = if is_prompt { heard + self.patience() } else { NEVER };
            self.doubted.store(doubted, Ordering::Release);
        }
    }

    fn set_interval(&self, interval: Option<Micros>) {
        self.interval.store(interval.unwrap_or(0), Ordering::Release);
    }

    /// For how long it is trusted without a heartbeat.
    fn patience(&self) -> Micros {
        match self.interval.load(Ordering::Acquire) {
            0 => SILENCE,
            interval => interval * INTERVALS,
        }
    }

    /// Is what was asked for at this instant, in this era, in doubt, however long the server has
    /// allowed it to be held?
    pub(crate) fn is_doubted(&self, era: u64, asked: Micros, now: Micros) -> bool {
        let has_passed = |doubted| asked < doubted && doubted <= now;
        has_passed(self.doubted.load(Ordering::Acquire))
            || era != self.era() && self.past(era).is_none_or(|past| has_passed(past.doubted))
    }

    /// Something has changed, and of answers nobody can tell whether they are from before or after.
    pub(crate) fn settle(&self, now: Micros) {
        self.settled.store(now + SETTLING, Ordering::Release);
    }

    /// May a server still answer with what was before? A clock that is set back does not make that
    /// longer.
    pub(crate) fn is_settling(&self, now: Micros) -> bool {
        let left = self.settled.load(Ordering::Acquire).saturating_sub(now);
        (1..=SETTLING).contains(&left)
    }

    /// Anything may have changed.
    pub(crate) fn outdate(&self) {
        let era = self.end_era();
        self.reset.store(era, Ordering::Release);
    }

    /// The same, and revisions may begin anew.
    pub(crate) fn reset(&self, now: Micros) {
        self.settle(now);
        self.history.fetch_add(1, Ordering::AcqRel);
        self.outdate();
    }

    fn end_era(&self) -> u64 {
        let mut past = self.past.lock();
        let ended = self.era.fetch_add(1, Ordering::AcqRel);
        let vouched = self.vouched.load(Ordering::Acquire);
        let doubted = self.doubted.load(Ordering::Acquire);
        past.push_back(Past { era: ended, vouched, doubted });
        if past.len() > MOST_ERAS {
            past.pop_front();
        }
        ended + 1
    }

    fn past(&self, era: u64) -> Option<Past> {
        self.past.lock().iter().find(|past| past.era == era).copied()
    }

    /// Would every change of what was asked for in this era have been received?
    pub(crate) fn vouches(&self, era: u64, now: Micros) -> bool {
        era == self.era() && self.is_trusted(now)
    }

    /// Does its server tell of every change?
    pub(crate) fn is_trusted(&self, now: Micros) -> bool {
        self.is_open.load(Ordering::Acquire)
            && is_within(self.patience(), self.heard.load(Ordering::Acquire), now)
    }

    /// May what was asked for in this era have changed since, going by what was received?
    pub(crate) fn has_outdated(&self, era: u64) -> bool {
        era < self.reset.load(Ordering::Acquire)
    }

    /// Until when the server vouched for what was asked for in an era.
    pub(crate) fn vouched(&self, era: u64) -> Micros {
        if era == self.era() {
            return self.vouched.load(Ordering::Acquire);
        }
        self.past(era).map_or(ALWAYS, |past| past.vouched)
    }
}

/// The instant that a heartbeat vouches for: a server that lags too much counts as silent.
pub(crate) fn heard_at(lag: Micros, unproven: bool, now: Micros) -> Micros {
    if lag < LAG && !unproven { now } else { ALWAYS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_since_it_opened_is_vouched_for() {
        let stream = Stream::default();
        let before = stream.era();
        stream.open(None, -SETTLING);
        assert!(!stream.vouches(stream.era(), 0), "no heartbeat has come");
        stream.beat(0, 0);
        assert!(!stream.vouches(before, 1) && stream.vouches(stream.era(), 1));
        assert!(!stream.has_outdated(before), "it is good for its max_age");
        stream.close();
        assert!(!stream.vouches(stream.era(), 1));
    }

    #[test]
    fn a_stream_that_is_silent_or_lags_vouches_for_nothing_until_it_is_heard_again() {
        let stream = Stream::default();
        stream.open(None, -SETTLING);
        stream.beat(0, 0);
        assert!(
            stream.vouches(stream.era(), SILENCE - 1) && !stream.vouches(stream.era(), SILENCE)
        );
        stream.beat(ALWAYS, SILENCE);
        assert!(!stream.vouches(stream.era(), SILENCE));
        stream.beat(SILENCE, SILENCE);
        assert!(stream.vouches(stream.era(), SILENCE));
    }

    #[test]
    fn a_server_that_lags_does_not_take_away_what_was_vouched_for_before() {
        let stream = Stream::default();
        stream.open(None, -SETTLING);
        stream.beat(7, 7);
        stream.beat(ALWAYS, 9);
        assert!(!stream.vouches(stream.era(), 9));
        assert_eq!(stream.vouched(stream.era()), 7);
        stream.taken_over(ALWAYS, None, 9);
        assert_eq!(stream.vouched(stream.era()), 7);
    }

    #[test]
    fn a_reset_outdates_what_was_asked_for_before_and_not_what_is_asked_for_after() {
        let stream = Stream::default();
        stream.open(None, -SETTLING);
        let before = stream.era();
        stream.beat(5, 5);
        stream.reset(-SETTLING);
        assert!(stream.has_outdated(before) && !stream.has_outdated(stream.era()));
        assert!(stream.vouches(stream.era(), 6));
        assert_eq!(stream.vouched(before), 5);
    }

    #[test]
    fn where_heartbeats_are_prompt_silence_and_doubt_take_what_is_held_and_a_lost_stream_gives_none_back()
     {
        const SECOND: Micros = 1_000_000;
        let stream = Stream::default();
        let first = stream.era();
        stream.open(Some(SECOND), -SETTLING);
        stream.beat(0, 0);
        let era = stream.era();
        assert!(stream.vouches(era, 4 * SECOND - 1) && !stream.vouches(era, 4 * SECOND));
        assert!(!stream.is_doubted(first, -SECOND, 4 * SECOND - 1), "it is good for its max_age");
        assert!(
            stream.is_doubted(first, -SECOND, 4 * SECOND) && stream.is_doubted(era, 1, 4 * SECOND)
        );

        stream.beat(5 * SECOND, 5 * SECOND);
        assert!(!stream.is_doubted(era, 1, 6 * SECOND), "nothing was missed");
        stream.beat(ALWAYS, 6 * SECOND);
        assert!(!stream.vouches(era, 6 * SECOND) && stream.is_doubted(era, 1, 6 * SECOND));
        assert!(!stream.is_doubted(era, 6 * SECOND, 6 * SECOND), "the server has marked it");
        stream.beat(ALWAYS, 7 * SECOND);
        assert!(!stream.is_doubted(era, 6 * SECOND, 7 * SECOND), "it began before");

        stream.close();
        stream.open(Some(SECOND), -SETTLING);
        stream.beat(9 * SECOND, 9 * SECOND);
        assert!(stream.is_doubted(era, 1, 9 * SECOND), "another stream knows nothing of it");
        assert!(!stream.is_doubted(stream.era(), 9 * SECOND, 9 * SECOND));
    }
}
