//! A reservation that nobody else waits beside: one message, on PostgreSQL.
//!
//! What it comes to is decided before, by what is known of the limit; the database does it only if all
//! is as expected: the limit is said to be the same, the key is new, nothing has run out, and there
//! is so much left. Otherwise nothing is done, and it goes the way of all others.

use chrono::{DateTime, Utc};
use sea_orm::{QueryResult, Statement};

use super::{
    LOCK_WAIT, UsageAnswer, UsageOp, UsageOutcome, UsageRequest,
    found::{micros, until},
    postgres::call,
};
use crate::{
    domain::{Counter, CounterId, KeyRow, LimitSaid, Reservation, Reserved, Wanted},
    store::{Store, StoreError, ask::Ask, dialect::Dialect},
};

impl Store {
    /// Takes what a request asks, if all is as expected. `None`: it is not, and nothing was done.
    pub async fn take_alone(
        &self,
        request: &UsageRequest,
        now: DateTime<Utc>,
    ) -> Result<Option<UsageAnswer>, StoreError> {
        let UsageOp::Reserve { reservation, is_enforced, expected } = &request.op else {
            return Ok(None);
        };
        if self.writing.dialect() != Dialect::Postgres {
            return Ok(None);
        }
        let counter = &request.counter;
        let limit = expected.in_force(counter.0.meter.clone(), request.kind, now);
        let most = limit.limit.filter(|_| *is_enforced).unwrap_or(i64::MAX);
        let row = reservation.row(counter, reservation.amount);
        let statement = take(counter, reservation, &row, most, expected, now);
        let found = self.writing.run_at_once(LOCK_WAIT, statement).await?;
        let Some(counter) = found.first().map(after).transpose()?.flatten() else {
            return Ok(None);
        };
        let amount = reservation.amount;
        let reason = limit.reason(Wanted { observed: counter.taken() - amount, amount });
        let reserved = Reserved::Granted { amount, repeated: false, reason };
        Ok(Some(UsageAnswer { outcome: UsageOutcome::Reserved(reserved), counter, limit }))
    }
}

fn take(
    (meter, period): &CounterId,
    reservation: &Reservation,
    row: &KeyRow,
    most: i64,
    expected: &LimitSaid,
    now: DateTime<Utc>,
) -> Statement {
    let values = vec![
        ("uuid", meter.tenant.uuid().into()),
        ("text", (*meter.meter).into()),
        ("text", reservation.key.as_str().into()),
        ("text", (**period).into()),
        ("text", (*row.module).into()),
        ("bigint", row.amount.into()),
        ("text", row.state.word().into()),
        ("bigint", until(row.state).into()),
        ("bigint", micros(row.used_at.at).into()),
        ("text", (*row.used_at.day).into()),
        ("bigint", micros(row.used_at.quarter()).into()),
        ("bigint", most.into()),
        ("text", said(expected).into()),
        ("timestamptz", now.into()),
    ];
    call("entitlement_usage_take", "::text AS counter", values)
}

/// As the database writes it.
fn said(LimitSaid { own, kept, planned, has_plan }: &LimitSaid) -> String {
    let number = |number: Option<i64>| number.map_or("null".to_owned(), |it| it.to_string());
    format!(
        "[{has_plan}, {}, {}, {}, {}, {}, {}]",
        own.is_some(),
        number(own.and_then(|(limit, _)| limit)),
        number(own.and_then(|(_, end)| end).map(micros)),
        kept.is_some(),
        number(kept.flatten()),
        number(*planned)
    )
}

/// The counter afterwards; `None`: nothing was done.
fn after(row: &QueryResult) -> Result<Option<Counter>, StoreError> {
    let Some(text) = row.try_get::<Option<String>>("", "counter")? else { return Ok(None) };
    let [used, held] = serde_json::from_str(&text)
        .map_err(|error: serde_json::Error| sea_orm::DbErr::Custom(error.to_string()))?;
    Ok(Some(Counter { used, held }))
}
