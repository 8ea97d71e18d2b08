//! Read replicas: a load uses one if it holds every change that has been announced for what is
//! loaded.
//!
//! A replica is asked, twice a second, whether it has replayed the primary's log up to where the
//! log ended a moment ago; if so, it holds every change that was announced before that moment.
//! Until then, changed tenants are loaded from the primary.

mod standing;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use sea_orm::{DbErr, QueryResult, Statement};
use tokio::runtime::Handle;

use self::standing::{Held, Standing};
pub(super) use self::standing::{TIMELINE_OF_PRIMARY, TIMELINE_OF_REPLICA, identity_of};
use super::{
    ConnectError, ConnectOptions, MoveError, StoreError,
    ask::Ask,
    connect,
    database::Database,
    idle_health::IdleHealth,
    pool::{Pool, Purpose, is_the_same_server, within},
    row,
};

/// How long a replica may take: otherwise the primary is used, within the same load.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);

/// How long a new one may take to answer before it is used in the place of one that does.
const TRIAL: Duration = Duration::from_secs(5);

/// The replicas of a primary.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    /// They may change while loads go on.
    all: RwLock<Vec<Arc<Replica>>>,
    turn: AtomicUsize,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) database: Database,
    way: Way,
    /// What it was last seen to hold; `None`: unknown.
    holds: Mutex<Option<Held>>,
}

/// How a replica is reached, to be compared with others. Holds a password.
#[derive(Eq, PartialEq)]
struct Way {
    url: String,
    ca: Option<Vec<u8>>,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").finish_non_exhaustive()
    }
}

impl Replicas {
    /// Uses these from now on. Those that were used already stay as they are, and others are closed
    /// once those who load from them are done.
    ///
    /// What is to take the place of a replica that answers, with another password for example, must
    /// answer too: otherwise everything stays as it is.
    pub(super) async fn replace(&self, wanted: &[ConnectOptions<'_>]) -> Result<(), MoveError> {
        let before = self.present();
        let mut all = Vec::with_capacity(wanted.len());
        for options in wanted {
            let way = Way { url: options.url.to_owned(), ca: options.ca.map(<[u8]>::to_vec) };
            let kept = before.iter().find(|replica| replica.way == way);
            all.push(match kept {
                Some(replica) => Arc::clone(replica),
                None => Arc::new(Replica::new(options, way)?),
            });
        }
        let new = all.iter().filter(|new| !is_among(&before, new));
        let tried = new.map(|new| async {
            let answers = new.replaces_one_that_answers(&before);
            if answers { new.answers().await } else { Ok(()) }
        });
        if let Err(error) = futures_util::future::try_join_all(tried).await {
            close(all.into_iter().filter(|new| !is_among(&before, new)));
            return Err(error.into());
        }
        let gone: Vec<_> = before.into_iter().filter(|old| !is_among(&all, old)).collect();
        *self.all.write() = all;
        close(gone);
        Ok(())
    }

    fn present(&self) -> Vec<Arc<Replica>> {
        self.all.read().clone()
    }

    /// A replica that holds these changes, in rotation; and how far it has come.
    pub(super) fn one_that_holds(&self, changes: u64) -> Option<(Arc<Replica>, Held)> {
        let from = self.turn.fetch_add(1, Ordering::Relaxed);
        let all = self.all.read();
        let mut in_turn = (0..all.len()).map(|step| &all[from.wrapping_add(step) % all.len()]);
        in_turn.find_map(|replica| {
            let held = replica.held().filter(|held| held.changes >= changes)?;
            Some((Arc::clone(replica), held))
        })
    }

    /// Finds out which replicas hold these changes, which must have been announced before this is
    /// called.
    pub(super) async fn check(&self, primary: &Database, changes: u64) -> Result<(), StoreError> {
        let all = self.present();
        if all.is_empty() {
            return Ok(());
        }
        // The end of the log, whether written or not: a commit can be visible before its record is
        // written.
        let identity = identity_of(TIMELINE_OF_PRIMARY);
        let question =
            format!("SELECT pg_current_wal_insert_lsn()::text AS lsn, {identity} AS identity");
        let rows = in_time(primary.sql(question, [])).await?;
        let row = row::first(&rows)?;
        let [lsn, identity] = [row.try_get("", "lsn")?, row.try_get("", "identity")?];
        let held = Held { changes, lsn, identity };
        let checks = all.iter().map(|replica| replica.check(&held));
        futures_util::future::join_all(checks).await;
        Ok(())
    }

    /// The numbers of replicas, and of those that may be used.
    pub(super) fn count(&self) -> [usize; 2] {
        let all = self.all.read();
        [all.len(), all.iter().filter(|replica| replica.held().is_some()).count()]
    }

    pub(super) fn refused_connections(&self) -> u64 {
        self.all.read().iter().map(|replica| replica.database.refused_connections()).sum()
    }

    pub(super) async fn close(&self) {
        for replica in self.present() {
            replica.database.close().await;
        }
    }
}

fn is_among(all: &[Arc<Replica>], one: &Arc<Replica>) -> bool {
    all.iter().any(|other| Arc::ptr_eq(other, one))
}

fn close(all: impl IntoIterator<Item = Arc<Replica>>) {
    for one in all {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { one.database.close().await });
        }
    }
}

