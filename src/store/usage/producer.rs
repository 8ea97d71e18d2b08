//! Processes that add up by themselves: a message is counted once, by its number.

use sea_orm::{QueryResult, Statement, prelude::Uuid};

use super::rows::Rows;
use crate::store::StoreError;

/// Which message of which process this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageId {
    /// The process, anew at each start.
    pub producer: Uuid,
    /// The number of the message, from 1.
    pub sequence: i64,
}

/// How a message stands to those before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// It is the next one.
    Next,
    /// It was counted before.
    Repeated,
    /// One before it is missing; the last that was counted is this.
    Early(i64),
}

impl MessageId {
    /// Locks the producer, and reads what was counted of it last.
    pub(super) fn find(self, rows: Rows, now: i64) -> Statement {
        let sql = format!(
            "INSERT INTO entitlement_usage_producers (producer_id, sequence, seen_at) VALUES ({}, 0, {now}) \
             ON CONFLICT (producer_id) DO UPDATE SET seen_at = excluded.seen_at RETURNING sequence",
            rows.dialect().parameter(1, "uuid"),
            now = rows.instant_parameter(2),
        );
        rows.dialect().statement(sql, [self.producer.into(), now.into()])
    }

    pub(super) fn standing(self, found: &[QueryResult]) -> Result<Standing, StoreError> {
        let last = found.first().map(|row| row.try_get::<i64>("", "sequence")).transpose()?;
        let last = last.unwrap_or_default();
        Ok(match self.sequence {
            sequence if sequence <= last => Standing::Repeated,
            sequence if sequence == last + 1 => Standing::Next,
            _ => Standing::Early(last),
        })
    }

    /// Says that it is counted.
    pub(super) fn advance(self, rows: Rows) -> Statement {
        let sql = format!(
            "UPDATE entitlement_usage_producers SET sequence = {} WHERE producer_id = {}",
            rows.dialect().parameter(1, "bigint"),
            rows.dialect().parameter(2, "uuid"),
        );
        rows.dialect().statement(sql, [self.sequence.into(), self.producer.into()])
    }
}
