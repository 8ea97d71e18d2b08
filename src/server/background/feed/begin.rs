//! Beginning to listen.

use std::time::Duration;

use super::HEARTBEAT;
use crate::{
    server::jittered,
    store::{Listener, Store},
};

/// While listening does not work, it is tried again at least this often, and when the database
/// comes back.
pub(super) const LISTEN_AGAIN: Duration = Duration::from_secs(30);

/// Begins to listen, and tries it now and then until it works.
pub(super) async fn begin_to_listen(store: &Store, is_wanted: bool, pause: Duration) -> Listener {
    if !is_wanted {
        return std::future::pending().await;
    }
    tokio::time::sleep(pause).await;
    let mut pause = HEARTBEAT;
    loop {
        match store.listen().await {
            Ok(listener) => return listener,
            Err(error) => {
                tracing::warn!(%error, "changes are polled, since nothing can be listened to: {error}");
            }
        }
        // A database that restarts is back soon; one that cannot be listened to is not worth asking
        // often.
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(LISTEN_AGAIN);
    }
}
