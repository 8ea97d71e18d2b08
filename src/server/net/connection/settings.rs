//! How connections are served.

use std::time::Duration;

use crate::server::net::{tls::TlsOffer, unread::UnreadPool};

/// What callers get of [`ConnectionSettings::keep_alive_interval`].
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How connections are served.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSettings {
    pub(crate) protocol: Protocol,
    pub(crate) max_streams: u32,
    /// A peer that is silent for this long is asked for a sign of life.
    pub(crate) keep_alive_interval: Duration,
    pub(crate) max_age: Duration,
    /// How long a drain may take.
    pub(crate) drain_timeout: Duration,
    /// How long a request may take.
    pub(crate) request_timeout: Duration,
    /// What all connections share for answers that are not read.
    pub(crate) unread: UnreadPool,
    /// `None`: in the clear.
    pub(crate) tls: Option<TlsOffer>,
}

impl ConnectionSettings {
    /// How long a connection that is to end may last: what is under way is answered, and the
    /// answers are read, or not. Whoever does not read them would stay for ever.
    pub(super) fn last_answers(&self) -> Duration {
        self.request_timeout + self.drain_timeout
    }
}

/// What connections speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    /// HTTP/1.1, and 1.0.
    Http1,
    /// HTTP/2 from the first byte, as gRPC does.
    Http2,
}
