//! What was used, and is all new: one message, on PostgreSQL. Nothing is read before it is written.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{UsageOp, UsageRequest, rows::Rows};
use crate::{
    domain::{Ledger, Recorded},
    store::{Store, StoreError, ask::Ask},
};

/// How long it is waited for a lock. It must be less than the database waits before it looks for
/// transactions that wait for each other (`deadlock_timeout`, 1 s unless somebody has changed it):
/// then this one is the one that gives way.
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unread {
    /// All of it is counted now.
    Counted,
    /// Something was there, somebody sits on a meter, or a tenant is gone. Nothing was done.
    InVain,
    /// It was not tried: what becomes of it rests on what is there.
    NotTried,
}

impl Store {
    /// Writes down what was used, if all of it is new and nobody sits on a meter.
    pub async fn record_unread(
        &self,
        requests: &[UsageRequest],
        now: DateTime<Utc>,
    ) -> Result<Unread, StoreError> {
        let rows = Rows::new(self.writing.dialect());
        let Some(statement) = as_if_new(requests, now).and_then(|all| rows.record(&all, now))
        else {
            return Ok(Unread::NotTried);
        };
        let found = self.writing.run_at_once(LOCK_WAIT, statement).await?;
        let is_done = found.first().map(|row| row.try_get("", "is_done")).transpose()?;
        Ok(if is_done == Some(true) { Unread::Counted } else { Unread::InVain })
    }
}

/// What becomes of these where there is nothing yet, if each is a thing that is counted then. What
/// corrects another is none, though that may be in the same message.
fn as_if_new(requests: &[UsageRequest], now: DateTime<Utc>) -> Option<Ledger> {
    let mut ledger = Ledger::new([], [], [], now);
    let is_counted = |UsageRequest { counter, op, .. }: &UsageRequest| match op {
        UsageOp::Record(event) if event.corrects.is_none() => {
            ledger.record(counter, event) == Recorded::Counted
        }
        _ => false,
    };
    (!requests.is_empty() && requests.iter().all(is_counted)).then_some(ledger)
}
