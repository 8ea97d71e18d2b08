//! What time it is, at the least: so that a clock which is set back makes no lease last longer.

use parking_lot::Mutex;

use super::LeaseReason;
use crate::clock::Micros;

/// What both clocks show: the one that people set, and one that nobody sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall: Micros,
    pub(super) monotonic: Micros,
}

/// An instant that had come when the monotonic clock showed this.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Micros,
    monotonic: Micros,
}

impl Mark {
    /// What time it is by now, at the least.
    fn by(self, monotonic: Micros) -> Micros {
        self.at.saturating_add(monotonic.saturating_sub(self.monotonic).max(0))
    }

    /// The later one of this and an instant that has come.
    fn or(self, at: Micros, monotonic: Micros) -> Self {
        Self { at: self.by(monotonic).max(at), monotonic }
    }
}

#[derive(Clone, Copy, Debug)]
struct Marks {
    /// By all that this verifier has seen, its clock included as it was at the beginning.
    floor: Mark,
    /// By leases alone: whatever the clock shows, it is believed only as far as a lease reaches. So a clock
    /// that was ahead for a while refuses no lease for longer than the one lasts that was verified by it.
    latest: Option<Mark>,
}

/// Judges instants by the clock, and by what has been seen before.
#[derive(Debug)]
pub(super) struct Guard {
    /// How far two clocks may be apart.
    skew: Micros,
    marks: Mutex<Marks>,
}

impl Guard {
    pub(super) fn new(now: Now, skew: Micros) -> Self {
        let floor = Mark { at: now.wall, monotonic: now.monotonic };
        Self { skew, marks: Mutex::new(Marks { floor, latest: None }) }
    }

    pub(super) fn copy(&self) -> Self {
        Self { skew: self.skew, marks: Mutex::new(*self.marks.lock()) }
    }

    /// By other clocks, which show this: of what was seen, what leases tell is kept.
    pub(super) fn begun_again(self, now: Now) -> Self {
        let latest = self.marks.lock().latest;
        let new = Self::new(now, self.skew);
        match latest {
            Some(latest) => new.with_latest(latest.at, now.monotonic),
            None => new,
        }
    }

    pub(super) fn with_skew(self, skew: Micros) -> Self {
        Self { skew, ..self }
    }

    /// This instant has come: another verifier has seen it.
    pub(super) fn with_latest(self, at: Micros, monotonic: Micros) -> Self {
        {
            let mut marks = self.marks.lock();
            marks.floor = marks.floor.or(at, monotonic);
            marks.latest = Some(Mark { at, monotonic });
        }
        self
    }

    /// See [`LeaseVerifier::latest`](super::LeaseVerifier::latest).
    pub(super) fn latest(&self, now: Now) -> Option<Micros> {
        self.marks.lock().latest.map(|latest| latest.by(now.monotonic))
    }

    fn time(&self, now: Now) -> Micros {
        self.marks.lock().floor.by(now.monotonic).max(now.wall)
    }

    /// Does an instant lie ahead, further than clocks are apart?
    pub(super) fn is_ahead(&self, at: Micros, now: Now) -> bool {
        at > self.time(now).saturating_add(self.skew)
    }

    /// Has an end come? Then why: the clock alone may say that it has not.
    pub(super) fn ended(&self, end: Micros, now: Now) -> Option<LeaseReason> {
        let last = end.saturating_add(self.skew);
        if self.time(now) < last {
            return None;
        }
        Some(if now.wall < last { LeaseReason::ClockSetBack } else { LeaseReason::Expired })
    }

    /// A lease was looked at that is good, or was. When it was issued has come, and so has what the clock
    /// shows, as far as the lease reaches: that is enough for it to be over once it is over.
    pub(super) fn observe(&self, issued_at: Micros, expires_at: Micros, now: Now) {
        let mut marks = self.marks.lock();
        let time = marks.floor.by(now.monotonic).max(now.wall);
        let seen = time.min(expires_at.saturating_add(self.skew)).max(issued_at);
        marks.floor = marks.floor.or(seen, now.monotonic);
        let none = Mark { at: seen, monotonic: now.monotonic };
        marks.latest = Some(marks.latest.unwrap_or(none).or(seen, now.monotonic));
    }
}
