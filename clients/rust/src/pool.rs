//! Things that lists have in common: a hundred thousand tenants have the same ten modules.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use crate::{
    Module,
    terms::{Feature, Terms},
};

/// As many are kept without looking whether anybody has them still.
const LEAST_ROOM: usize = 1_000;

/// Equal things, once each. What nobody else has any more makes room for others, so that it holds at
/// most twice as many as lists do.
#[derive(Debug)]
pub(crate) struct Pool<T: Eq + Hash>(Mutex<Pooled<T>>);

#[derive(Debug)]
struct Pooled<T: Eq + Hash> {
    things: HashSet<Arc<T>, FxBuildHasher>,
    room: usize,
}

impl<T: Eq + Hash> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(Pooled { things: HashSet::default(), room: LEAST_ROOM }))
    }
}

impl<T: Eq + Hash> Pool<T> {
    pub(crate) fn shared(&self, thing: T) -> Arc<T> {
        let mut pooled = self.0.lock();
        if let Some(shared) = pooled.things.get(&thing) {
            return Arc::clone(shared);
        }
        if pooled.things.len() >= pooled.room {
            pooled.things.retain(|thing| Arc::strong_count(thing) > 1);
            pooled.room = LEAST_ROOM.max(pooled.things.len() * 2);
        }
        let new = Arc::new(thing);
        pooled.things.insert(Arc::clone(&new));
        new
    }
}

/// What lists share.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pub(crate) modules: Pool<Module>,
    pub(crate) features: Pool<Feature>,
    pub(crate) terms: Pool<Terms>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_things_are_one_and_what_nobody_has_makes_room() {
        let pool = Pool::default();
        let kept: Vec<_> = (0..LEAST_ROOM / 2).map(|number| pool.shared(number)).collect();
        assert!(Arc::ptr_eq(&kept[7], &pool.shared(7)));
        for number in 0..10 * LEAST_ROOM {
            drop(pool.shared(number));
        }
        assert!(pool.0.lock().things.len() <= LEAST_ROOM);
        assert!(Arc::ptr_eq(&kept[7], &pool.shared(7)));
    }
}
