//! Read replicas: a load uses one if it holds every change that has been announced for what is
//! loaded.
//!
//! A replica is asked, twice a second, whether it has replayed the primary's log up to where the
//! log ended a moment ago; if so, it holds every change that was announced before that moment.
//! Until then, changed tenants are loaded from the primary.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::{
    StoreError,
    ask::Ask,
    database::Database,
    pool::{Purpose, within},
    row,
};
use parking_lot::Mutex;
use sea_orm::{DbErr, QueryResult, Statement};

/// How long a replica may take: otherwise the primary is used, within the same load.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);

/// The replicas of a primary.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    all: Vec<Replica>,
    turn: AtomicUsize,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) database: Database,
    /// What it was last seen to hold; `None`: unknown.
    holds: Mutex<Option<Held>>,
}

/// How far a replica has come.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// It holds every change up to this one, in the cache's numbering.
    changes: u64,
    /// The position in the primary's log that it has replayed. A replica that has not come this far
    /// is another server behind the same address.
    lsn: String,
}

impl Replicas {
    pub(super) fn new(databases: Vec<Database>) -> Self {
        let replica = |database| Replica { database, holds: Mutex::default() };
        Self { all: databases.into_iter().map(replica).collect(), turn: AtomicUsize::new(0) }
    }

    /// A replica that holds these changes, in rotation; and how far it has come.
    pub(super) fn one_that_holds(&self, changes: u64) -> Option<(&Replica, Held)> {
        let from = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut in_turn =
            (0..self.all.len()).map(|step| &self.all[(from.wrapping_add(step)) % self.all.len()]);
        in_turn.find_map(|replica| {
            Some((replica, replica.held().filter(|held| held.changes >= changes)?))
        })
    }

    /// Finds out which replicas hold these changes, which must have been announced before this is
    /// called.
    pub(super) async fn check(&self, primary: &Database, changes: u64) -> Result<(), StoreError> {
        if self.all.is_empty() {
            return Ok(());
        }
        // The end of the log, whether written or not: a commit can be visible before its record is
        // written.
        let rows =
            in_time(primary.sql("SELECT pg_current_wal_insert_lsn()::text AS lsn", [])).await?;
        let lsn: String = row::first(&rows)?.try_get("", "lsn")?;
        let held = Held { changes, lsn };
        futures_util::future::join_all(self.all.iter().map(|replica| replica.check(&held))).await;
        Ok(())
    }

    /// The numbers of replicas, and of those that may be used.
    pub(super) fn count(&self) -> [usize; 2] {
        [self.all.len(), self.all.iter().filter(|replica| replica.held().is_some()).count()]
    }

    pub(super) fn refused_connections(&self) -> u64 {
        self.all.iter().map(|replica| replica.database.refused_connections()).sum()
    }

    pub(super) async fn close(&self) {
        for replica in &self.all {
            replica.database.close().await;
        }
    }
}

impl Replica {
    /// The replica did not answer, or did not hold what was assumed. Was it trusted until now?
    pub(super) fn distrust(&self) -> bool {
        self.holds.lock().take().is_some()
    }

    async fn check(&self, wanted: &Held) {
        let answer = in_time(self.database.to(Purpose::Watching).sql(holds(&wanted.lsn), [])).await;
        match answer.map(|rows| says_yes(&rows)) {
            Ok(true) => self.hold(Some(wanted.clone())),
            // It lags: it still holds what it was seen to hold.
            Ok(false) => {}
            Err(error) => {
                if self.distrust() {
                    tracing::warn!(%error, "a replica does not answer; the primary is asked instead: {error}");
                }
            }
        }
    }

    /// Reads rows. `None`: it does not hold what it was seen to hold, for it is another server behind the
    /// same address.
    ///
    /// What it holds is asked first, in a statement of its own: a statement sees what there was when it
    /// began, and the position moves on meanwhile.
    pub(super) async fn read(
        &self,
        held: &Held,
        statement: impl FnOnce(&Database) -> Statement,
    ) -> Result<Option<Vec<QueryResult>>, StoreError> {
        let database = self.database.unprepared();
        let holds = database.dialect().statement(holds(&held.lsn), []);
        let all = database.query_each(vec![holds, statement(&database)]).await?;
        let [said, rows] = <[_; 2]>::try_from(all)
            .map_err(|_| DbErr::Custom("a statement of a load has no result".into()))?;
        Ok(says_yes(&said).then_some(rows))
    }

    fn held(&self) -> Option<Held> {
        self.holds.lock().clone()
    }

    fn hold(&self, held: Option<Held>) {
        *self.holds.lock() = held;
    }
}

/// Has a server replayed its primary's log up to this position? A promoted server is no longer a
/// replica.
fn holds(lsn: &str) -> String {
    format!(
        "SELECT pg_is_in_recovery() AND COALESCE(pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn, false) AS holds"
    )
}

fn says_yes(rows: &[QueryResult]) -> bool {
    rows.first().is_some_and(|row| row.try_get("", "holds").unwrap_or(false))
}

pub(super) async fn in_time<T>(
    asking: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    within(PATIENCE, asking).await
}
