//! Rate-limited log lines, for what may fail thousands of times a second.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The usual minimum interval between two lines.
const EVERY: Duration = Duration::from_secs(1);

/// Lets one line per interval through, and counts the others.
#[derive(Debug)]
pub(crate) struct LogLimiter {
    every: Duration,
    state: Mutex<LimiterState>,
}

#[derive(Debug)]
struct LimiterState {
    last: Option<Instant>,
    others: u64,
}

/// Logs at most one line per second at this level, with the number of lines suppressed since the
/// previous one, and the suppressed ones as `debug`.
macro_rules! log_limited {
    ($limiter:expr, $level:ident, $($line:tt)+) => {
        match $limiter.admit() {
            Some(others) => tracing::$level!(others, $($line)+),
            None => tracing::debug!($($line)+),
        }
    };
}
pub(crate) use log_limited;

impl Default for LogLimiter {
    fn default() -> Self {
        Self::new()
    }
}

impl LogLimiter {
    /// For a line per second. Nothing has been logged yet.
    pub(crate) const fn new() -> Self {
        Self::once_in(EVERY)
    }

    /// For a line in each interval of this length. Nothing has been logged yet.
    pub(crate) const fn once_in(every: Duration) -> Self {
        Self { every, state: Mutex::new(LimiterState { last: None, others: 0 }) }
    }

    /// May this be logged? If so, the number of lines suppressed since the previous one.
    pub(crate) fn admit(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.last.is_some_and(|last| last.elapsed() < self.every) {
            state.others += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_second_says_how_many_were_left_out() {
        let limiter = LogLimiter::default();
        let said: Vec<_> = (0..100).map(|_| limiter.admit()).collect();
        assert_eq!(said.iter().flatten().collect::<Vec<_>>(), [&0]);
        tokio::time::advance(EVERY).await;
        assert_eq!(limiter.admit(), Some(99));
        assert_eq!(limiter.admit(), None);
    }
}
