//! Connections that are given up so that a new address can be tried.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first one, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(4), Duration::from_mins(1)];

/// How often one of the present connections may be closed so that a new address can be tried, where
/// the server has no room for one more. An address that never works must not cost one each time.
#[derive(Debug)]
pub struct Exchanges {
    next: Option<Instant>,
    pause: Duration,
}

impl Default for Exchanges {
    /// For an address that has not been tried.
    fn default() -> Self {
        Self { next: None, pause: PAUSES[0] }
    }
}

impl Exchanges {
    /// May one be closed now? Then the next may be only after a pause, which grows.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.next = Some(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSES[1]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_given_up_at_once_and_others_less_and_less_often() {
        let mut exchanges = Exchanges::default();
        let start = Instant::now();
        let tried = (0..600).filter(|second| exchanges.take(start + Duration::from_secs(*second)));
        let given_up: Vec<u64> = tried.take(7).collect();
        assert_eq!(given_up, [0, 4, 12, 28, 60, 120, 180]);
    }
}
