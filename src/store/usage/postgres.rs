//! PostgreSQL's form: two functions of ours, called with lists. A call is one message, and its
//! statements are planned once a session.

use std::{collections::BTreeSet, fmt::Display};

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult, Statement, Value, prelude::Uuid};
use serde::Deserialize;

use super::{
    Asked,
    found::{Found, StoredKey, at_least_none, micros, until},
};
use crate::{
    domain::{Counter, CounterId, KeyId, KeyRow, Lease, Ledger, LimitSaid, MeterId},
    store::{dialect::Dialect, instant},
};

/// What `entitlement_usage_find` gives: the meters that are locked, counters, limits, and keys.
#[derive(Deserialize)]
struct FoundJson(
    Option<Vec<MeterJson>>,
    Option<Vec<CounterJson>>,
    Option<Vec<LimitJson>>,
    Option<Vec<StoredKey>>,
);

#[derive(Deserialize)]
struct MeterJson(Uuid, String);

#[derive(Deserialize)]
struct CounterJson(Uuid, String, String, i64, i64);

/// Tenant, meter, has it a plan?, is it overridden?, by what, until when; is it kept?, what; the plan's.
#[derive(Deserialize)]
struct LimitJson(
    Uuid,
    String,
    bool,
    bool,
    Option<i64>,
    Option<i64>,
    bool,
    Option<i64>,
    Option<i64>,
);

