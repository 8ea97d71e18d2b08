//! Locks on the ERP's tables, without its writers noticing.
//!
//! Making a trigger, or a foreign key to a table, waits for every open transaction that has written
//! to that table, and newer writers queue behind it. So an attempt waits for a moment only, is rolled
//! back if that was not enough, and is repeated after a pause, in which the writers go on. It gives
//! up long before PostgreSQL looks for deadlocks, so that no writer is ever the victim of one.

use std::time::{Duration, Instant};

use sea_orm_migration::{
    prelude::*,
    sea_orm::{
        ConnectionTrait, DatabaseConnection, DbBackend, RuntimeErr, Statement,
        sqlx::error::DatabaseError,
    },
};

/// How long an attempt waits for a lock: a setting of PostgreSQL's.
pub(crate) const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '100ms'";

/// The pauses between attempts: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// Attempts to lock something.
#[derive(Debug)]
pub(crate) struct Patience {
    began: Instant,
    most: Duration,
    pause: Duration,
    attempts: u32,
}

impl Patience {
    /// Attempts that begin now, and end after so long.
    pub(crate) fn of(most: Duration) -> Self {
        Self { began: Instant::now(), most, pause: PAUSES[0], attempts: 1 }
    }

    /// How many attempts there have been, and how long they took, pauses included.
    pub(crate) fn spent(&self) -> (u32, Duration) {
        (self.attempts, self.began.elapsed())
    }

    /// Waits until the next attempt, if the last one failed because something is locked and there is
    /// time left.
    ///
    /// # Errors
    ///
    /// Otherwise the error, together with who holds the locks.
    pub(crate) async fn after(
        &mut self,
        error: DbErr,
        db: &DatabaseConnection,
    ) -> Result<(), DbErr> {
        if !is_locked(&error) {
            return Err(error);
        }
        if self.began.elapsed() + self.pause > self.most {
            return Err(DbErr::Custom(format!(
                "the ERP's tables could not be locked in {} attempts within {:?} ({error}){}. What was done is kept, and \
                 nothing is half done: run it again, at a quieter time or with a longer --lock-patience",
                self.attempts,
                self.most,
                holders(db).await
            )));
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES[1]);
        self.attempts += 1;
        Ok(())
    }
}

fn is_locked(error: &DbErr) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const DEADLOCK_DETECTED: &str = "40P01";
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) =
        error
    else {
        return false;
    };
    let code = cause.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code == LOCK_NOT_AVAILABLE || code == DEADLOCK_DETECTED)
}

/// The sessions that hold locks of writers on tables in `public`, those with the oldest transactions
/// first, as the end of a sentence. What they run is left out: it may hold secrets.
async fn holders(db: &DatabaseConnection) -> String {
    const QUERY: &str = "
        SELECT format('process %s of %s (%s) has written to %s and been in its transaction for %s s', a.pid,
                      COALESCE(quote_ident(a.usename), 'PostgreSQL'),
                      COALESCE(NULLIF(quote_ident(a.application_name), '\"\"'), a.backend_type),
                      string_agg(DISTINCT l.relation::regclass::text, ', '),
                      round(extract(epoch FROM clock_timestamp() - a.xact_start))) AS holder
        FROM pg_locks l
        JOIN pg_class c ON c.oid = l.relation AND c.relkind = 'r' AND c.relnamespace = to_regnamespace('public')
        JOIN pg_stat_activity a USING (pid)
        WHERE l.granted AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND a.pid <> pg_backend_pid()
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        GROUP BY a.pid, a.usename, a.application_name, a.backend_type, a.xact_start
        ORDER BY a.xact_start LIMIT 3";
    let query = Statement::from_string(DbBackend::Postgres, QUERY);
    // Without the right to see others' sessions it cannot be said.
    let rows = db.query_all_raw(query).await.unwrap_or_default();
    let named = rows.iter().filter_map(|row| row.try_get::<String>("", "holder").ok());
    named.map(|holder| format!("; {holder}")).collect::<Vec<_>>().concat()
}
