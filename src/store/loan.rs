//! A connection on loan from a pool.
//!
//! The pool asks each connection that comes back for a sign of life, and waits for it for ever. Where the server went
//! without a word (its machine has lost power, the network has forgotten the connection), the system takes a quarter of
//! an hour to find out, and until then nobody could have the connection's place.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::{runtime::Handle, time::timeout};

use super::StoreError;

/// A connection that comes back has this long to give a sign of life.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is thought of connections that lie idle. Clones share it: it is about a server, and the network on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<Mutex<Instants>>);

#[derive(Clone, Copy, Debug, Default)]
struct Instants {
    /// When one last did not answer in time. It may have been the statement's fault.
    raised: Option<Instant>,
    /// When one last gave no sign of life.
    confirmed: Option<Instant>,
}

impl Doubt {
    fn raise(&self) {
        self.0.lock().raised = Some(Instant::now());
    }

    /// Somebody is asked, and the doubt is raised unless an answer comes: see [`Asking::end`].
    pub(super) fn while_asking(&self) -> Asking {
        Asking { doubt: self.clone(), is_over: false }
    }

    /// One that lay idle is dead. Others that lie idle need not be tried one by one.
    pub(super) fn confirm(&self) {
        self.0.lock().confirmed = Some(Instant::now());
    }

    /// May a connection that has lain idle for this long be dead?
    pub(super) fn concerns(&self, idle_for: Duration) -> bool {
        self.0.lock().raised.is_some_and(|raised| raised.elapsed() <= idle_for)
    }

    /// Must it be taken for dead?
    pub(super) fn condemns(&self, idle_for: Duration) -> bool {
        self.0.lock().confirmed.is_some_and(|confirmed| confirmed.elapsed() <= idle_for)
    }
}

/// A question that was not answered yet. Dropped, it was given up.
pub(super) struct Asking {
    doubt: Doubt,
    is_over: bool,
}

impl Asking {
    /// It was answered, be it with an error.
    pub(super) fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.is_over {
            self.doubt.raise();
        }
    }
}

/// How many connections of a pool are on loan. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lent(Arc<AtomicUsize>);

impl Lent {
    /// Are all connections that the pool may have on loan? Whoever finds none then waits for us, and not for the database.
    fn are_all_of(&self, pool: &PgPool) -> bool {
        self.0.load(Ordering::Relaxed) >= pool.options().get_max_connections() as usize
    }
}

/// A connection that goes back to its pool when it is dropped.
pub(super) struct Loan {
    connection: PoolConnection<Postgres>,
    doubt: Doubt,
    lent: Lent,
}

impl Loan {
    pub(super) async fn from(pool: &PgPool, doubt: &Doubt, lent: &Lent) -> Result<Self, StoreError> {
        let connection = pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut if lent.are_all_of(pool) => StoreError::PoolExhausted,
            error => StoreError::of_driver(error),
        })?;
        lent.0.fetch_add(1, Ordering::Relaxed);
        Ok(Self { connection, doubt: doubt.clone(), lent: lent.clone() })
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lent.0.fetch_sub(1, Ordering::Relaxed);
        let Ok(runtime) = Handle::try_current() else { return };
        let (doubt, coming_back) = (self.doubt.clone(), self.connection.return_to_pool());
        runtime.spawn(async move {
            // Dropped where it takes too long, it closes the connection.
            if timeout(PATIENCE, coming_back).await.is_err() {
                doubt.raise();
            }
        });
    }
}

impl Deref for Loan {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
