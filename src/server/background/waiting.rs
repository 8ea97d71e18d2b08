//! What the start waits for, and that the log says so.

use std::time::Duration;

use tokio::time::{Instant, interval_at, timeout};

use crate::store::StoreError;

/// What lasts for less is not worth a line.
const NOTEWORTHY: Duration = Duration::from_secs(1);

/// Waits for something that the start needs, for so long at most. What is waited for is logged every
/// second, and so is the end of patience.
pub(super) async fn wait_for<T>(
    what: &str,
    at_most: Duration,
    doing: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let began = Instant::now();
    let mut beat = interval_at(began + NOTEWORTHY, NOTEWORTHY);
    let tell = async {
        loop {
            beat.tick().await;
            let so_far = began.elapsed().as_secs();
            tracing::info!("waiting for {what}, for {so_far} s so far and {at_most:?} at most");
        }
    };
    let done = async {
        tokio::select! {
            done = doing => done,
            never = tell => never,
        }
    };
    timeout(at_most, done).await.unwrap_or_else(|_| {
        tracing::warn!("{what} has taken longer than {at_most:?}");
        Err(StoreError::TimedOut)
    })
}
