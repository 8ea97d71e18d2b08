//! Who is at the other end of a connection.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Who is at the other end of a connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// Its address; `None` for a Unix socket.
    pub address: Option<IpAddr>,
    /// The names in the certificate that it showed: URIs, then DNS names.
    pub names: Arc<[String]>,
    /// What is happening on the connection.
    pub presence: Arc<Presence>,
}

/// What is happening on a connection: whether it would be missed.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    under_way: AtomicUsize,
    was_known: AtomicBool,
}

/// A request of a known caller, counted while this lives.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Presence>);

impl Presence {
    /// Records that a request of a known caller begins.
    pub(crate) fn enter(presence: &Arc<Self>) -> UnderWay {
        presence.was_known.store(true, Ordering::Relaxed);
        presence.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(presence))
    }

    /// Is no request of a known caller under way?
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// Was there ever a request of a known caller?
    pub(crate) fn was_known(&self) -> bool {
        self.was_known.load(Ordering::Relaxed)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
