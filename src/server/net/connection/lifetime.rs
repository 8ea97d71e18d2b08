//! How long connections last.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::FIRST_BYTES;
use crate::{
    server::{
        jittered,
        net::{
            traffic::Traffic,
            unread::{LOOK_EVERY, MAX_STALL, Unread},
        },
    },
    service::ConnectionStage,
};

/// Resolves when the peer of a connection is no longer trusted.
pub(super) type Distrusted = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits until a connection has to end: the server stops, its peer is no longer trusted, or it has
/// lasted long enough. Gives how soon it ends; `None`: at once, since it has not begun.
pub(super) async fn must_end(
    mut draining: watch::Receiver<bool>,
    max_age: Duration,
    distrusted: &mut Distrusted,
    watched: Option<(&Traffic, &Unread)>,
) -> Option<ConnectionStage> {
    tokio::select! {
        () = distrusted => Some(ConnectionStage::Ended),
        _ = draining.wait_for(|draining| *draining) => Some(ConnectionStage::Ending),
        reached = comes_of_age(max_age, watched) => reached,
    }
}

/// Waits until a connection has lasted long enough; too long without its peer's hello, for which
/// hyper waits for ever; or as long as none may that keeps answers which its peer does not let
/// pass. Callers who came together do not leave together.
async fn comes_of_age(
    max_age: Duration,
    watched: Option<(&Traffic, &Unread)>,
) -> Option<ConnectionStage> {
    let began = Instant::now();
    let end = began + jittered(max_age);
    let Some((traffic, unread)) = watched else {
        tokio::time::sleep_until(end).await;
        return Some(ConnectionStage::Ending);
    };
    let mut look = began + FIRST_BYTES;
    loop {
        tokio::time::sleep_until(end.min(look)).await;
        if !traffic.has_begun() {
            tracing::debug!(
                "a connection was closed: its peer had not said hello after {FIRST_BYTES:?}"
            );
            return None;
        }
        if unread.is_stuck() {
            tracing::debug!(
                "a connection is asked to end: for {MAX_STALL:?} its peer has let an answer pass only in part"
            );
            return Some(ConnectionStage::Ending);
        }
        if look >= end {
            return Some(ConnectionStage::Ending);
        }
        look += LOOK_EVERY;
    }
}
