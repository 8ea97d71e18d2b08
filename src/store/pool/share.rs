//! Which part of the connections serves which purpose. Pure.

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::store) enum Purpose {
    /// To watch for changes: what is held depends on it, so it goes first.
    Watching,
    /// To read what somebody waits for, or what is read again in the background.
    Loading,
    /// To write, in a transaction that may wait for others' locks.
    Writing,
}

impl Purpose {
    pub(super) const ALL: [Self; 3] = [Self::Watching, Self::Loading, Self::Writing];
}

/// One thing for each purpose.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::store) struct Each<T> {
    pub(super) watching: T,
    pub(super) loading: T,
    pub(super) writing: T,
}

impl<T> Each<T> {
    pub(super) fn of(&self, purpose: Purpose) -> &T {
        match purpose {
            Purpose::Watching => &self.watching,
            Purpose::Loading => &self.loading,
            Purpose::Writing => &self.writing,
        }
    }

    pub(super) fn of_mut(&mut self, purpose: Purpose) -> &mut T {
        match purpose {
            Purpose::Watching => &mut self.watching,
            Purpose::Loading => &mut self.loading,
            Purpose::Writing => &mut self.writing,
        }
    }
}

/// Connections that watch: one listens, one asks, and another asks while that one does not come
/// back.
const MAX_WATCHING: usize = 3;

/// Changes of administrators at the same time.
const MAX_WRITING: usize = 6;

/// How many of the connections may serve each purpose at the same time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::store) struct Shares {
    most: Each<usize>,
    /// For loading and writing together.
    others: usize,
}

impl Shares {
    /// A server's shares of so many connections. A load that hangs must not make what is held
    /// suspect, and a change that waits for a lock must not hold up the loads; as far as there are
    /// enough. One is enough for everything, in turn.
    pub(in crate::store) fn of_server(connections: usize) -> Self {
        let kept_for_watching = match connections {
            0 | 1 => 0,
            2..=5 => 1,
            6..=9 => 2,
            _ => MAX_WATCHING,
        };
        let others = connections.saturating_sub(kept_for_watching).max(1);
        let most = Each {
            watching: MAX_WATCHING.min(connections.max(1)),
            loading: others,
            writing: (others / 2).clamp(1, MAX_WRITING),
        };
        Self { most, others }
    }

    /// The shares of a command, which serves nobody else.
    pub(super) fn of_command(connections: usize) -> Self {
        Self {
            most: Each { watching: connections, loading: connections, writing: connections },
            others: connections,
        }
    }

    /// How many may write at the same time.
    pub(in crate::store) fn most_writing(self) -> usize {
        self.most.writing
    }

    /// How those that load are divided.
    pub(in crate::store) fn of_loads(self) -> LoadShares {
        LoadShares::of(self.most.loading)
    }

    /// May one more connection serve this purpose, beside those in use?
    pub(super) fn allow(self, purpose: Purpose, in_use: Each<usize>) -> bool {
        let is_within = *in_use.of(purpose) < *self.most.of(purpose);
        let others = in_use.loading + in_use.writing;
        is_within && (purpose == Purpose::Watching || others < self.others)
    }
}

/// How many loads of each kind may run at the same time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LoadShares {
    /// Loads into the cache.
    pub at_once: usize,
    /// Readings past it.
    pub past_the_cache: usize,
}

impl LoadShares {
    /// The shares of so many connections. Some are left to reading again in the background.
    pub(in crate::store) fn of(connections: usize) -> Self {
        const MAX_PAST_THE_CACHE: usize = 4;
        let in_background = match connections {
            0..=2 => 0,
            3..=7 => 1,
            _ => 2,
        };
        let past_the_cache = (connections / 3).clamp(1, MAX_PAST_THE_CACHE);
        let at_once = connections.saturating_sub(past_the_cache + in_background).max(1);
        Self { at_once, past_the_cache }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(watching: usize, loading: usize, writing: usize) -> Each<usize> {
        Each { watching, loading, writing }
    }

    #[test]
    fn one_connection_serves_everything_in_turn() {
        let shares = Shares::of_server(1);
        for purpose in Purpose::ALL {
            assert!(shares.allow(purpose, used(0, 0, 0)), "{purpose:?}");
        }
    }

    #[test]
    fn loads_and_changes_leave_a_connection_for_watching_once_there_are_two() {
        for connections in 2..100 {
            let shares = Shares::of_server(connections);
            let (mut loading, mut writing) = (0, 0);
            while shares.allow(Purpose::Loading, used(0, loading, writing)) {
                loading += 1;
            }
            while shares.allow(Purpose::Writing, used(0, loading, writing)) {
                writing += 1;
            }
            assert!(loading + writing < connections, "{connections}");
            assert!(shares.allow(Purpose::Watching, used(0, loading, writing)));
        }
    }

    #[test]
    fn changes_leave_a_connection_for_loads_once_there_are_three() {
        for connections in 3..100 {
            let shares = Shares::of_server(connections);
            let writing = (0..).take_while(|n| shares.allow(Purpose::Writing, used(0, 0, *n)));
            let writing = writing.count();
            assert!((1..=MAX_WRITING).contains(&writing));
            assert!(shares.allow(Purpose::Loading, used(0, 0, writing)), "{connections}");
        }
    }
}
