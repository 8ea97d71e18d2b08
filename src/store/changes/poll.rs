//! Reading what was appended to the log since the last read.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::{QueryResult, prelude::Uuid};

use super::Change;
use crate::store::{
    Store, StoreError,
    ask::Ask,
    database::Database,
    dialect::{Dialect, log_of_replica_since},
    row,
};

/// Maximum number of changes that are reported individually; more are reported as "anything":
/// forgetting that many tenants one by one is no better.
const MAX_NEWS: usize = 1_000;

/// The position up to which the log was read.
#[derive(Clone, Debug)]
pub struct Position {
    /// Identifies the history that the position belongs to: after a restore, a promotion or a
    /// crash, numbers may be assigned again.
    history: String,
    /// PostgreSQL: the visible transactions, on a replica in a form of its own; empty if those were too
    /// many there. SQLite: the last row's id.
    seen: String,
}

/// The result of reading the log.
#[derive(Clone, Debug)]
pub struct Poll {
    /// The position to continue from.
    pub position: Position,
    /// What has changed.
    pub news: News,
    /// Are all triggers in place? If not, changes may have gone unnoticed.
    pub armed: bool,
    /// Are the ERP's tables unreadable for this role, or some of their rows?
    pub denied: bool,
    /// How full PostgreSQL's notification queue is, from 0 to 1. Once it is full, writers fail.
    pub queue_usage: f64,
    /// What the database's own clock showed while it read; `None` on SQLite, which has none.
    pub clock: Option<DateTime<Utc>>,
}

/// What has changed.
#[derive(Clone, Debug)]
pub enum News {
    /// Exactly these changes, since the last position.
    Changes(Vec<Change>),
    /// Anything may have changed, for this reason.
    Anything(Gap),
}

/// Why it is not known what exactly has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gap {
    /// There is no last position.
    NotReadBefore,
    /// A trigger was switched off or on, dropped or made since, or a table was rewritten: what was
    /// written in between, or by that, may have left no row.
    Untraced,
    /// The database was restarted, promoted or restored since, or is another one.
    History,
    /// Rows may have been folded that were not read.
    Folded,
    /// There are more than are reported individually.
    TooMany,
}

impl Store {
    /// Reads the log from the last position.
    ///
    /// Rows become visible in the order of commits, which is not the order of their transactions'
    /// numbers. So new rows are selected exactly: rows of transactions that were not visible in the
    /// previous read's snapshot. A long transaction that commits late is not missed, and until then
    /// nothing is read twice because of it.
    pub async fn poll(&self, since: Option<&Position>) -> Result<Poll, StoreError> {
        match self.poll_replica(since).await? {
            Some(of_replica) => Ok(of_replica.poll),
            None => poll(&self.watched, since).await,
        }
    }
}

/// What reads the log of a replica.
pub(in crate::store) fn log_of_replica(since: Option<&Position>) -> String {
    log_of_replica_since(since.map(|since| since.seen.as_str()), MAX_NEWS + 1)
}

/// Reads the log of a database.
pub(in crate::store) async fn poll(
    database: &Database,
    since: Option<&Position>,
) -> Result<Poll, StoreError> {
    // Each poll is another statement: the position is a part of it.
    let database = database.unprepared();
    let rows = database.sql(statement(database.dialect(), since), []).await?;
    Poll::of(&rows, since)
}

/// What separates the two parts of a mark. Neither has it.
const SEPARATOR: char = '\n';

impl Position {
    /// The position, for whoever keeps it elsewhere.
    pub fn mark(&self) -> Arc<[u8]> {
        let Self { history, seen } = self;
        // On SQLite no file is told from another by its history: only who reads it knows which it is.
        if history.is_empty() {
            return Arc::default();
        }
        format!("{history}{SEPARATOR}{seen}").into_bytes().into()
    }

