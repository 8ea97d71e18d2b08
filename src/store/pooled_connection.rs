//! A connection out of a pool.
//!
//! The pool pings each connection that comes back, and waits for the answer for ever. Where the
//! server went without a word (its machine has lost power, the network has forgotten the
//! connection), the system takes a quarter of an hour to find out, and until then nobody could have
//! the connection's place.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::{runtime::Handle, time::timeout};

use super::{StoreError, idle_health::IdleHealth};

/// A connection that comes back has this long to give a sign of life.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many connections of a pool are in use. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct InUse(Arc<AtomicUsize>);

impl InUse {
    /// Are all connections that the pool may have in use? Whoever finds none then waits for us, and
    /// not for the database.
    fn is_all_of(&self, pool: &PgPool) -> bool {
        self.0.load(Ordering::Relaxed) >= pool.options().get_max_connections() as usize
    }
}

/// A connection that goes back to its pool when it is dropped.
pub(super) struct PooledConnection {
    connection: PoolConnection<Postgres>,
    health: IdleHealth,
    in_use: InUse,
}

impl PooledConnection {
    pub(super) async fn acquire(
        pool: &PgPool,
        health: &IdleHealth,
        in_use: &InUse,
    ) -> Result<Self, StoreError> {
        let connection = pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut if in_use.is_all_of(pool) => StoreError::PoolExhausted,
            error => StoreError::of_driver(error),
        })?;
        in_use.0.fetch_add(1, Ordering::Relaxed);
        Ok(Self { connection, health: health.clone(), in_use: in_use.clone() })
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        self.in_use.0.fetch_sub(1, Ordering::Relaxed);
        let Ok(runtime) = Handle::try_current() else { return };
        let (health, coming_back) = (self.health.clone(), self.connection.return_to_pool());
        runtime.spawn(async move {
            // Dropped where it takes too long, it closes the connection.
            if timeout(PATIENCE, coming_back).await.is_err() {
                health.suspect();
            }
        });
    }
}

impl Deref for PooledConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
