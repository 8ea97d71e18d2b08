//! How fast what is held is read again: as evenly as possible, and never so fast that anybody
//! notices. Pure: time is an argument.

use std::time::Duration;

use super::MAX_BATCH;

/// A round consists of at least this many statements, if there are as many tenants: few tenants at
/// a time, so that a round lasts as long as it should even while more and more are held.
const PARTS: usize = 16;

/// The most reads to catch up on, after they were prevented for some time.
const MAX_CREDIT: usize = 2 * MAX_BATCH;

/// After a statement that failed, none is sent for this long.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What reading again may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Statements per second.
    pub rate: f64,
    /// The share of one core's time that this process may spend on it: 0.05 is a twentieth.
    pub share: f64,
}

/// Decides how many places of the ring to read again, and when.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Places that should have been read by now.
    credit: f64,
    /// No statement is sent for this long.
    rest: Duration,
    batch: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { credit: 0.0, rest: Duration::ZERO, batch: MAX_BATCH }
    }
}

impl Pace {
    /// Advances time by `elapsed`. A round through all places should take `round`.
    pub fn pass(&mut self, elapsed: Duration, places: usize, round: Duration) {
        self.rest = self.rest.saturating_sub(elapsed);
        self.credit = (self.credit + per_second(places, round) * elapsed.as_secs_f64())
            .min(number(MAX_CREDIT));
    }

    /// How many of the places to read now; 0: none yet.
    pub fn due(&mut self, places: usize) -> usize {
        let wanted = self.wanted(places);
        if wanted == 0 || !self.rest.is_zero() || self.credit < number(wanted) {
            return 0;
        }
        self.credit -= number(wanted);
        wanted
    }

    /// How long it will be until something is due.
    pub fn pause(&self, places: usize, round: Duration) -> Duration {
        let missing = (number(self.wanted(places)) - self.credit).max(0.0);
        let until_due = Duration::try_from_secs_f64(missing / per_second(places, round))
            .unwrap_or(Duration::MAX);
        until_due.max(self.rest)
    }

    /// A statement has been answered: it took `took` in all, and kept a core busy for `busy` of
    /// that. With a budget, a rest follows that is at least as long as the statement took: a slow
    /// database is queried less.
    pub fn read(&mut self, took: Duration, busy: Duration, budget: Option<Budget>) {
        self.batch = (self.batch * 2).min(MAX_BATCH);
        self.rest = budget.map_or(Duration::ZERO, |Budget { rate, share }| {
            let of_rate = Duration::try_from_secs_f64(1.0 / rate)
                .unwrap_or(Duration::MAX)
                .saturating_sub(took);
            let of_share =
                Duration::try_from_secs_f64(busy.as_secs_f64() / share).unwrap_or(Duration::MAX);
            of_rate.max(of_share).max(took)
        });
    }

    /// A statement has failed. It may have asked for too much at once.
    pub fn failed(&mut self) {
        self.batch = (self.batch / 2).max(1);
        self.rest = REST_AFTER_FAILURE;
    }

    fn wanted(&self, places: usize) -> usize {
        places.div_ceil(PARTS).min(self.batch)
    }
}

fn per_second(places: usize, round: Duration) -> f64 {
    number(places) / round.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "places are numbered by 32 bits")]
fn number(places: usize) -> f64 {
    places as f64
}
