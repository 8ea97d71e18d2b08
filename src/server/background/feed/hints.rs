//! The notices of a listener.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    server::background::allowance::Allowance,
    store::{Listener, StoreError},
};

/// Anybody who can log in may send notices. So the log is read for this many of them at once, and
/// then for one in each interval; what comes in between is one with the next.
const HINTS_AT_ONCE: u32 = 20;
const BETWEEN_HINTS: Duration = Duration::from_millis(10);
/// Changes that were found so often in a row, and for so long, without a notice: somebody keeps
/// writers from telling.
const UNTOLD: u32 = 5;
const UNTOLD_FOR: Duration = Duration::from_secs(10);

/// The notices of a listener.
pub(super) struct Hints {
    allowance: Allowance,
    last: Instant,
    /// Was the last poll made because of one?
    is_told: bool,
    /// How often in a row changes were found without one.
    untold: u32,
    /// That it has been so for long.
    is_said: bool,
}

/// What a poll has found without a notice.
pub(super) struct Untold {
    pub(super) changes: u64,
    /// It has been so for long, which is said once.
    pub(super) for_long: bool,
}

impl Hints {
    pub(super) fn new(now: Instant) -> Self {
        let allowance = Allowance::new(BETWEEN_HINTS, HINTS_AT_ONCE, now);
        Self { allowance, last: now, is_told: false, untold: 0, is_said: false }
    }

    /// Waits until the log is to be read: after a notice, or a pause.
    pub(super) async fn wait(
        &mut self,
        listener: &mut Listener,
        pause: Duration,
    ) -> Result<(), StoreError> {
        let hint = timeout(pause, listener.hint()).await;
        self.is_told = hint.is_ok();
        let Ok(hint) = hint else { return Ok(()) };
        hint?;
        self.last = Instant::now();
        let from = self.allowance.take(self.last);
        // Looked at each time: notices that never end would keep the timer from being asked.
        while Instant::now() < from {
            if let Ok(hint) = timeout_at(from, listener.hint()).await {
                hint?;
            }
        }
        Ok(())
    }

    /// What of so many changes was found without a notice.
    pub(super) fn untold(&mut self, changes: u64, now: Instant) -> Untold {
        if self.is_told || changes == 0 {
            if self.is_told {
                (self.untold, self.is_said) = (0, false);
            }
            return Untold { changes: 0, for_long: false };
        }
        self.untold = self.untold.saturating_add(1);
        let for_long = self.untold >= UNTOLD && !self.is_said && now - self.last > UNTOLD_FOR;
        self.is_said |= for_long;
        Untold { changes, for_long }
    }
}
