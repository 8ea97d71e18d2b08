//! From a socket to a request, and from an answer back to the socket.

pub(crate) mod answers;
pub(crate) mod coalesced_writes;
pub(crate) mod coarse_timer;
pub(crate) mod connection;
pub(crate) mod counted;
pub(crate) mod frames;
pub(crate) mod inline_executor;
pub(crate) mod listener;
pub(crate) mod seats;
pub(crate) mod stalling;
pub(crate) mod tally;
pub(crate) mod tls;
pub(crate) mod traffic;
pub(crate) mod unread;
pub(crate) mod worker;