impl Replica {
    fn new(options: &ConnectOptions<'_>, way: Way) -> Result<Self, ConnectError> {
        let database = connect::open_postgres(options, IdleHealth::default())?;
        Ok(Self { database, way, holds: Mutex::default() })
    }

    fn replaces_one_that_answers(&self, before: &[Arc<Self>]) -> bool {
        before.iter().any(|old| self.is_at_the_place_of(old) && old.held().is_some())
    }

    fn is_at_the_place_of(&self, other: &Self) -> bool {
        let options = |replica: &Self| replica.database.postgres().map(Pool::options);
        options(self)
            .zip(options(other))
            .is_some_and(|(own, others)| is_the_same_server(&own, &others))
    }

    async fn answers(&self) -> Result<(), StoreError> {
        let database = self.database.to(Purpose::Watching);
        within(TRIAL, database.sql("SELECT 1".to_owned(), [])).await.map(drop)
    }

    /// The replica did not answer, or did not hold what was assumed. Was it trusted until now?
    pub(super) fn distrust(&self) -> bool {
        self.holds.lock().take().is_some()
    }

    async fn check(&self, wanted: &Held) {
        let database = self.database.to(Purpose::Watching);
        match in_time(database.sql(wanted.question(), [])).await.map(|rows| Standing::of(&rows)) {
            Ok(Standing::Holds) => self.hold(Some(wanted.clone())),
            // It still holds what it was seen to hold.
            Ok(Standing::Lags) => {}
            Ok(Standing::Alien) => {
                if self.distrust() {
                    tracing::warn!(
                        "a replica is none of the present primary; the primary is asked instead"
                    );
                }
            }
            Err(error) => {
                if self.distrust() {
                    tracing::warn!(%error, "a replica does not answer; the primary is asked instead: {error}");
                }
            }
        }
    }

    /// Reads rows. `None`: it does not hold what it was seen to hold, for it is another server behind the
    /// same address, or follows another primary.
    ///
    /// What it holds is asked first, in a statement of its own: a statement sees what there was when it
    /// began, and the position moves on meanwhile.
    pub(super) async fn read(
        &self,
        held: &Held,
        statement: impl FnOnce(&Database) -> Statement,
    ) -> Result<Option<Vec<QueryResult>>, StoreError> {
        let database = self.database.unprepared();
        let question = database.dialect().statement(held.question(), []);
        let all = database.query_each(vec![question, statement(&database)]).await?;
        let [said, rows] = <[_; 2]>::try_from(all)
            .map_err(|_| DbErr::Custom("a statement of a load has no result".into()))?;
        Ok((Standing::of(&said) == Standing::Holds).then_some(rows))
    }

    fn held(&self) -> Option<Held> {
        self.holds.lock().clone()
    }

    fn hold(&self, held: Option<Held>) {
        *self.holds.lock() = held;
    }
}

pub(super) async fn in_time<T>(
    asking: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    within(PATIENCE, asking).await
}
