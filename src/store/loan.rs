//! A connection on loan from a pool.
//!
//! The pool asks each connection that comes back for a sign of life, and waits for it for ever. Where the server went
//! without a word (its machine has lost power, the network has forgotten the connection), the system takes a quarter of
//! an hour to find out, and until then nobody could have the connection's place.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::{runtime::Handle, time::timeout};

/// A connection that comes back has this long to give a sign of life.
const PATIENCE: Duration = Duration::from_secs(1);

/// When a connection last did not answer in time: those that have lain idle since before that may be dead too.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<Mutex<Option<Instant>>>);

impl Doubt {
    fn raise(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Does it concern a connection that has lain idle for this long?
    pub(super) fn concerns(&self, idle_for: Duration) -> bool {
        let raised = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        raised.is_some_and(|raised| raised.elapsed() <= idle_for)
    }
}

/// A connection that must be given back with [`Self::end`]: one that is dropped was given up while it was waited for.
pub(super) struct Loan {
    connection: PoolConnection<Postgres>,
    doubt: Doubt,
    is_over: bool,
}

impl Loan {
    pub(super) async fn from(pool: &PgPool, doubt: &Doubt) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: pool.acquire().await?, doubt: doubt.clone(), is_over: false })
    }

    /// The connection was answered.
    pub(super) fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.is_over {
            self.doubt.raise();
        }
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
