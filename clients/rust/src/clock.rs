//! The one place that reads the clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};

/// An instant: microseconds since 1970, UTC. What is held is compared with it on every check, so it
/// is a number.
pub(crate) type Micros = i64;

/// Before every instant, and after every one.
pub(crate) const ALWAYS: Micros = Micros::MIN;
pub(crate) const NEVER: Micros = Micros::MAX;

/// The source of the current time.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    System,
    Manual(ManualClock),
}

impl Clock {
    pub(crate) fn now(&self) -> Micros {
        match self {
            Self::System => system_time(),
            Self::Manual(clock) => clock.0.load(Ordering::Relaxed),
        }
    }
}

impl Clock {
    /// Microseconds of a clock that is never set, and goes on while the machine sleeps: for spans that
    /// another machine counts, too. It says nothing about the time of day.
    pub(crate) fn monotonic(&self) -> Micros {
        match self {
            Self::System => since_boot(),
            Self::Manual(_) => self.now(),
        }
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Micros {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Micros {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    micros(START.get_or_init(std::time::Instant::now).elapsed())
}

/// As it was at the kernel's last tick, 1 to 10 ms ago: half of what a check of held answers costs
/// would be the exact time (`cargo bench --bench client`). No two machines agree more closely.
#[cfg(target_os = "linux")]
fn system_time() -> Micros {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn system_time() -> Micros {
    Utc::now().timestamp_micros()
}

/// A clock that is moved by hand, for tests.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows this instant.
    pub fn at(instant: DateTime<Utc>) -> Self {
        Self(Arc::new(instant.timestamp_micros().into()))
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(micros(by), Ordering::Relaxed);
    }

    /// Moves it to an instant, which may lie behind.
    pub fn set(&self, instant: DateTime<Utc>) {
        self.0.store(instant.timestamp_micros(), Ordering::Relaxed);
    }
}

/// A span in microseconds; what is too long for that never ends.
pub(crate) fn micros(span: Duration) -> Micros {
    Micros::try_from(span.as_micros()).unwrap_or(NEVER)
}

/// Is `now` that close to an instant? A clock that was set back must not make what is held younger
/// than it is.
pub(crate) fn is_within(span: Micros, instant: Micros, now: Micros) -> bool {
    now.abs_diff(instant) < span.unsigned_abs()
}

/// Is an instant no longer ago than that?
pub(crate) fn is_no_longer_ago(span: Micros, instant: Micros, now: Micros) -> bool {
    now.abs_diff(instant) <= span.unsigned_abs()
}

/// For people and answers; the ends of time are `None`.
pub(crate) fn date(instant: Micros) -> Option<DateTime<Utc>> {
    if instant == ALWAYS || instant == NEVER {
        None
    } else {
        DateTime::from_timestamp_micros(instant)
    }
}
