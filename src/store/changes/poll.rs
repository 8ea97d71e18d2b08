//! Reading what was appended to the log since the last time.

use std::time::{Duration, Instant};

use entitlementd_migration::{all_triggers_armed, may_read_tables};
use sea_orm::{DbBackend, QueryResult, Statement, prelude::Uuid};

use super::Change;
use crate::store::{Store, StoreError, database::Database, row};

/// More news than this at once is told as "anything": forgetting so many tenants one by one is no better.
const MAX_NEWS: usize = 1_000;

/// The log keeps rows for an hour and more. Whoever was away for half of it must take everything for changed.
const LONGEST_AWAY: Duration = Duration::from_mins(30);

/// How far the log was read.
#[derive(Clone, Debug)]
pub struct Position {
    /// What tells one history from another: after a restore, a promotion or a crash, numbers may be given again.
    history: String,
    /// PostgreSQL: which transactions could be seen. SQLite: the last row's id.
    seen: String,
    taken: Instant,
}

/// What a look at the log has brought.
#[derive(Clone, Debug)]
pub struct Poll {
    /// Where to go on.
    pub position: Position,
    /// What was found.
    pub news: News,
    /// Is every trigger in place? If not, changes may have gone unnoticed.
    pub armed: bool,
    /// May the ERP's tables not be read, or not all of their rows?
    pub denied: bool,
    /// How full PostgreSQL's queue of notices is, from 0 to 1. Once it is full, writers fail.
    pub queue_usage: f64,
}

/// What has changed.
#[derive(Clone, Debug)]
pub enum News {
    /// Exactly this, since the last position.
    Changes(Vec<Change>),
    /// Anything may have: there is no last position, or no way from it to this one.
    Anything,
}

impl Store {
    /// Reads the log from where it was read last.
    ///
    /// Rows become visible in the order of commits, which is not the order of their transactions' numbers. So what is new
    /// is asked for exactly: rows of transactions that could not be seen in the last look's snapshot. A long transaction
    /// that commits late is not missed.
    pub async fn poll(&self, since: Option<&Position>) -> Result<Poll, StoreError> {
        let database = &self.watched;
        let taken = Instant::now();
        let rows = match database.backend() {
            DbBackend::Sqlite => poll_sqlite(database, since).await?,
            backend => database.query(Statement::from_string(backend, statement(since))).await?,
        };
        Poll::of(&rows, since, taken)
    }
}

impl Poll {
    pub(super) fn of(rows: &[QueryResult], since: Option<&Position>, taken: Instant) -> Result<Self, StoreError> {
        let first = row::first(rows)?;
        let (history, seen): (String, String) = (first.try_get("", "history")?, first.try_get("", "seen")?);
        let continues = since.is_some_and(|since| since.history == history && taken - since.taken < LONGEST_AWAY);
        let news = if continues && rows.len() <= MAX_NEWS { changes(rows)? } else { News::Anything };
        Ok(Self {
            position: Position { history, seen, taken },
            news,
            armed: first.try_get("", "armed")?,
            denied: first.try_get("", "denied")?,
            queue_usage: first.try_get("", "queue_usage")?,
        })
    }
}

fn changes(rows: &[QueryResult]) -> Result<News, StoreError> {
    let mut changes = Vec::new();
    for row in rows {
        // The log is joined from the outside, so that a quiet time is a row too.
        let Some(topic) = row.try_get::<Option<String>>("", "topic")? else { continue };
        changes.push(Change::of(&topic, row.try_get::<Option<Uuid>>("", "tenant_id")?));
    }
    Ok(News::Changes(changes))
}

/// PostgreSQL's statement.
///
/// A history ends with a new timeline (promotion, point-in-time recovery), another database or table (restore), a start
/// of the server, and a crash, after which its statistics begin anew: commits that were heard of may be lost where
/// synchronous_commit is off.
///
/// Rows with numbers that are yet to be given were restored from another cluster.
pub(super) fn statement(since: Option<&Position>) -> String {
    let (armed, readable) = (all_triggers_armed(), may_read_tables());
    let new = match since {
        Some(Position { seen, .. }) => format!(
            "log.xid >= pg_snapshot_xmin('{seen}') AND log.xid < pg_snapshot_xmax(state.snapshot)
             AND NOT pg_visible_in_snapshot(log.xid, '{seen}')"
        ),
        None => "false".to_owned(),
    };
    format!(
        "SELECT state.history, state.snapshot::text AS seen, state.armed, state.denied, state.queue_usage,
                log.topic, log.tenant_id
         FROM (SELECT concat_ws(' ', left(pg_walfile_name(pg_current_wal_lsn()), 8),
                                (SELECT oid FROM pg_database WHERE datname = current_database()),
                                to_regclass('entitlement_changes')::oid, pg_postmaster_start_time(),
                                pg_stat_get_bgwriter_stat_reset_time()) AS history,
                      pg_current_snapshot() AS snapshot, {armed} AS armed, NOT {readable} AS denied,
                      pg_notification_queue_usage() AS queue_usage OFFSET 0) state
         LEFT JOIN entitlement_changes log ON {new}
         LIMIT {}",
        MAX_NEWS + 1
    )
}

async fn poll_sqlite(database: &Database, since: Option<&Position>) -> Result<Vec<QueryResult>, StoreError> {
    let since = since.map_or("NULL", |since| since.seen.as_str());
    // The sequence's value stays when rows are folded away.
    let sql = format!(
        "SELECT '' AS history, CAST(state.last AS text) AS seen, true AS armed, false AS denied, 0.0 AS queue_usage,
                log.topic, log.tenant_id
         FROM (SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'entitlement_changes'), 0) AS last) state
         LEFT JOIN entitlement_changes log ON log.id > {since}
         LIMIT {}",
        MAX_NEWS + 1
    );
    database.query(Statement::from_string(DbBackend::Sqlite, sql)).await
}