pub(super) fn find(asked: &[Asked<'_>], skip_locked: bool, now: DateTime<Utc>) -> Statement {
    let meters: BTreeSet<&MeterId> = asked.iter().map(|asked| &asked.counter.0).collect();
    let lists = [
        numbers(meters.iter().map(|meter| meter.tenant.uuid())),
        texts(meters.iter().map(|meter| &*meter.meter)),
        numbers(asked.iter().map(|asked| asked.counter.0.tenant.uuid())),
        texts(asked.iter().map(|asked| &*asked.counter.0.meter)),
        texts(asked.iter().map(|asked| &*asked.counter.1)),
        // No key is empty: such a name finds nothing.
        texts(asked.iter().map(|asked| asked.key.map_or("", |key| key.as_str()))),
        skip_locked.into(),
        now.into(),
    ];
    #[rustfmt::skip]
    let types = ["uuid[]", "text[]", "uuid[]", "text[]", "text[]", "text[]", "boolean", "timestamptz"];
    call("entitlement_usage_find", "::text AS found", types, lists)
}

pub(super) fn read(rows: &[QueryResult]) -> Result<Found, DbErr> {
    let text: String = rows.first().ok_or_else(no_answer)?.try_get("", "found")?;
    let FoundJson(meters, counters, limits, keys) =
        serde_json::from_str(&text).map_err(|error| DbErr::Custom(error.to_string()))?;
    let meter = |MeterJson(tenant, meter)| meter_id(tenant, meter);
    Ok(Found {
        meters: meters.into_iter().flatten().map(meter).collect(),
        counters: counters.into_iter().flatten().map(counter).collect(),
        limits: limits.into_iter().flatten().map(limit).collect(),
        keys: keys.into_iter().flatten().map(StoredKey::read).collect::<Result<_, _>>()?,
    })
}

pub(super) fn write(ledger: &Ledger, now: DateTime<Utc>) -> Statement {
    let keys: Vec<(&KeyId, &KeyRow)> = ledger.changed_keys().collect();
    let counters: Vec<(&CounterId, Counter)> = ledger.changed_counters().collect();
    let sums: Vec<_> = ledger.sums().iter().collect();
    let values = [
        numbers(keys.iter().map(|((meter, _), _)| meter.tenant.uuid())),
        texts(keys.iter().map(|((meter, _), _)| &*meter.meter)),
        texts(keys.iter().map(|((_, key), _)| key.as_str())),
        texts(keys.iter().map(|(_, row)| &*row.period)),
        texts(keys.iter().map(|(_, row)| &*row.module)),
        numbers(keys.iter().map(|(_, row)| row.asked)),
        numbers(keys.iter().map(|(_, row)| row.amount)),
        texts(keys.iter().map(|(_, row)| row.state.word())),
        numbers(
            keys.iter().map(|(_, row)| {
                until(row.state).map_or("NULL".to_owned(), |until| until.to_string())
            }),
        ),
        numbers(keys.iter().map(|(_, row)| row.used)),
        numbers(keys.iter().map(|(_, row)| micros(row.used_at.at))),
        texts(keys.iter().map(|(_, row)| &*row.used_at.day)),
        texts(keys.iter().map(|(_, row)| &*row.corrects)),
        texts(keys.iter().map(|(_, row)| Lease::word(row.lease.as_ref()))),
        texts(keys.iter().map(|(_, row)| row.lease.as_ref().map_or("", |lease| &*lease.holder))),
        numbers(counters.iter().map(|((meter, _), _)| meter.tenant.uuid())),
        texts(counters.iter().map(|((meter, _), _)| &*meter.meter)),
        texts(counters.iter().map(|((_, period), _)| &**period)),
        numbers(counters.iter().map(|(_, counter)| counter.used)),
        numbers(counters.iter().map(|(_, counter)| counter.held)),
        numbers(sums.iter().map(|(id, _)| id.meter.tenant.uuid())),
        texts(sums.iter().map(|(id, _)| &*id.meter.meter)),
        texts(sums.iter().map(|(id, _)| &*id.module)),
        numbers(sums.iter().map(|(id, _)| micros(id.quarter))),
        texts(sums.iter().map(|(id, _)| &*id.day)),
        numbers(sums.iter().map(|(_, sum)| sum.amount)),
        numbers(sums.iter().map(|(_, sum)| sum.events)),
        numbers(sums.iter().map(|(_, sum)| sum.late)),
        numbers(sums.iter().map(|(_, sum)| sum.without_key)),
        now.into(),
    ];
    #[rustfmt::skip]
    let types = [
        "uuid[]", "text[]", "text[]", "text[]", "text[]", "bigint[]", "bigint[]", "text[]", "bigint[]", "bigint[]",
        "bigint[]", "text[]", "text[]", "text[]", "text[]",
        "uuid[]", "text[]", "text[]", "bigint[]", "bigint[]",
        "uuid[]", "text[]", "text[]", "bigint[]", "text[]", "bigint[]", "bigint[]", "bigint[]", "bigint[]",
        "timestamptz",
    ];
    call("entitlement_usage_write", "", types, values)
}

/// A call of one of our functions.
pub(super) fn call<const N: usize>(
    function: &str,
    rest: &str,
    types: [&str; N],
    values: [Value; N],
) -> Statement {
    let parameters: Vec<_> = types
        .iter()
        .zip(1..)
        .map(|(sql_type, number)| format!("CAST(${number} AS {sql_type})"))
        .collect();
    Dialect::Postgres
        .statement(format!("SELECT {function}({}){rest}", parameters.join(", ")), values)
}

/// A list of what needs no quotes.
fn numbers(items: impl Iterator<Item = impl Display>) -> Value {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    format!("{{{}}}", items.join(",")).into()
}

fn texts<'a>(items: impl Iterator<Item = &'a str>) -> Value {
    let quoted = items.map(|item| {
        let escaped = item.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"")
    });
    numbers(quoted)
}

fn meter_id(tenant: Uuid, meter: String) -> MeterId {
    MeterId { tenant: tenant.into(), meter: meter.into() }
}

fn counter(CounterJson(tenant, meter, period, used, held): CounterJson) -> (CounterId, Counter) {
    ((meter_id(tenant, meter), period.into()), Counter { used, held })
}

fn limit(
    LimitJson(tenant, meter, has_plan, is_overridden, own, ends, is_kept, kept, planned): LimitJson,
) -> (MeterId, LimitSaid) {
    let end = instant::end(ends.and_then(DateTime::from_timestamp_micros));
    let said = at_least_none(LimitSaid {
        own: is_overridden.then_some((own, end)),
        kept: is_kept.then_some(kept),
        planned,
        has_plan,
    });
    (meter_id(tenant, meter), said)
}

fn no_answer() -> DbErr {
    DbErr::Custom("entitlement_usage_find gave nothing".to_owned())
}
