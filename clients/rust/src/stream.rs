//! What the change stream says about everything that is held: how far it can be trusted.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::clock::{ALWAYS, Micros, is_within};

/// A stream that has been silent for this long is not trusted: the server sends something every 10
/// s.
const SILENCE: Micros = 30_000_000;
/// A server that has not heard from its own database for this long is not trusted to report
/// changes.
const LAG: Micros = 10_000_000;
/// The number of eras for which it is remembered how long the server vouched for what was held
/// then.
const MOST_ERAS: usize = 64;

/// The state of the stream, as far as it matters to what is held.
///
/// An era begins when a stream opens, and when anything may have changed. What was asked for in the
/// present era is good while the stream lives; what was asked for before the last reset is
/// outdated.
#[derive(Debug)]
pub(crate) struct Stream {
    era: AtomicU64,
    reset: AtomicU64,
    /// Of the database, which may have been restored: revisions of one say nothing in another.
    history: AtomicU64,
    is_open: AtomicBool,
    heard: AtomicI64,
    /// The last instant that a heartbeat has vouched for, whatever came after it.
    vouched: AtomicI64,
    /// When the last event came, whatever it said.
    last_event: AtomicI64,
    past: Mutex<VecDeque<(u64, Micros)>>,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            era: 1.into(),
            reset: 0.into(),
            history: 1.into(),
            is_open: false.into(),
            heard: ALWAYS.into(),
            vouched: ALWAYS.into(),
            last_event: ALWAYS.into(),
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
    /// the first heartbeat says.
    pub(crate) fn open(&self) {
        self.end_era();
        self.hear(ALWAYS);
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
            && !is_within(SILENCE, self.last_event.load(Ordering::Acquire), now)
    }

    /// A heartbeat: the server last heard from its database this long ago.
    pub(crate) fn beat(&self, lag: Micros, now: Micros) {
        self.hear(heard_at(lag, now));
    }

    /// Another stream is read from now on, and nothing was missed. Its server last reported at this
    /// instant.
    pub(crate) fn taken_over(&self, heard: Micros) {
        self.hear(heard);
    }

    fn hear(&self, heard: Micros) {
        self.heard.store(heard, Ordering::Release);
        if heard != ALWAYS {
            self.vouched.store(heard, Ordering::Release);
        }
    }

    /// Anything may have changed.
    pub(crate) fn outdate(&self) {
        let era = self.end_era();
        self.reset.store(era, Ordering::Release);
    }

    /// The same, and revisions may begin anew.
    pub(crate) fn reset(&self) {
        self.history.fetch_add(1, Ordering::AcqRel);
        self.outdate();
    }

    fn end_era(&self) -> u64 {
        let mut past = self.past.lock();
        let ended = self.era.fetch_add(1, Ordering::AcqRel);
        past.push_back((ended, self.vouched.load(Ordering::Acquire)));
        if past.len() > MOST_ERAS {
            past.pop_front();
        }
        ended + 1
    }

    /// Would every change of what was asked for in this era have been received?
    pub(crate) fn vouches(&self, era: u64, now: Micros) -> bool {
        self.is_open.load(Ordering::Acquire)
            && era == self.era()
            && is_within(SILENCE, self.heard.load(Ordering::Acquire), now)
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
        let past = self.past.lock();
        past.iter().find(|(ended, _)| *ended == era).map_or(ALWAYS, |(_, heard)| *heard)
    }
}

/// The instant that a heartbeat with this lag vouches for: a server that lags too much counts as
/// silent.
pub(crate) fn heard_at(lag: Micros, now: Micros) -> Micros {
    if lag < LAG { now } else { ALWAYS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_since_it_opened_is_vouched_for() {
        let stream = Stream::default();
        let before = stream.era();
        stream.open();
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
        stream.open();
        stream.beat(0, 0);
        assert!(
            stream.vouches(stream.era(), SILENCE - 1) && !stream.vouches(stream.era(), SILENCE)
        );
        stream.beat(LAG, SILENCE);
        assert!(!stream.vouches(stream.era(), SILENCE));
        stream.beat(0, SILENCE);
        assert!(stream.vouches(stream.era(), SILENCE));
    }

    #[test]
    fn a_server_that_lags_does_not_take_away_what_was_vouched_for_before() {
        let stream = Stream::default();
        stream.open();
        stream.beat(0, 7);
        stream.beat(LAG, 9);
        assert!(!stream.vouches(stream.era(), 9));
        assert_eq!(stream.vouched(stream.era()), 7);
        stream.taken_over(ALWAYS);
        assert_eq!(stream.vouched(stream.era()), 7);
    }

    #[test]
    fn a_reset_outdates_what_was_asked_for_before_and_not_what_is_asked_for_after() {
        let stream = Stream::default();
        stream.open();
        let before = stream.era();
        stream.beat(0, 5);
        stream.reset();
        assert!(stream.has_outdated(before) && !stream.has_outdated(stream.era()));
        assert!(stream.vouches(stream.era(), 6));
        assert_eq!(stream.vouched(before), 5);
    }
}
