//! What becomes of a connection.

use tokio::sync::watch;

/// What becomes of a connection, in this order.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum ConnectionStage {
    /// It goes on.
    #[default]
    Open,
    /// It ends in a moment: whoever can move to another one does so.
    Ending,
    /// It ends as soon as nothing is under way.
    Ended,
}

/// The stage of the connection that it belongs to.
pub(crate) type Ending = watch::Receiver<ConnectionStage>;

/// Waits until a connection has reached a stage. A request that came over none stays.
pub(in crate::service) async fn reached(
    ending: &mut Option<Ending>,
    awaited: ConnectionStage,
) -> ConnectionStage {
    match ending {
        // An error: the connection is gone already.
        Some(ending) => ending
            .wait_for(|stage| *stage >= awaited)
            .await
            .map_or(ConnectionStage::Ended, |stage| *stage),
        None => std::future::pending().await,
    }
}
