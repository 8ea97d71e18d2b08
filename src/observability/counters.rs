//! Counts that many threads make.

use std::{
    cell::Cell,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Shards at most: with more threads than that, some share one.
const MAX_SHARDS: usize = 64;

/// How often something has happened since the process began.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// It has happened once more.
    pub fn add(&self) {
        self.add_many(1);
    }

    /// It has happened so many times more.
    pub fn add_many(&self, times: u64) {
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    /// How often so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The same for what happens with every request: threads do not take the number out of each other's
/// hands.
#[derive(Debug, Default)]
pub struct ShardedCounter(Sharded<Counter>);

impl ShardedCounter {
    /// It has happened once more.
    pub fn add(&self) {
        self.0.mine().add();
    }

    /// How often so far.
    pub fn get(&self) -> u64 {
        self.0.each().map(Counter::get).sum()
    }
}

/// A thing of which each thread has one, or nearly: a few threads may share one, so it must bear
/// that.
pub(crate) struct Sharded<T> {
    shards: Box<[Shard<T>]>,
    make: Box<dyn Fn() -> T + Send + Sync>,
}

/// Far enough from the next that no two share a line of any processor's cache, nor the line fetched
/// along with it.
#[repr(align(128))]
struct Shard<T>(OnceLock<T>);

impl<T: Default + 'static> Default for Sharded<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T> Sharded<T> {
    /// Each is made when its thread first asks for it.
    pub(crate) fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Threads are numbered as they come: with room to spare, those that are busy seldom meet.
        let count = (4 * cores).next_power_of_two().min(MAX_SHARDS);
        Self { shards: (0..count).map(|_| Shard(OnceLock::new())).collect(), make: Box::new(make) }
    }

    /// This thread's own.
    pub(crate) fn mine(&self) -> &T {
        self.shards[thread_number() % self.shards.len()].0.get_or_init(&self.make)
    }

    /// All that there are so far.
    pub(crate) fn each(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().filter_map(|shard| shard.0.get())
    }
}

impl<T: fmt::Debug> fmt::Debug for Sharded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.each()).finish()
    }
}

/// Which thread this is, counted from the first that asked.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const UNKNOWN: usize = usize::MAX;
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    }
    NUMBER.with(|number| {
        if number.get() == UNKNOWN {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_thread_is_left_out_of_the_sum() {
        let count = ShardedCounter::default();
        std::thread::scope(|scope| {
            for _ in 0..200 {
                scope.spawn(|| (0..100).for_each(|_| count.add()));
            }
        });
        assert_eq!(count.get(), 20_000);
    }
}
