//! Whether connections that lie idle are still alive.
//!
//! Where one gave no sign of life, or a statement no answer, others that have lain idle since
//! before may be dead too: the server has lost power, or the network has forgotten them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How connections that lie idle have fared. Clones share it: it is about a server, and the network
/// on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct IdleHealth(Arc<Mutex<Instants>>);

#[derive(Clone, Copy, Debug, Default)]
struct Instants {
    /// When one last did not answer in time. It may have been the statement's fault.
    suspected: Option<Instant>,
    /// When one last gave no sign of life.
    died: Option<Instant>,
}

impl IdleHealth {
    /// One did not answer in time.
    pub(super) fn suspect(&self) {
        self.0.lock().suspected = Some(Instant::now());
    }

    /// A statement is sent, and idle connections are suspect unless an answer comes: see
    /// [`Pending::answered`].
    pub(super) fn sending(&self) -> Pending {
        Pending { health: self.clone(), is_answered: false }
    }

    /// One that lay idle is dead. Others that lie idle need not be tried one by one.
    pub(super) fn died(&self) {
        self.0.lock().died = Some(Instant::now());
    }

    /// May a connection that has lain idle for this long be dead?
    pub(super) fn is_suspect(&self, idle_for: Duration) -> bool {
        self.0.lock().suspected.is_some_and(|suspected| suspected.elapsed() <= idle_for)
    }

    /// Must it be taken for dead?
    pub(super) fn is_dead(&self, idle_for: Duration) -> bool {
        self.0.lock().died.is_some_and(|died| died.elapsed() <= idle_for)
    }
}

/// A statement that was not answered yet. Dropped, it was given up.
pub(super) struct Pending {
    health: IdleHealth,
    is_answered: bool,
}

impl Pending {
    /// It was answered, be it with an error.
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
