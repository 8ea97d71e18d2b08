//! A map with a maximum number of entries, which any number of threads read without waiting.

use std::{collections::VecDeque, hash::Hash};

use papaya::HashMap;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

/// The oldest entry is evicted first. A read touches nothing but the entry itself, so the map does
/// not know which entries are in use; evicting one too early costs a call.
///
/// A change replaces the entry, and changes are serialized: reads are many, and a change goes with
/// a call to the server.
#[derive(Debug)]
pub(crate) struct Bounded<K: Eq + Hash, V> {
    capacity: usize,
    by_key: HashMap<K, V, FxBuildHasher>,
    /// Locked by every writer.
    order: Mutex<VecDeque<K>>,
}

impl<K: Copy + Eq + Hash, V: Clone> Bounded<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, by_key: HashMap::default(), order: Mutex::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Reads the entry with this key, if there is one.
    pub(crate) fn look<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.by_key.pin().get(key).map(look)
    }

    /// Changes the entry with this key, if there is one.
    pub(crate) fn change(&self, key: K, change: impl FnOnce(&mut V)) {
        let _alone = self.order.lock();
        let things = self.by_key.pin();
        if let Some(mut thing) = things.get(&key).cloned() {
            change(&mut thing);
            things.insert(key, thing);
        }
    }

    /// Removes the entry with this key, if there is one.
    pub(crate) fn remove(&self, key: &K) {
        let mut order = self.order.lock();
        if self.by_key.pin().remove(key).is_some() {
            order.retain(|other| other != key);
        }
    }

    /// Changes the entry with this key, which is made first if there is none.
    pub(crate) fn with<R>(
        &self,
        key: K,
        make: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> R,
    ) -> R {
        let mut order = self.order.lock();
        let things = self.by_key.pin();
        let known = things.get(&key).cloned();
        if known.is_none() {
            order.push_back(key);
        }
        let mut thing = known.unwrap_or_else(make);
        let result = change(&mut thing);
        things.insert(key, thing);
        while order.len() > self.capacity {
            order.pop_front().and_then(|first| things.remove(&first));
        }
        result
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
        let held = [1, 2, 3].map(|key| map.look(&key, |value| *value));
        assert_eq!((held, map.len()), ([None, Some(20), Some(30)], 2));
    }
}
