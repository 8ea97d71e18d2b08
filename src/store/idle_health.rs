//! Whether idle connections are still alive.
//!
//! If one did not answer a ping, or a statement got no answer, others that have been idle since
//! before may be dead too: the server has lost power, or the network has dropped them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The health of idle connections. Clones share it: it concerns a server, and the network on the
/// way to it.
#[derive(Clone, Debug, Default)]
pub(super) struct IdleHealth(Arc<Mutex<Instants>>);

#[derive(Clone, Copy, Debug, Default)]
struct Instants {
    /// When one last did not answer in time. It may have been due to the statement.
    suspected: Option<Instant>,
    /// When one last did not answer a ping.
    died: Option<Instant>,
}

impl IdleHealth {
    /// A connection did not answer in time.
    pub(super) fn suspect(&self) {
        self.0.lock().suspected = Some(Instant::now());
    }

    /// A statement is being sent, and idle connections are suspect unless an answer arrives: see
    /// [`Pending::answered`].
    pub(super) fn sending(&self) -> Pending {
        Pending { health: self.clone(), is_answered: false }
    }

    /// An idle connection is dead. Other idle ones need not be tried one by one.
    pub(super) fn died(&self) {
        self.0.lock().died = Some(Instant::now());
    }

    /// May a connection that has been idle for this long be dead?
    pub(super) fn is_suspect(&self, idle_for: Duration) -> bool {
        self.0.lock().suspected.is_some_and(|suspected| suspected.elapsed() <= idle_for)
    }

    /// Must it be considered dead?
    pub(super) fn is_dead(&self, idle_for: Duration) -> bool {
        self.0.lock().died.is_some_and(|died| died.elapsed() <= idle_for)
    }
}

/// A statement that has not been answered yet. Dropping this means that it was given up.
pub(super) struct Pending {
    health: IdleHealth,
    is_answered: bool,
}

impl Pending {
    /// It was answered, possibly with an error.
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_answered {
            self.health.suspect();
        }
    }
}
