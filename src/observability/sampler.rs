//! Sampling one in N.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::counters::Sharded;

/// Chooses one in N. Each thread counts for itself, more or less. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sampler {
    one_in: u32,
    seen: Arc<Sharded<AtomicU32>>,
}

impl Sampler {
    /// Chooses one in `one_in`; 0: none.
    pub(crate) fn new(one_in: u32) -> Self {
        Self { one_in, ..Self::default() }
    }

    /// Is this the one?
    pub(crate) fn chooses(&self) -> bool {
        // With 0 nothing is counted, which costs a request nothing by default.
        self.one_in > 0
            && (self.seen.mine().fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.one_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_so_many_is_chosen() {
        let chosen = |one_in| {
            let sampler = Sampler::new(one_in);
            (0..40).filter(|_| sampler.chooses()).count()
        };
        assert_eq!([0, 1, 4, 40, 41].map(chosen), [0, 40, 10, 1, 0]);
    }
}
