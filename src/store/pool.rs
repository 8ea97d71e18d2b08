//! The connections to a PostgreSQL server.
//!
//! It serves with those that it gets, the most urgent purpose first, and knows the server's own words
//! where there are no more. Everything that an instance opens on a server is counted here, what
//! listens too. docs/decisions/0012-our-own-pool-of-connections.md says why it is our own.

mod address;
mod exchanges;
mod lease;
mod limits;
mod open;
mod place;
mod share;
mod state;
#[cfg(test)]
mod tests;
mod within;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot, watch},
    time::{Duration, Instant, timeout},
};

use self::{
    address::Address,
    open::Opening,
    state::{Idle, State, Waiter},
    within::OwnWait,
};
pub(super) use self::{
    address::is_the_same_server,
    lease::Lease,
    limits::Limits,
    place::Place,
    share::{Purpose, Shares},
};
pub use self::{exchanges::Exchanges, share::LoadShares, within::within};
use super::{StoreError, idle_health::IdleHealth};

/// A connection that has been idle for this long, or since before another one did not answer, is
/// pinged before it is used. Others are not: that would double the round trips of every load.
const TRUSTED_IDLE: Duration = Duration::from_secs(30);

/// How long the answer to a ping may take, at least; otherwise a new connection is opened.
const SIGN_OF_LIFE: Duration = Duration::from_millis(250);
/// The same of a database that is far away. A load has 1.5 s for everything.
const LONGEST_SIGN_OF_LIFE: Duration = Duration::from_millis(750);

/// The connections to a server. Clones share them.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    /// Changes only while the state is locked.
    address: watch::Sender<Address>,
    /// What each session begins with, where it cannot be told when it is opened.
    first: Option<String>,
    limits: Limits,
    health: IdleHealth,
    state: Mutex<State>,
    /// How long opening one took the last time.
    took: Mutex<Duration>,
    freed: Notify,
    /// Connections that the server has refused since there are too many.
    refused: AtomicU64,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl Pool {
    /// `health` is shared by all connections to a server.
    pub(super) fn new(
        connect: PgConnectOptions,
        first: Option<String>,
        limits: Limits,
        health: IdleHealth,
    ) -> Self {
        Self(Arc::new(Inner {
            address: watch::Sender::new(Address { connect, number: 0 }),
            first,
            limits,
            health,
            state: Mutex::default(),
            took: Mutex::default(),
            freed: Notify::new(),
            refused: AtomicU64::new(0),
        }))
    }

    /// What each session begins with, where it cannot be told when it is opened.
    pub(super) fn first(&self) -> Option<String> {
        self.0.first.clone()
    }

    pub(super) fn health(&self) -> &IdleHealth {
        &self.0.health
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The numbers of connections, places for others' included, and of idle ones among them.
    pub(super) fn counts(&self) -> [usize; 2] {
        let state = self.0.state.lock();
        [state.open, state.idle()]
    }

    /// How many connections the server has refused since there are too many.
    pub(super) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// What serves which purpose at present.
    pub(super) fn shares(&self) -> Shares {
        self.0.state.lock().shares(&self.0.limits)
    }

    /// A connection that is alive, as far as is known.
    pub(super) async fn acquire(&self, purpose: Purpose) -> Result<Lease, StoreError> {
        let deadline = Instant::now() + self.0.limits.patience(purpose);
        loop {
            let mut lease = self.wait_for_one(purpose, deadline).await?;
            if self.is_alive(&mut lease).await {
                return Ok(lease);
            }
            lease.is_broken();
        }
    }

    async fn wait_for_one(&self, purpose: Purpose, deadline: Instant) -> Result<Lease, StoreError> {
        let (answer, mut turn) = oneshot::channel();
        {
            let mut state = self.0.state.lock();
            if state.is_closed {
                return Err(StoreError::of_driver(sqlx::Error::PoolClosed));
            }
            let now = Instant::now();
            if let Some(error) = state.is_in_vain(now) {
                return Err(error);
            }
            let waiter = Waiter { since: now, answer };
            state.lines.of_mut(purpose).push_back(waiter);
        }
        self.serve();
        let own_wait = OwnWait::begin(|| self.0.state.lock().usable() > 0);
        // Once it is known why none can be opened, nobody waits for longer than a load does.
        let soon = deadline.min(Instant::now() + self.0.limits.acquire);
        for deadline in [soon, deadline] {
            if let Ok(given) = tokio::time::timeout_at(deadline, &mut turn).await {
                own_wait.end();
                return given.unwrap_or(Err(StoreError::PoolExhausted));
            }
            let state = self.0.state.lock();
            if let (0, Some(failure)) = (state.usable(), &state.failure)
                && failure.is_recent(Instant::now())
            {
                return Err(failure.error.clone());
            }
        }
        let has_some = self.0.state.lock().usable() > 0;
        Err(if has_some { StoreError::PoolExhausted } else { StoreError::TimedOut })
    }

    async fn is_alive(&self, lease: &mut Lease) -> bool {
        let (idle_for, health) = (lease.since.elapsed(), &self.0.health);
        if health.is_dead(idle_for) {
            return false;
        }
        if idle_for < TRUSTED_IDLE && !health.is_suspect(idle_for) {
            return true;
        }
        // A ping takes one round trip, and opening a connection several.
        let at_most = SIGN_OF_LIFE.max((*self.0.took.lock() / 3).min(LONGEST_SIGN_OF_LIFE));
        lease.sends();
        let answer = timeout(at_most, lease.ping()).await;
        let Ok(answer @ Ok(())) = answer else {
            health.died();
            return false;
        };
        lease.answered(&answer);
        true
    }

    /// Hands out what is idle, and opens what is wanted. To be called whenever something has
    /// changed.
    fn serve(&self) {
        let orders = self.0.state.lock().match_up(&self.0.limits, Instant::now());
        for (answer, idle, purpose) in orders.handed {
            // Who has left gives it back by dropping it.
            _ = answer.send(Ok(Lease::new(self.clone(), idle, purpose)));
        }
        for _ in 0..orders.to_open {
            let opening = Opening::counted(self.clone());
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(self.clone().open_one(opening))),
                Err(_) => opening.end(),
            }
        }
        self.close_all(orders.expired);
    }

    /// Closes what nobody uses, in the background.
    fn close_all(&self, idle: impl IntoIterator<Item = Idle>) {
        let Ok(runtime) = Handle::try_current() else { return };
        for Idle { connection, .. } in idle {
            let pool = self.clone();
            runtime.spawn(async move {
                close_connection(connection).await;
                pool.free(|_| {});
            });
        }
    }

    /// A connection is gone.
    fn free(&self, note: impl FnOnce(&mut State)) {
        {
            let mut state = self.0.state.lock();
            state.open -= 1;
            note(&mut state);
        }
        self.0.freed.notify_waiters();
        self.serve();
    }

    /// Closes every connection, once those in use have come back.
    pub(super) async fn close(&self) {
        let (idle, waiters) = {
            let mut state = self.0.state.lock();
            state.is_closed = true;
            (state.take_all_idle(), state.take_all_waiters())
        };
        for waiter in waiters {
            _ = waiter.send(Err(StoreError::of_driver(sqlx::Error::PoolClosed)));
        }
        for Idle { connection, .. } in idle {
            close_connection(connection).await;
            self.free(|_| {});
        }
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.0.state.lock().open == 0 {
                return;
            }
            freed.await;
        }
    }
}

async fn close_connection(connection: PgConnection) {
    /// A server that is gone says nothing.
    const PATIENCE: Duration = Duration::from_secs(1);
    _ = timeout(PATIENCE, connection.close()).await;
}
