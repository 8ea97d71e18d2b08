//! Counters that many threads increment. What pays for them:
//! `docs/decisions/0008-our-own-counters-and-histogram.md`.

use std::{
    cell::Cell,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
};

/// Maximum number of shards: with more threads than that, some share one.
const MAX_SHARDS: usize = 64;

/// A count of events since the process started.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing has happened yet.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one event.
    pub fn add(&self) {
        self.add_many(1);
    }

    /// Counts several events.
    pub fn add_many(&self, times: u64) {
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    /// The current count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter for events that happen with every request: threads do not contend for it.
#[derive(Debug, Default)]
pub struct ShardedCounter(Sharded<Counter>);

impl ShardedCounter {
    /// Counts one event.
    pub fn add(&self) {
        self.0.mine().add();
    }

    /// The current count.
    pub fn get(&self) -> u64 {
        self.0.each().map(Counter::get).sum()
    }
}

/// How many of something there are, which come and go with every request: threads do not contend
/// for it.
#[derive(Debug, Default)]
pub(crate) struct ShardedGauge(Sharded<AtomicI64>);

/// One of those that a [`ShardedGauge`] counts, while this lives.
#[derive(Debug)]
pub(crate) struct Present<'a>(&'a ShardedGauge);

impl ShardedGauge {
    /// Counts one more.
    pub(crate) fn enter(&self) -> Present<'_> {
        self.0.mine().fetch_add(1, Ordering::Relaxed);
        Present(self)
    }

    /// How many there are.
    pub(crate) fn get(&self) -> usize {
        // One that went on another thread than it came on makes that thread's share negative.
        let count: i64 = self.0.each().map(|share| share.load(Ordering::Relaxed)).sum();
        usize::try_from(count).unwrap_or(0)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.0.mine().fetch_sub(1, Ordering::Relaxed);
    }
}

/// A value per thread, more or less: a few threads may share one, so it must tolerate that.
pub(crate) struct Sharded<T> {
    shards: Box<[Shard<T>]>,
    make: Box<dyn Fn() -> T + Send + Sync>,
}

/// Aligned so that no two shards are in one cache line of any processor, nor in the line that is
/// prefetched with it.
#[repr(align(128))]
struct Shard<T>(OnceLock<T>);

impl<T: Default + 'static> Default for Sharded<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T> Sharded<T> {
    /// Each value is made when its thread first asks for it.
    pub(crate) fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Threads are numbered as they appear: with spare shards, busy threads rarely share one.
        let count = (4 * cores).next_power_of_two().min(MAX_SHARDS);
        Self { shards: (0..count).map(|_| Shard(OnceLock::new())).collect(), make: Box::new(make) }
    }

    /// This thread's value.
    pub(crate) fn mine(&self) -> &T {
        self.shards[thread_number() % self.shards.len()].0.get_or_init(&self.make)
    }

    /// All values so far.
    pub(crate) fn each(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().filter_map(|shard| shard.0.get())
    }
}

impl<T: fmt::Debug> fmt::Debug for Sharded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.each()).finish()
    }
}

/// The number of this thread, in the order in which threads first asked.
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

    #[test]
    fn what_goes_on_another_thread_than_it_came_on_is_gone() {
        let gauge = ShardedGauge::default();
        let (one, _other) = (gauge.enter(), gauge.enter());
        std::thread::scope(|scope| {
            scope.spawn(|| drop(one));
        });
        assert_eq!(gauge.get(), 1);
    }
}
