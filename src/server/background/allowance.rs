//! Rate limiting: a burst, and from then on a fixed rate.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket. Time is an argument.
#[derive(Debug)]
pub(crate) struct Allowance {
    interval: Duration,
    burst: Duration,
    /// When the whole burst is available again.
    full: Instant,
}

impl Allowance {
    /// Allows one use per interval in the long run, and `burst` uses at once.
    pub(crate) fn new(interval: Duration, burst: u32, now: Instant) -> Self {
        Self { interval, burst: interval * burst.saturating_sub(1), full: now }
    }

    /// Takes one, and returns when it may be used.
    pub(crate) fn take(&mut self, now: Instant) -> Instant {
        let from = self.full.checked_sub(self.burst).map_or(now, |from| from.max(now));
        self.full = self.full.max(from) + self.interval;
        from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_may_be_used_at_once_and_the_others_come_at_a_pace() {
        let start = Instant::now();
        let millis = |count| Duration::from_millis(count);
        let mut allowance = Allowance::new(millis(10), 3, start);
        let from: Vec<Duration> = (0..5).map(|_| allowance.take(start) - start).collect();
        assert_eq!(from, [0, 0, 0, 10, 20].map(millis));
        let later = start + Duration::from_mins(1);
        let from: Vec<Duration> = (0..4).map(|_| allowance.take(later) - later).collect();
        assert_eq!(from, [0, 0, 0, 10].map(millis), "what was not used does not add up");
    }
}
