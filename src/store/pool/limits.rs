//! How many connections there may be.

use tokio::time::Duration;

use super::share::{Purpose, Shares};

/// Who waits for a connection that is being opened waits this much longer than that may take: then it
/// is told why that failed, and not only that nobody came.
const UNTIL_TOLD: Duration = Duration::from_millis(250);

/// How many connections there may be, and how long things may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Limits {
    /// Connections, in all.
    pub(in crate::store) most: usize,
    /// Do some of them stay free for watching and for loads, whatever else is done?
    pub(in crate::store) keeps_shares: bool,
    /// To get a connection, for a load.
    pub(in crate::store) acquire: Duration,
    /// To open one.
    pub(in crate::store) connect: Duration,
}

impl Limits {
    pub(super) fn shares(&self, connections: usize) -> Shares {
        if self.keeps_shares {
            Shares::of_server(connections)
        } else {
            Shares::of_command(connections)
        }
    }

    /// How long a purpose waits for a connection. Loads are many, and their callers have better
    /// things to do; who watches or writes has a deadline of its own.
    pub(super) fn patience(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Loading => self.acquire,
            Purpose::Watching | Purpose::Writing => self.acquire.max(self.connect + UNTIL_TOLD),
        }
    }
}
