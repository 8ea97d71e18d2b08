//! Connections that give way to newer ones when there is no room, so that clients that open many
//! and send nothing do not keep administrators out.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::service::Presence;

/// The seat of one connection, held while it lasts.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    pub(crate) presence: Arc<Presence>,
    /// Another connection has to leave for it.
    pub(crate) took_anothers: bool,
    address: Option<IpAddr>,
    leave: Notify,
}

impl Seat {
    /// Resolves when the connection is to end.
    pub(crate) async fn must_leave(&self) {
        self.leave.notified().await;
    }
}

/// The seats of connections that were not asked to leave, the oldest first.
#[derive(Debug)]
pub(crate) struct Seats {
    staying: Mutex<VecDeque<Weak<Seat>>>,
    in_all: usize,
    per_address: usize,
}

/// There is no free seat, and no connection that could leave one.
#[derive(Debug)]
pub(crate) struct Full;

impl Seats {
    /// The maximum number of seats in all, and for one address.
    pub(crate) fn new(in_all: usize, per_address: usize) -> Self {
        Self { staying: Mutex::default(), in_all, per_address }
    }

    /// Takes a seat for a connection from this address. Another connection may have to leave for
    /// it, and is then notified.
    pub(crate) fn take(&self, address: Option<IpAddr>) -> Result<Arc<Seat>, Full> {
        let mut seats = self.staying.lock();
        seats.retain(|seat| seat.strong_count() > 0);
        let is_neighbour = |seat: &Seat| address.is_some() && seat.address == address;
        let neighbours =
            seats.iter().filter_map(Weak::upgrade).filter(|seat| is_neighbour(seat)).count();
        let (is_crowded, is_full) = (neighbours >= self.per_address, seats.len() >= self.in_all);
        if is_crowded {
            make_room(&mut seats, is_neighbour)?;
        } else if is_full {
            make_room(&mut seats, |_| true)?;
        }
        let took_anothers = is_crowded || is_full;
        let seat = Arc::new(Seat { took_anothers, address, ..Seat::default() });
        seats.push_back(Arc::downgrade(&seat));
        Ok(seat)
    }
}

/// Picks, among the connections that may have to leave, the one that is missed least, and ends it:
/// connections with a request under way stay; those on which no known administrator ever appeared
/// go before the others; then those of the address with the most connections; then the oldest.
fn make_room(
    seats: &mut VecDeque<Weak<Seat>>,
    may_have_to: impl Fn(&Seat) -> bool,
) -> Result<(), Full> {
    let staying: Vec<_> = seats
        .iter()
        .enumerate()
        .filter_map(|(place, seat)| Some((place, seat.upgrade()?)))
        .collect();
    let mut crowds: HashMap<Option<IpAddr>, usize> = HashMap::new();
    for (_, seat) in &staying {
        *crowds.entry(seat.address).or_default() += 1;
    }
    let idle = staying.iter().filter(|(_, seat)| seat.presence.is_idle() && may_have_to(seat));
    // The first of equal ones, which is the oldest.
    let missed = |(_, seat): &&(usize, Arc<Seat>)| {
        (seat.presence.was_known(), Reverse(crowds[&seat.address]))
    };
    let (place, seat) = idle.min_by_key(missed).ok_or(Full)?;
    seats.remove(*place);
    seat.leave.notify_one();
    Ok(())
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
        let seats = Seats::new(6, 4);
        let [here, there] =
            ["127.0.0.1", "127.0.0.2"].map(|address| Some(address.parse().unwrap()));
        let take = |address| seats.take(address).unwrap();
        let (known, busy, silent) = (take(here), take(here), take(here));
        drop(Presence::enter(&known.presence));
        let under_way = Presence::enter(&busy.presence);
        drop(take(here));
        let newer = take(here);
        assert!(!has_left(&silent), "one has gone by itself");
        let _newest = take(here);
        assert!(has_left(&silent) && !has_left(&newer), "four from here");
        let (other, _another) = (take(there), take(there));
        let _third = take(there);
        assert!(
            has_left(&newer) && !has_left(&other),
            "six in all, of which the oldest that says nothing goes"
        );
        drop(under_way);
    }

    #[test]
    fn who_was_known_gives_way_to_nobody_while_others_are_silent_however_slowly_they_leave() {
        let seats = Seats::new(6, 4);
        let known = seats.take(None).unwrap();
        drop(Presence::enter(&known.presence));
        // None of them leaves when it is asked to.
        let _silent: Vec<_> = (0..1_000).map(|_| seats.take(None).unwrap()).collect();
        assert!(!has_left(&known));
    }

    #[test]
    fn two_addresses_that_are_crowded_take_no_place_of_a_third() {
        let seats = Seats::new(6, 3);
        let [one, other, third] =
            ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|address| Some(address.parse().unwrap()));
        let _crowd: Vec<_> =
            (0..3).flat_map(|_| [one, other]).map(|address| seats.take(address).unwrap()).collect();
        let newcomer = seats.take(third).unwrap();
        let _more: Vec<_> = (0..100)
            .flat_map(|_| [one, other])
            .map(|address| seats.take(address).unwrap())
            .collect();
        assert!(!has_left(&newcomer), "although it has said nothing yet");
    }

    #[test]
    fn where_something_is_under_way_on_all_there_is_no_seat() {
        let seats = Seats::new(6, 4);
        let here = Some("127.0.0.1".parse().unwrap());
        let busy: Vec<_> = (0..4).map(|_| seats.take(here).unwrap()).collect();
        let under_way: Vec<_> = busy.iter().map(|seat| Presence::enter(&seat.presence)).collect();
        assert!(seats.take(here).is_err() && seats.take(None).is_ok());
        drop(under_way);
        assert!(seats.take(here).is_ok() && has_left(&busy[0]));
    }
}
