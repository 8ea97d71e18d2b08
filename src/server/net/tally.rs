//! Counting connections: those that are open, and those that were refused.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::observability::{
    log_limiter::{LogLimiter, log_limited},
    metrics::{CounterFamily, MetricLabel, label},
};

label! {
    /// What a listener is for.
    pub(crate) enum ListenerKind {
        /// Requests of services, and of Envoy.
        Data => "data",
        /// Those of proxies that ask over HTTP.
        ForwardAuth => "forward_auth",
        /// Those of administrators.
        Admin => "admin",
        /// Metrics and probes.
        Metrics => "metrics",
    }
}

label! {
    /// Why a connection was not taken, or was ended for another one.
    pub(crate) enum RefusedConnection {
        /// There are as many as there may be.
        Maximum => "maximum",
        /// Its address has as many as it may have.
        Address => "address",
        /// It was ended for a newer one.
        Displaced => "displaced",
        /// The system could not accept it, for want of file descriptors for example.
        System => "system",
    }
}

/// The numbers of connections. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionTally(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: [AtomicUsize; ListenerKind::ALL.len()],
    refused: CounterFamily<RefusedConnection>,
    log_limiter: LogLimiter,
}

/// A connection that is open, counted while this lives.
#[derive(Debug)]
pub(crate) struct OpenConnection(ConnectionTally, ListenerKind);

impl ConnectionTally {
    /// Counts a connection that is open.
    pub(crate) fn open(&self, listener: ListenerKind) -> OpenConnection {
        self.0.open[listener.number()].fetch_add(1, Ordering::Relaxed);
        OpenConnection(self.clone(), listener)
    }

    /// Counts and logs that the system could not accept a connection.
    pub(crate) fn fail(&self, error: &io::Error) {
        let refused = self.refuse(RefusedConnection::System);
        log_limited!(refused, warn, %error, "a connection could not be accepted: {error}");
    }

    /// Counts and logs that a connection was ended for a newer one.
    pub(crate) fn displace(&self, listener: ListenerKind) {
        let (refused, listener) = (self.refuse(RefusedConnection::Displaced), listener.word());
        log_limited!(
            refused,
            info,
            listener,
            "an unused connection was closed for a newer one: the maximum is reached"
        );
    }

    /// Counts a connection that was refused. All refusals, of all listeners, share one line of the log
    /// a second: what lets it through is returned.
    pub(crate) fn refuse(&self, reason: RefusedConnection) -> &LogLimiter {
        self.0.refused.add(reason);
        &self.0.log_limiter
    }

    /// The numbers of open connections, by listener.
    pub(crate) fn opened(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let counts = ListenerKind::ALL.iter().zip(&self.0.open);
        counts.map(|(listener, count)| (listener.word(), count.load(Ordering::Relaxed)))
    }

    /// The numbers of refused ones, by reason.
    pub(crate) fn refused(&self) -> Vec<(&'static str, u64)> {
        self.0.refused.counts().collect()
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.open[self.1.number()].fetch_sub(1, Ordering::Relaxed);
    }
}