    /// The position that a mark is of; `None`: it is none.
    pub fn of_mark(mark: &[u8]) -> Option<Self> {
        let (history, seen) = std::str::from_utf8(mark).ok()?.split_once(SEPARATOR)?;
        // It becomes a part of a statement.
        let is_snapshot =
            |seen: &str| seen.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b':' | b','));
        (is_snapshot(seen) && !history.is_empty())
            .then(|| Self { history: history.to_owned(), seen: seen.to_owned() })
    }

    /// Is it of the same history: of the same database, and without a break?
    pub(super) fn is_of_the_history_of(&self, other: &Self) -> bool {
        self.history == other.history
    }

    /// Its history, whatever the triggers were meanwhile, which is its last word.
    pub(in crate::store) fn history(&self) -> &str {
        self.history.rsplit_once(' ').map_or("", |(history, _)| history)
    }

    /// Why this one is not reached from an earlier one, if it is not.
    fn gap(&self, since: Option<&Self>) -> Option<Gap> {
        let Some(since) = since else { return Some(Gap::NotReadBefore) };
        if self.is_of_the_history_of(since) {
            return since.seen.is_empty().then_some(Gap::TooMany);
        }
        Some(if since.history() == self.history() { Gap::Untraced } else { Gap::History })
    }
}

impl Poll {
    pub(in crate::store) fn of(
        rows: &[QueryResult],
        since: Option<&Position>,
    ) -> Result<Self, StoreError> {
        let first = row::first(rows)?;
        let (history, seen): (String, String) =
            (first.try_get("", "history")?, first.try_get("", "seen")?);
        let position = Position { history, seen };
        let gap = if let Some(gap) = position.gap(since) {
            Some(gap)
        } else if first.try_get("", "folded")? {
            Some(Gap::Folded)
        } else {
            (rows.len() > MAX_NEWS).then_some(Gap::TooMany)
        };
        Ok(Self {
            news: gap.map_or_else(|| changes(rows), |gap| Ok(News::Anything(gap)))?,
            position,
            armed: first.try_get("", "armed")?,
            denied: first.try_get("", "denied")?,
            queue_usage: first.try_get("", "queue_usage")?,
            clock: clock_of(first)?,
        })
    }
}

/// What the database's clock showed.
pub(in crate::store) fn clock_of(row: &QueryResult) -> Result<Option<DateTime<Utc>>, StoreError> {
    let micros: Option<i64> = row.try_get("", "clock")?;
    Ok(micros.and_then(DateTime::from_timestamp_micros))
}

fn changes(rows: &[QueryResult]) -> Result<News, StoreError> {
    let mut changes = Vec::new();
    for row in rows {
        // The log is an outer join, so that there is a row even if nothing has changed.
        let Some(topic) = row.try_get::<Option<String>>("", "topic")? else { continue };
        changes.push(Change::of(&topic, row.try_get::<Option<Uuid>>("", "tenant_id")?));
    }
    Ok(News::Changes(changes))
}

pub(super) fn statement(dialect: Dialect, since: Option<&Position>) -> String {
    dialect.log_since(since.map(|since| since.seen.as_str()), MAX_NEWS + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_positions_is_told_apart() {
        let position =
            |history: &str| Position { history: history.to_owned(), seen: "7:7:".into() };
        let now = position("00000001 5 16548 2026-11-29 10:28:24.179104+00 1f14");
        let gap = |since| now.gap(Some(&position(since)));
        assert_eq!(now.gap(None), Some(Gap::NotReadBefore));
        assert_eq!(gap("00000001 5 16548 2026-11-29 10:28:24.179104+00 1f14"), None);
        let rearmed = "00000001 5 16548 2026-11-29 10:28:24.179104+00 77aa";
        assert_eq!(gap(rearmed), Some(Gap::Untraced));
        for other in [
            "00000002 5 16548 2026-11-29 10:28:24.179104+00 1f14",
            "00000001 5 16548 2026-11-29 11:28:24.179104+00 77aa",
            "",
        ] {
            assert_eq!(gap(other), Some(Gap::History), "{other}");
        }
    }
}
