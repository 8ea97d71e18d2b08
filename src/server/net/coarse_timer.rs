//! A timer for hyper whose clock is precise only to a few milliseconds, and therefore cheap.

use std::{pin::Pin, time::Duration, time::Instant};

use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;

/// Sleeps as [`TokioTimer`] does. The current time that it gives hyper is the kernel's coarse
/// clock: with keep-alive on, hyper notes the time of each frame that it reads, twice a request,
/// and compares it with a span of many seconds.
#[derive(Clone, Debug)]
pub(crate) struct CoarseTimer {
    timer: TokioTimer,
    /// One instant on both clocks.
    began: (Instant, coarsetime::Instant),
}

impl CoarseTimer {
    pub(crate) fn new() -> Self {
        Self { timer: TokioTimer::new(), began: (Instant::now(), coarsetime::Instant::now()) }
    }
}

impl Timer for CoarseTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.timer.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.timer.sleep_until(deadline)
    }

    fn now(&self) -> Instant {
        let (began, coarse) = self.began;
        began + Duration::from(coarsetime::Instant::now() - coarse)
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        self.timer.reset(sleep, deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_present_is_never_far_from_the_present() {
        let timer = CoarseTimer::new();
        let (before, now, after) = (Instant::now(), timer.now(), Instant::now());
        assert!(before.saturating_duration_since(now) < Duration::from_secs(1), "it lags behind");
        assert!(now.saturating_duration_since(after) < Duration::from_secs(1), "it is ahead");
    }
}
