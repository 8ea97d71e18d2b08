//! Reading what was appended to the log since the last time.

use std::time::{Duration, Instant};

use sea_orm::{QueryResult, prelude::Uuid};

use super::Change;
use crate::store::{Store, StoreError, ask::Ask, dialect::Dialect, row};

/// More news than this at once is reported as "anything": forgetting so many tenants one by one is
/// no better.
const MAX_NEWS: usize = 1_000;

/// The log keeps rows for an hour and more. Whoever was away for half of it must take everything
/// for changed.
const LONGEST_AWAY: Duration = Duration::from_mins(30);

/// How far the log was read.
#[derive(Clone, Debug)]
pub struct Position {
    /// What tells one history from another: after a restore, a promotion or a crash, numbers may
    /// be given again.
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
    /// Rows become visible in the order of commits, which is not the order of their transactions'
    /// numbers. So what is new is asked for exactly: rows of transactions that could not be
    /// seen in the last look's snapshot. A long transaction that commits late is not missed.
    pub async fn poll(&self, since: Option<&Position>) -> Result<Poll, StoreError> {
        let database = &self.watched;
        let taken = Instant::now();
        let rows = database.sql(statement(database.dialect(), since), []).await?;
        Poll::of(&rows, since, taken)
    }
}

impl Poll {
    pub(super) fn of(
        rows: &[QueryResult],
        since: Option<&Position>,
        taken: Instant,
    ) -> Result<Self, StoreError> {
        let first = row::first(rows)?;
        let (history, seen): (String, String) =
            (first.try_get("", "history")?, first.try_get("", "seen")?);
        let continues = since
            .is_some_and(|since| since.history == history && taken - since.taken < LONGEST_AWAY);
        let news =
            if continues && rows.len() <= MAX_NEWS { changes(rows)? } else { News::Anything };
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

pub(super) fn statement(dialect: Dialect, since: Option<&Position>) -> String {
    dialect.log_since(since.map(|since| since.seen.as_str()), MAX_NEWS + 1)
}
