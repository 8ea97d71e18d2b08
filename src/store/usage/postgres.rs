//! PostgreSQL's form: functions of ours, called with lists. A call is one message, and its
//! statements are planned once a session.

use std::{
    collections::BTreeSet,
    fmt::{Display, Write},
};

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult, Statement, Value, prelude::Uuid};
use serde::Deserialize;

use super::{
    Asked,
    found::{Found, StoredKey, at_least_none, micros, until},
};
use crate::{
    domain::{Counter, CounterId, KeyId, KeyRow, Lease, Ledger, LimitSaid, MeterId, TenantId},
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
    call(
        "entitlement_usage_find",
        "::text AS found",
        vec![
            uuids(meters.iter().map(|meter| meter.tenant)),
            texts(meters.iter().map(|meter| &*meter.meter)),
            uuids(asked.iter().map(|asked| asked.counter.0.tenant)),
            texts(asked.iter().map(|asked| &*asked.counter.0.meter)),
            texts(asked.iter().map(|asked| &*asked.counter.1)),
            // No key is empty: such a name finds nothing.
            texts(asked.iter().map(|asked| asked.key.map_or("", |key| key.as_str()))),
            ("boolean", skip_locked.into()),
            ("timestamptz", now.into()),
        ],
    )
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

/// What the ledger has changed.
pub(super) fn write(ledger: &Ledger, now: DateTime<Utc>) -> Statement {
    let keys: Vec<(&KeyId, &KeyRow)> = ledger.changed_keys().collect();
    let counters: Vec<(&CounterId, Counter)> = ledger.changed_counters().collect();
    let mut values = key_ids(&keys);
    values.extend([
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
    ]);
    values.extend(counter_ids(&counters));
    values.push(numbers(counters.iter().map(|(_, counter)| counter.used)));
    values.push(numbers(counters.iter().map(|(_, counter)| counter.held)));
    values.extend(added_sums(ledger));
    values.push(("timestamptz", now.into()));
    call("entitlement_usage_write", "", values)
}

/// What the ledger has counted, of which nothing was read: all keys are new, and the counters are
/// what is added.
pub(super) fn record(ledger: &Ledger, now: DateTime<Utc>) -> Statement {
    let keys: Vec<(&KeyId, &KeyRow)> = ledger.changed_keys().collect();
    let counters: Vec<(&CounterId, Counter)> = ledger.changed_counters().collect();
    let mut values = key_ids(&keys);
    values.extend([
        numbers(keys.iter().map(|(_, row)| row.amount)),
        numbers(keys.iter().map(|(_, row)| micros(row.used_at.at))),
        texts(keys.iter().map(|(_, row)| &*row.used_at.day)),
    ]);
    values.extend(counter_ids(&counters));
    values.push(numbers(counters.iter().map(|(_, counter)| counter.used)));
    values.extend(added_sums(ledger));
    values.push(("timestamptz", now.into()));
    call("entitlement_usage_record", " AS is_done", values)
}

/// Tenants, meters, names, periods and modules.
fn key_ids(keys: &[(&KeyId, &KeyRow)]) -> Vec<Typed> {
    vec![
        uuids(keys.iter().map(|((meter, _), _)| meter.tenant)),
        texts(keys.iter().map(|((meter, _), _)| &*meter.meter)),
        texts(keys.iter().map(|((_, key), _)| key.as_str())),
        texts(keys.iter().map(|(_, row)| &*row.period)),
        texts(keys.iter().map(|(_, row)| &*row.module)),
    ]
}

/// Tenants, meters and periods.
fn counter_ids(counters: &[(&CounterId, Counter)]) -> [Typed; 3] {
    [
        uuids(counters.iter().map(|((meter, _), _)| meter.tenant)),
        texts(counters.iter().map(|((meter, _), _)| &*meter.meter)),
        texts(counters.iter().map(|((_, period), _)| &**period)),
    ]
}

fn added_sums(ledger: &Ledger) -> [Typed; 9] {
    let sums: Vec<_> = ledger.sums().iter().collect();
    [
        uuids(sums.iter().map(|(id, _)| id.meter.tenant)),
        texts(sums.iter().map(|(id, _)| &*id.meter.meter)),
        texts(sums.iter().map(|(id, _)| &*id.module)),
        numbers(sums.iter().map(|(id, _)| micros(id.quarter))),
        texts(sums.iter().map(|(id, _)| &*id.day)),
        numbers(sums.iter().map(|(_, sum)| sum.amount)),
        numbers(sums.iter().map(|(_, sum)| sum.events)),
        numbers(sums.iter().map(|(_, sum)| sum.late)),
        numbers(sums.iter().map(|(_, sum)| sum.without_key)),
    ]
}

/// A value, and its type in the database.
pub(super) type Typed = (&'static str, Value);

/// A call of one of our functions.
pub(super) fn call(function: &str, rest: &str, values: Vec<Typed>) -> Statement {
    let (types, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
    let parameters: Vec<_> = types
        .iter()
        .zip(1..)
        .map(|(sql_type, number)| format!("CAST(${number} AS {sql_type})"))
        .collect();
    Dialect::Postgres
        .statement(format!("SELECT {function}({}){rest}", parameters.join(", ")), values)
}

fn uuids(items: impl Iterator<Item = TenantId>) -> Typed {
    ("uuid[]", list(items, |list, item| _ = write!(list, "{}", item.uuid())))
}

/// Numbers that need no quotes.
fn numbers(items: impl Iterator<Item = impl Display>) -> Typed {
    ("bigint[]", list(items, |list, item| _ = write!(list, "{item}")))
}

fn texts<'a>(items: impl Iterator<Item = &'a str>) -> Typed {
    ("text[]", list(items, add_text))
}

/// Adds a text, in quotes only where it needs them: each quote would be escaped once more in the
/// statement.
fn add_text(list: &mut String, text: &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) && !text.eq_ignore_ascii_case("null") {
        return list.push_str(text);
    }
    list.push('"');
    for character in text.chars() {
        if matches!(character, '\\' | '"') {
            list.push('\\');
        }
        list.push(character);
    }
    list.push('"');
}

/// A list, as PostgreSQL reads it.
fn list<T>(items: impl Iterator<Item = T>, mut add: impl FnMut(&mut String, T)) -> Value {
    let mut list = String::from("{");
    for item in items {
        if list.len() > 1 {
            list.push(',');
        }
        add(&mut list, item);
    }
    list.push('}');
    list.into()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_texts_reads_as_these_texts() {
        let list = |items: &[&str]| texts(items.iter().copied()).1;
        assert_eq!(list(&[]), "{}".into());
        assert_eq!(list(&["o-1", "2026-11"]), "{o-1,2026-11}".into());
        assert_eq!(list(&["", "null", "NULLS"]), r#"{"","null",NULLS}"#.into());
        assert_eq!(list(&[r#"a"b\c"#, "{1,2}"]), r#"{"a\"b\\c","{1,2}"}"#.into());
    }
}
