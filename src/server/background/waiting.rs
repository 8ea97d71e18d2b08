//! What the start waits for, and that the log says so.

use std::time::Duration;

use tokio::time::{Instant, interval_at, timeout};

use crate::store::StoreError;

/// What lasts for less is not worth a line.
const NOTEWORTHY: Duration = Duration::from_secs(1);

/// Waits for something that the start needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Log what is waited for every second, and the end of patience. Where a start is tried again and
    /// again, what is in its way is logged instead.
    pub(super) is_told: bool,
}

impl Waiting {
    /// Waits for so long at most.
    pub(super) async fn wait_for<T>(
        self,
        what: &str,
        at_most: Duration,
        doing: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        timeout(at_most, self.tell_while(what, at_most, doing)).await.unwrap_or_else(|_| {
            if self.is_told {
                tracing::warn!("{what} has taken longer than {at_most:?}");
            }
            Err(StoreError::TimedOut)
        })
    }

    /// The same for something that has this limit itself, and can say why it was reached.
    pub(super) async fn tell_while<T>(
        self,
        what: &str,
        at_most: Duration,
        doing: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::select! {
            done = doing => done,
            never = self.tell(what, at_most) => never,
        }
    }

    async fn tell<T>(self, what: &str, at_most: Duration) -> T {
        let began = Instant::now();
        let mut beat = interval_at(began + NOTEWORTHY, NOTEWORTHY);
        loop {
            beat.tick().await;
            if self.is_told {
                let so_far = began.elapsed().as_secs();
                tracing::info!("waiting for {what}, for {so_far} s so far and {at_most:?} at most");
            }
        }
    }
}
