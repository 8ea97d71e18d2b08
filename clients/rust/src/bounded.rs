//! A map of at most so many things.

use std::{collections::VecDeque, hash::Hash};

use dashmap::{
    DashMap,
    mapref::one::{Ref, RefMut},
};
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

/// Parts with a lock of their own: so many that threads seldom meet at one.
const SHARDS: usize = 128;

/// What came first goes first. A look touches nothing but the thing itself, which a map that remembers who was asked for
/// could not say; what goes too early costs a call.
#[derive(Debug)]
pub(crate) struct Bounded<K: Eq + Hash, V> {
    capacity: usize,
    by_key: DashMap<K, V, FxBuildHasher>,
    order: Mutex<VecDeque<K>>,
}

impl<K: Copy + Eq + Hash, V> Bounded<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, by_key: DashMap::with_hasher_and_shard_amount(FxBuildHasher, SHARDS), order: Mutex::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn get(&self, key: &K) -> Option<Ref<'_, K, V>> {
        self.by_key.get(key)
    }

    pub(crate) fn get_mut(&self, key: &K) -> Option<RefMut<'_, K, V>> {
        self.by_key.get_mut(key)
    }

    /// The thing of this key, made if there is none. Nothing else may be asked of the map meanwhile.
    pub(crate) fn with<R>(&self, key: K, make: impl FnOnce() -> V, change: impl FnOnce(&mut V) -> R) -> R {
        let mut is_new = false;
        let result = change(
            self.by_key
                .entry(key)
                .or_insert_with(|| {
                    is_new = true;
                    make()
                })
                .value_mut(),
        );
        if is_new {
            self.make_room_after(key);
        }
        result
    }

    fn make_room_after(&self, key: K) {
        let mut order = self.order.lock();
        order.push_back(key);
        while order.len() > self.capacity {
            if let Some(first) = order.pop_front() {
                self.by_key.remove(&first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_first_makes_room() {
        let map = Bounded::new(2);
        for key in [1, 2, 1, 3] {
            map.with(key, || key * 10, |_| ());
        }
        let held = [1, 2, 3].map(|key| map.get(&key).map(|value| *value));
        assert_eq!((held, map.len()), ([None, Some(20), Some(30)], 2));
    }
}
