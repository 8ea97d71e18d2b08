//! When the database was asked, and what its own clock shows.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    clock::{Clock, Uptime},
    store::Whereabouts,
};

/// When the database was asked, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) at: Uptime,
    time: DateTime<Utc>,
    /// Where the database was then.
    pub(super) of: Whereabouts,
}

impl Asked {
    /// It is asked now.
    pub(super) fn now(clock: &Clock, of: Whereabouts) -> Self {
        Self { at: Uptime::now(), time: clock.now(), of }
    }

    /// The time of day then.
    pub(super) fn time(self) -> DateTime<Utc> {
        self.time
    }

    /// By how much the database's clock is ahead, if it showed this and the answer came `now`: it is
    /// taken to have been read half-way.
    pub(super) fn skew(self, clock: Option<DateTime<Utc>>, now: DateTime<Utc>) -> TimeDelta {
        let half_way = self.time + (now - self.time) / 2;
        clock.map_or(TimeDelta::zero(), |clock| clock - half_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_clock_was_read_half_way() {
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
        let asked = Asked { at: Uptime::now(), time: at(1_000), of: Whereabouts::default() };
        assert_eq!(asked.skew(Some(at(1_020)), at(1_040)), TimeDelta::zero());
        assert_eq!(asked.skew(Some(at(1_520)), at(1_040)), TimeDelta::milliseconds(500));
        assert_eq!(asked.skew(Some(at(20)), at(1_040)), TimeDelta::milliseconds(-1_000));
        assert_eq!(asked.skew(None, at(1_040)), TimeDelta::zero(), "SQLite has no other clock");
    }
}
