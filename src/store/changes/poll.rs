//! Reading what was appended to the log since the last read.

use sea_orm::{QueryResult, prelude::Uuid};

use super::Change;
use crate::store::{Store, StoreError, ask::Ask, dialect::Dialect, row};

/// Maximum number of changes that are reported individually; more are reported as "anything":
/// forgetting that many tenants one by one is no better.
const MAX_NEWS: usize = 1_000;

/// The position up to which the log was read.
#[derive(Clone, Debug)]
pub struct Position {
    /// Identifies the history that the position belongs to: after a restore, a promotion or a
    /// crash, numbers may be assigned again.
    history: String,
    /// PostgreSQL: the visible transactions. SQLite: the last row's id.
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
}

/// What has changed.
#[derive(Clone, Debug)]
pub enum News {
    /// Exactly these changes, since the last position.
    Changes(Vec<Change>),
    /// Anything may have changed: there is no last position, or it does not lead to the current
    /// one, or rows may have been folded that were not read.
    Anything,
}

impl Store {
    /// Reads the log from the last position.
    ///
    /// Rows become visible in the order of commits, which is not the order of their transactions'
    /// numbers. So new rows are selected exactly: rows of transactions that were not visible in the
    /// previous read's snapshot. A long transaction that commits late is not missed, and until then
    /// nothing is read twice because of it.
    pub async fn poll(&self, since: Option<&Position>) -> Result<Poll, StoreError> {
        // Each poll is another statement: the position is a part of it.
        let database = self.watched.unprepared();
        let rows = database.sql(statement(database.dialect(), since), []).await?;
        Poll::of(&rows, since)
    }
}

impl Poll {
    pub(super) fn of(rows: &[QueryResult], since: Option<&Position>) -> Result<Self, StoreError> {
        let first = row::first(rows)?;
        let (history, seen): (String, String) =
            (first.try_get("", "history")?, first.try_get("", "seen")?);
        let is_gapless = !first.try_get::<bool>("", "folded")?;
        let continues = since.is_some_and(|since| since.history == history && is_gapless);
        let news =
            if continues && rows.len() <= MAX_NEWS { changes(rows)? } else { News::Anything };
        Ok(Self {
            position: Position { history, seen },
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
        // The log is an outer join, so that there is a row even if nothing has changed.
        let Some(topic) = row.try_get::<Option<String>>("", "topic")? else { continue };
        changes.push(Change::of(&topic, row.try_get::<Option<Uuid>>("", "tenant_id")?));
    }
    Ok(News::Changes(changes))
}

pub(super) fn statement(dialect: Dialect, since: Option<&Position>) -> String {
    dialect.log_since(since.map(|since| since.seen.as_str()), MAX_NEWS + 1)
}
