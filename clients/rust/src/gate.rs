//! Who may ask while the server does not answer: one caller at a time, now and then.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Opens for all while the server answers. In an outage it opens for one caller at a time, at
/// growing intervals, so that an outage costs callers no time.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<Option<Outage>>);

#[derive(Clone, Copy, Debug)]
struct Outage {
    pause: Duration,
    next_try: Instant,
}

impl Gate {
    /// May the server be asked?
    pub(crate) fn admits(&self) -> bool {
        let mut outage = self.0.lock();
        let now = Instant::now();
        match &mut *outage {
            None => true,
            Some(outage) if now < outage.next_try => false,
            Some(outage) => {
                outage.next_try = now + outage.pause;
                true
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
        *outage = Some(Outage {
            pause,
            next_try: Instant::now() + pause.mul_f64(0.9 + 0.2 * fastrand::f64()),
        });
    }
}
