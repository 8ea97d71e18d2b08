//! The one place that reads the clock. Everything else gets the time as an argument.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};

/// A source of the present instant.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until it is moved, so that no test waits for time to pass.
    Manual(ManualClock),
}

impl Clock {
    /// The present instant.
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one place")]
            Self::System => Utc::now(),
            Self::Manual(clock) => clock.now(),
        }
    }
}

/// A clock that is moved by hand. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows `now`, to the microsecond.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(Arc::new(AtomicI64::new(now.timestamp_micros())))
    }

    /// What the clock shows.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap_or_default()
    }

    /// Moves the clock.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
    }
}

/// How long the machine has been up, also while it was suspended. Nobody sets it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Uptime(u64);

impl Uptime {
    /// Later than any other.
    pub const NEVER: Self = Self(u64::MAX);

    /// What the machine's clock shows.
    pub fn now() -> Self {
        #[cfg(target_os = "linux")]
        const CLOCK: ClockId = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        const CLOCK: ClockId = ClockId::Monotonic;
        let now = clock_gettime(CLOCK);
        let [seconds, nanos] =
            [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// In nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// That many nanoseconds.
    pub const fn of_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(Self::now().0.saturating_sub(self.0))
    }

    /// So much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// What both clocks showed at one moment. By it the age of what is known since before is known too, whatever
/// the time of day is set to afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time of day.
    pub time: DateTime<Utc>,
    uptime: Uptime,
}

impl Moment {
    /// The present one. `time` is the time of day.
    pub fn now(time: DateTime<Utc>) -> Self {
        Self { time, uptime: Uptime::now() }
    }

    /// How long ago an instant before it was. What was later counts from this moment.
    pub fn age_of(&self, instant: DateTime<Utc>) -> TimeDelta {
        self.age_after(self.uptime.elapsed(), instant)
    }

    /// The same, so long after the moment.
    pub fn age_after(&self, since: Duration, instant: DateTime<Utc>) -> TimeDelta {
        let before = (self.time - instant).max(TimeDelta::zero());
        let since = TimeDelta::from_std(since).unwrap_or(TimeDelta::MAX);
        before.checked_add(&since).unwrap_or(TimeDelta::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_grows_with_uptime_alone() {
        let at = |minutes: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let moment = Moment::now(at(130));
        let age = |since, instant| {
            moment.age_after(Duration::from_mins(since), at(instant)).num_minutes()
        };
        assert_eq!((age(0, 100), age(30, 100), age(1_000, 130)), (30, 60, 1_000));
        assert_eq!(age(10, 200), 10, "of what is later it is not known, but no less");
        assert_eq!(moment.age_after(Duration::MAX, at(0)), TimeDelta::MAX);
    }
}
