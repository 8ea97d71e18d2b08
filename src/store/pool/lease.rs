//! A connection while somebody uses it.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{
    Connection, Executor, PgConnection,
    error::DatabaseError,
    postgres::{PgDatabaseError, PgSeverity},
};
use tokio::{runtime::Handle, time::Instant, time::timeout};

use super::{Pool, place::Place, share::Purpose, state::Idle};

/// How long a connection may take to come back when it was given up in the middle of something, and
/// to be closed.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection is replaced after this long: its server may have grown large, or its address have
/// come to lead to another one.
const MAX_AGE: Duration = Duration::from_mins(30);

/// How a connection was left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Condition {
    /// Everything that was sent was answered.
    Clean,
    /// Something was sent, and its answer was not waited for.
    Unanswered,
    /// In a transaction.
    InTransaction,
    /// It cannot be used any more.
    Broken,
}

/// A connection that goes back to its pool when it is dropped.
pub(in crate::store) struct Lease {
    pool: Pool,
    /// `None`: it was taken out of here.
    connection: Option<PgConnection>,
    opened: Instant,
    /// Since when it has not been used.
    pub(super) since: Instant,
    /// The number of the address that it was opened with.
    address: u64,
    purpose: Purpose,
    condition: Condition,
    /// It is closed rather than used again.
    is_retired: bool,
}

impl Lease {
    pub(super) fn new(pool: Pool, idle: Idle, purpose: Purpose) -> Self {
        let Idle { connection, opened, since, address } = idle;
        let connection = Some(connection);
        Self {
            pool,
            connection,
            opened,
            since,
            address,
            purpose,
            condition: Condition::Clean,
            is_retired: false,
        }
    }

    /// Something is sent, or a transaction begun. Unless it is said otherwise, what comes back has
    /// not been waited for.
    pub(in crate::store) fn sends(&mut self) {
        if self.condition == Condition::Clean {
            self.condition = Condition::Unanswered;
        }
    }

    /// What was sent was answered, perhaps with an error.
    pub(in crate::store) fn answered<T>(&mut self, answer: &sqlx::Result<T>) {
        match answer {
            Err(sqlx::Error::Database(error)) if ends_the_session(&**error) => {
                self.condition = Condition::Broken;
            }
            Ok(_) | Err(sqlx::Error::Database(_)) if self.condition == Condition::Unanswered => {
                self.condition = Condition::Clean;
            }
            Err(sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)) => {
                self.condition = Condition::Broken;
            }
            _ => {}
        }
    }

    /// A transaction is begun. It is rolled back unless it is ended.
    pub(in crate::store) fn begins_transaction(&mut self) {
        self.condition = Condition::InTransaction;
    }

    /// The transaction has ended.
    pub(in crate::store) fn ends_transaction(&mut self) {
        self.condition = Condition::Clean;
    }

    /// What is run on it may leave settings behind, for which nobody else is to be held.
    pub(in crate::store) fn retire(&mut self) {
        self.is_retired = true;
    }

    /// Is it time for a younger one? Not while another may not be had, unless it is very old.
    fn is_too_old(&self) -> bool {
        let age = self.opened.elapsed();
        age > MAX_AGE && (age > 2 * MAX_AGE || self.pool.0.state.lock().can_replace())
    }

    /// Closes it, and keeps its place for another one.
    pub(super) async fn into_place(mut self) -> Place {
        let connection = self.connection.take();
        let place = Place::of_one_in_use(self.pool.clone(), self.purpose);
        if let Some(connection) = connection {
            _ = timeout(PATIENCE, connection.close()).await;
        }
        place
    }

    /// It cannot be used any more.
    pub(super) fn is_broken(&mut self) {
        self.condition = Condition::Broken;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let is_done_with = self.is_retired || self.is_too_old();
        let back = Returning {
            pool: self.pool.clone(),
            connection: Some(connection),
            opened: self.opened,
            address: self.address,
            purpose: self.purpose,
        };
        match self.condition {
            Condition::Clean if !is_done_with => back.put_back(),
            condition => {
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(back.tidy_up(condition));
                }
            }
        }
    }
}

/// A connection on its way back.
struct Returning {
    pool: Pool,
    connection: Option<PgConnection>,
    opened: Instant,
    address: u64,
    purpose: Purpose,
}

impl Returning {
    fn put_back(mut self) {
        let Some(connection) = self.connection.take() else { return };
        let now = Instant::now();
        let mut state = self.pool.0.state.lock();
        if state.is_closed || self.address != self.pool.address() {
            drop(state);
            self.connection = Some(connection);
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(self.tidy_up(Condition::Broken));
            }
            return;
        }
        *state.in_use.of_mut(self.purpose) -= 1;
        let (opened, address) = (self.opened, self.address);
        state.put_back(Idle { connection, opened, since: now, address });
        drop(state);
        self.pool.serve();
    }

    async fn tidy_up(mut self, condition: Condition) {
        let Some(mut connection) = self.connection.take() else { return };
        let tidied = match condition {
            Condition::Clean | Condition::Broken => false,
            Condition::Unanswered => comes_back(&mut connection, None).await,
            Condition::InTransaction => comes_back(&mut connection, Some("ROLLBACK")).await,
        };
        if tidied {
            self.connection = Some(connection);
            self.put_back();
        } else {
            if !matches!(condition, Condition::Clean | Condition::Broken) {
                self.pool.0.health.suspect();
            }
            self.connection = None;
            _ = timeout(PATIENCE, connection.close()).await;
            self.free();
        }
    }

    fn free(&self) {
        self.pool.free(|state| *state.in_use.of_mut(self.purpose) -= 1);
    }
}

/// Does it answer this? Before that comes what it was still to answer, such as that a statement has
/// taken too long.
async fn comes_back(connection: &mut PgConnection, word: Option<&'static str>) -> bool {
    let asking = async {
        for _ in 0..2 {
            let answer = match word {
                Some(word) => connection.execute(word).await.map(drop),
                None => connection.ping().await,
            };
            match answer {
                Ok(()) => return true,
                Err(sqlx::Error::Database(error)) if !ends_the_session(&*error) => {}
                Err(_) => return false,
            }
        }
        false
    };
    timeout(PATIENCE, asking).await.unwrap_or(false)
}

/// After such an error the server closes the connection.
fn ends_the_session(error: &dyn DatabaseError) -> bool {
    error
        .try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        #[expect(clippy::expect_used, reason = "it is only taken out by what consumes the lease")]
        self.connection.as_ref().expect("a lease holds its connection")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        #[expect(clippy::expect_used, reason = "it is only taken out by what consumes the lease")]
        self.connection.as_mut().expect("a lease holds its connection")
    }
}
