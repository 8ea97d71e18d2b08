//! Which connections are let in.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    Accepted, ConnectionPlaces, Inbox, Socket,
    addresses::{AddressCounts, FromAddress},
};
use crate::{
    observability::{log_limiter::log_limited, metrics::MetricLabel},
    server::net::{
        seats::{Seat, Seats},
        tally::{ConnectionTally, ListenerKind, RefusedConnection},
    },
};

/// How long a connection that was asked to leave may take.
const UNTIL_LEFT: Duration = Duration::from_secs(1);

/// The maximum number of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxConnections {
    pub(crate) in_all: u32,
    /// From one address; `None`: no separate limit.
    pub(crate) per_address: Option<u32>,
    /// When the maximum is reached, a newer connection ends an unused one.
    pub(crate) makes_room: bool,
}

/// What lets connections of a listener in, and counts them.
pub(crate) struct Door {
    most: MaxConnections,
    room: Arc<Semaphore>,
    addresses: AddressCounts,
    seats: Option<Seats>,
    tally: ConnectionTally,
    listener: ListenerKind,
}

/// What a connection that is let in takes.
pub(super) struct Admitted {
    connection: OwnedSemaphorePermit,
    address: Option<FromAddress>,
    seat: Option<Arc<Seat>>,
}

impl Door {
    pub(crate) fn new(
        most: MaxConnections,
        tally: ConnectionTally,
        listener: ListenerKind,
    ) -> Self {
        let MaxConnections { in_all, per_address, makes_room } = most;
        let seats = || Seats::new(in_all as usize, per_address.unwrap_or(u32::MAX) as usize);
        Self {
            most,
            room: Arc::new(Semaphore::new(in_all as usize)),
            addresses: AddressCounts::default(),
            seats: makes_room.then(seats),
            tally,
            listener,
        }
    }

    /// Lets a connection from this address in, or counts and logs that it is refused.
    pub(super) async fn admit(&self, from: Option<IpAddr>) -> Option<Admitted> {
        let admitted = self.find_place(from).await;
        admitted.inspect_err(|reason| self.tell(*reason)).ok()
    }

    async fn find_place(&self, from: Option<IpAddr>) -> Result<Admitted, RefusedConnection> {
        let seat = match &self.seats {
            Some(seats) => Some(seats.take(from).map_err(|_| RefusedConnection::Maximum)?),
            None => None,
        };
        if seat.as_ref().is_some_and(|seat| seat.took_anothers) {
            self.tally.displace(self.listener);
        }
        let address = match &seat {
            Some(_) => None,
            None => self
                .addresses
                .enter(from, self.most.per_address)
                .map_err(|_| RefusedConnection::Address)?,
        };
        let connection = free_place(&self.room, seat.is_some()).await;
        let connection = connection.ok_or(RefusedConnection::Maximum)?;
        Ok(Admitted { connection, address, seat })
    }

    /// Gives a connection its places, also among those of the worker with this inbox.
    pub(super) fn enter(&self, stream: Socket, admitted: Admitted, inbox: &Inbox) -> Accepted {
        let Admitted { connection, address, seat } = admitted;
        inbox.connections.fetch_add(1, Ordering::Relaxed);
        let places = ConnectionPlaces {
            _connection: connection,
            worker: Arc::clone(&inbox.connections),
            _address: address,
            _open: self.tally.open(self.listener),
        };
        Accepted { stream, places, seat }
    }

    /// Counts and logs that the system could not accept one.
    pub(super) fn fail(&self, error: &std::io::Error) {
        self.tally.fail(error);
    }

    fn tell(&self, reason: RefusedConnection) {
        let (refused, listener) = (self.tally.refuse(reason), self.listener.word());
        let MaxConnections { in_all, per_address, makes_room } = self.most;
        match reason {
            RefusedConnection::Address => log_limited!(
                refused,
                info,
                listener,
                per_address,
                "a connection was closed: its address has reached its maximum"
            ),
            _ if makes_room => log_limited!(
                refused,
                warn,
                listener,
                "a connection was closed: the maximum is reached, and all are in use"
            ),
            _ => log_limited!(
                refused,
                warn,
                listener,
                max_connections = in_all,
                "a connection was closed: {in_all} are open"
            ),
        }
    }
}

/// A place among all connections. It is waited for if another connection was asked to leave.
async fn free_place(room: &Arc<Semaphore>, is_leaving: bool) -> Option<OwnedSemaphorePermit> {
    let place = Arc::clone(room).try_acquire_owned().ok();
    if place.is_some() || !is_leaving {
        return place;
    }
    timeout(UNTIL_LEFT, Arc::clone(room).acquire_owned()).await.ok().and_then(Result::ok)
}
