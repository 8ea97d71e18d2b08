//! A connection from a pool.
//!
//! The pool pings each returned connection, and waits forever for the answer. If the server
//! disappeared silently (its machine has lost power, the network has dropped the connection), the
//! operating system takes a quarter of an hour to find out, and until then nobody could use the
//! connection's slot.

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

/// How long a returned connection may take to answer a ping.
const PATIENCE: Duration = Duration::from_secs(1);

/// The number of a pool's connections that are in use. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct InUse(Arc<AtomicUsize>);

impl InUse {
    /// Are all connections of the pool in use? A caller that gets none is then waiting for us, not
    /// for the database.
    fn is_all_of(&self, pool: &PgPool) -> bool {
        self.0.load(Ordering::Relaxed) >= pool.options().get_max_connections() as usize
    }
}

/// A connection that is returned to its pool when it is dropped.
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
            // If it takes too long, dropping it closes the connection.
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
