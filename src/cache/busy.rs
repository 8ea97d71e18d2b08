//! How much CPU time a future takes.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

/// Runs a future, and measures how long it kept its thread busy; waiting is not counted.
pub(super) async fn busy<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let mut future = pin!(future);
    let mut busy = Duration::ZERO;
    let output = std::future::poll_fn(|context| {
        let began = Instant::now();
        let polled = future.as_mut().poll(context);
        busy += began.elapsed();
        polled
    })
    .await;
    (output, busy)
}
