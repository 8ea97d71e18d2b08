//! Who may ask while the server does not answer: one question at a time, now and then.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// While a question is under way that is to find out whether the server is back, nobody else asks; a
/// frozen server keeps it for the deadline.
const PROBE: Duration = Duration::from_secs(2);
/// For how long after a failure nobody waits for the next attempt. Who asks less often than this
/// wants to hear from the server, and not of an outage that may have ended long ago.
const KNOWN: Duration = Duration::from_secs(5);

/// Opens for all while the server answers. In an outage it opens for one question at a time, at
/// growing intervals, so that an outage costs callers no time.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<Option<Outage>>);

#[derive(Clone, Copy, Debug)]
struct Outage {
    pause: Duration,
    failed: Instant,
    next_try: Instant,
}

/// May a question be sent?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    /// Yes, and its caller waits for the answer.
    Ask,
    /// Yes, to find out whether the server is back. Its caller does not wait.
    Probe,
    /// No: the server has just not answered.
    No,
}

impl Gate {
    /// Does the server answer, as far as is known?
    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().is_none()
    }

    /// Would a question be sent now?
    pub(crate) fn is_due(&self) -> bool {
        self.0.lock().is_none_or(|outage| Instant::now() >= outage.next_try)
    }

    /// May a question be sent now?
    pub(crate) fn turn(&self) -> Turn {
        let now = Instant::now();
        match &mut *self.0.lock() {
            None => Turn::Ask,
            Some(outage) if now < outage.next_try => Turn::No,
            Some(outage) => {
                outage.next_try = now + PROBE;
                if now < outage.failed + KNOWN { Turn::Probe } else { Turn::Ask }
            }
        }
    }

    /// The server has answered.
    pub(crate) fn open(&self) {
        *self.0.lock() = None;
    }

    /// The server has not answered.
    pub(crate) fn close(&self) {
        let mut outage = self.0.lock();
        let pause = outage.map_or(FIRST_PAUSE, |outage| LONGEST_PAUSE.min(outage.pause * 2));
        let failed = Instant::now();
        let next_try = failed + pause.mul_f64(0.9 + 0.2 * fastrand::f64());
        *outage = Some(Outage { pause, failed, next_try });
    }
}
