//! The limit on streams of a kind: a total number, half of which one caller may take.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

/// The number of tenants that may be named per stream, on average.
const TENANTS_A_STREAM: usize = 50;

/// The limit on streams of a kind. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct StreamPlaces(Arc<PlacesLimit>);

#[derive(Debug)]
struct PlacesLimit {
    most: StreamCount,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: StreamCount,
    /// Of callers that have names, by name.
    by_caller: HashMap<Box<str>, StreamCount>,
}

/// Numbers of streams, and of the tenants that they name.
#[derive(Clone, Copy, Debug, Default)]
struct StreamCount {
    streams: usize,
    tenants: usize,
}

/// A stream's place, taken while this lives.
#[derive(Debug)]
pub(in crate::service) struct Place {
    places: Arc<PlacesLimit>,
    caller: Box<str>,
    tenants: usize,
}

impl StreamCount {
    fn fits(self, tenants: usize, most: Self) -> bool {
        self.streams < most.streams && self.tenants + tenants <= most.tenants
    }

    fn add(&mut self, tenants: usize) {
        self.streams += 1;
        self.tenants += tenants;
    }

    fn remove(&mut self, tenants: usize) {
        self.streams -= 1;
        self.tenants -= tenants;
    }
}

impl StreamPlaces {
    /// At most this many may be open at a time.
    pub(crate) fn new(most: usize) -> Self {
        let most = StreamCount { streams: most, tenants: most.saturating_mul(TENANTS_A_STREAM) };
        Self(Arc::new(PlacesLimit { most, taken: Mutex::default() }))
    }

    /// The number of streams.
    pub(crate) fn streams(&self) -> usize {
        self.0.taken.lock().all.streams
    }

    /// The number of tenants that are named.
    pub(crate) fn tenants(&self) -> usize {
        self.0.taken.lock().all.tenants
    }

    /// Takes a place for a stream of this caller (empty: callers have no names) that names this
    /// many tenants.
    pub(in crate::service) fn take(&self, caller: &str, tenants: usize) -> Option<Place> {
        let PlacesLimit { most, taken } = &*self.0;
        let mut taken = taken.lock();
        if !taken.all.fits(tenants, *most) {
            return None;
        }
        if !caller.is_empty() {
            let half = StreamCount {
                streams: most.streams.div_ceil(2),
                tenants: most.tenants.div_ceil(2),
            };
            let own = taken.by_caller.get(caller).copied().unwrap_or_default();
            if !own.fits(tenants, half) {
                return None;
            }
            taken.by_caller.entry(caller.into()).or_default().add(tenants);
        }
        taken.all.add(tenants);
        Some(Place { places: Arc::clone(&self.0), caller: caller.into(), tenants })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all.remove(self.tenants);
        let Some(own) = taken.by_caller.get_mut(&self.caller) else { return };
        own.remove(self.tenants);
        if own.streams == 0 {
            taken.by_caller.remove(&self.caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_has_half_of_the_places_and_of_the_tenants_and_gives_them_back() {
        let places = StreamPlaces::new(4);
        let taken = [places.take("a", 1).unwrap(), places.take("a", 2).unwrap()];
        assert!(places.take("a", 1).is_none());
        let others = [places.take("b", 100).unwrap(), places.take("", 1).unwrap()];
        assert_eq!(places.tenants(), 104);
        assert!(places.take("c", 0).is_none(), "all are taken");
        drop(taken);
        assert!(places.take("b", 1).is_none(), "it names as many as it may");
        assert!(places.take("a", 101).is_none() && places.take("", 100).is_none());
        drop(others);
        assert!(places.take("", 200).is_some());
        assert!(places.0.taken.lock().by_caller.is_empty() && places.tenants() == 0);
    }
}
