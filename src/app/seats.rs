//! Connections that give way to newer ones where there is no room, so that those who open many and say nothing keep no
//! administrator out.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::service::Presence;

/// One connection's seat, held for as long as it lasts.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) presence: Arc<Presence>,
    address: Option<IpAddr>,
    leave: Notify,
}

impl Seat {
    /// Resolves when the connection is to end.
    pub(super) async fn must_leave(&self) {
        self.leave.notified().await;
    }
}

/// All seats, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<VecDeque<Weak<Seat>>>);

impl Seats {
    /// A seat for a connection from this address.
    pub(super) fn take(&self, address: Option<IpAddr>) -> Arc<Seat> {
        let seat = Arc::new(Seat { address, ..Seat::default() });
        self.0.lock().push_back(Arc::downgrade(&seat));
        seat
    }

    /// Ends the connection, of those from this address (`None`: of all), that is missed the least: the oldest on which
    /// nothing is under way, and one on which nobody was ever known before the others. `false`: there is none.
    pub(super) fn make_room(&self, address: Option<IpAddr>) -> bool {
        let mut seats = self.0.lock();
        seats.retain(|seat| seat.strong_count() > 0);
        let mut idle: Vec<(usize, Arc<Seat>)> = seats
            .iter()
            .enumerate()
            .filter_map(|(place, seat)| Some((place, seat.upgrade()?)))
            .filter(|(_, seat)| seat.presence.is_idle() && (address.is_none() || seat.address == address))
            .collect();
        // Stable: the oldest stays first.
        idle.sort_by_key(|(_, seat)| seat.presence.was_known());
        let Some((place, seat)) = idle.into_iter().next() else { return false };
        seats.remove(place);
        seat.leave.notify_one();
        true
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn has_left(seat: &Seat) -> bool {
        seat.must_leave().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_that_nobody_was_known_on_gives_way_and_none_on_which_something_is_under_way() {
        let seats = Seats::default();
        let [here, there] = ["127.0.0.1", "127.0.0.2"].map(|address| Some(address.parse().unwrap()));
        let (known, busy) = (seats.take(here), seats.take(here));
        let (silent, newer, other) = (seats.take(here), seats.take(here), seats.take(there));
        known.presence.known();
        let under_way = Presence::enter(&busy.presence);
        drop(seats.take(here));
        assert!(seats.make_room(here) && has_left(&silent));
        assert!(seats.make_room(None) && has_left(&newer));
        assert!(seats.make_room(here) && has_left(&known));
        assert!(!seats.make_room(here), "of those from here one is left, and it is busy");
        drop(under_way);
        assert!(seats.make_room(here) && has_left(&busy));
        assert!(seats.make_room(None) && has_left(&other));
        assert!(!seats.make_room(None));
    }
}
