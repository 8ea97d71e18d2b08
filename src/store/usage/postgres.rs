//! PostgreSQL's form: two functions of ours, called with JSON. A call is one message, and its
//! statements are planned once a session.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult, Statement, prelude::Uuid};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::rows::{Found, key_state};
use crate::{
    domain::{Counter, CounterId, KeyId, KeyRow, KeyState, Ledger, LimitSaid, MeterId, UsageKey},
    store::{dialect::Dialect, instant},
};

/// What `entitlement_usage_find` gives: counters, limits, keys, and holds that have run out.
#[derive(Deserialize)]
struct FoundJson(
    Option<Vec<CounterJson>>,
    Option<Vec<LimitJson>>,
    Option<Vec<KeyJson>>,
    Option<Vec<KeyJson>>,
);

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

/// Tenant, meter, key, period, module, asked, amount, state, and when a hold ends.
#[derive(Deserialize)]
struct KeyJson(Uuid, String, String, String, String, i64, i64, String, Option<i64>);

pub(super) fn find(
    counters: &BTreeSet<CounterId>,
    keys: &BTreeSet<KeyId>,
    skip_locked: bool,
    now: DateTime<Utc>,
) -> Statement {
    let asked = counters.iter().map(|(meter, period)| {
        json!({ "tenant_id": meter.tenant.uuid(), "meter": &*meter.meter, "period": &**period })
    });
    let named = keys.iter().map(|(meter, key)| {
        json!({ "tenant_id": meter.tenant.uuid(), "meter": &*meter.meter, "key": key.as_str() })
    });
    Dialect::Postgres.statement(
        "SELECT entitlement_usage_find(CAST($1 AS json), CAST($2 AS json), $3, $4)::text AS found",
        [
            asked.collect::<Json>().to_string().into(),
            named.collect::<Json>().to_string().into(),
            skip_locked.into(),
            now.into(),
        ],
    )
}

pub(super) fn read(rows: &[QueryResult]) -> Result<Found, DbErr> {
    let text: String = rows.first().ok_or_else(no_answer)?.try_get("", "found")?;
    let FoundJson(counters, limits, keys, run_out) =
        serde_json::from_str(&text).map_err(|error| DbErr::Custom(error.to_string()))?;
    let all_keys = keys.into_iter().chain(run_out).flatten();
    Ok(Found {
        counters: counters.into_iter().flatten().map(counter).collect(),
        limits: limits.into_iter().flatten().map(limit).collect(),
        keys: all_keys.map(key).collect::<Result<_, _>>()?,
    })
}

pub(super) fn write(ledger: &Ledger, now: DateTime<Utc>) -> Statement {
    let keys = ledger.changed_keys().map(|((meter, key), row)| {
        let (state, until) = key_state(row.state);
        json!({
            "tenant_id": meter.tenant.uuid(),
            "meter": &*meter.meter,
            "key": key.as_str(),
            "period": &*row.period,
            "module_code": &*row.module,
            "asked": row.asked,
            "amount": row.amount,
            "state": state,
            "until": until,
        })
    });
    let counters = ledger.changed_counters().map(|((meter, period), counter)| {
        json!({
            "tenant_id": meter.tenant.uuid(),
            "meter": &*meter.meter,
            "period": &**period,
            "used": counter.used,
            "held": counter.held,
        })
    });
    Dialect::Postgres.statement(
        "SELECT entitlement_usage_write(CAST($1 AS json), CAST($2 AS json), $3)",
        [
            keys.collect::<Json>().to_string().into(),
            counters.collect::<Json>().to_string().into(),
            now.into(),
        ],
    )
}

fn counter(CounterJson(tenant, meter, period, used, held): CounterJson) -> (CounterId, Counter) {
    let meter = MeterId { tenant: tenant.into(), meter: meter.into() };
    ((meter, period.into()), Counter { used, held })
}

/// Nobody can have fewer than none, as in the catalogue.
fn limit(
    LimitJson(tenant, meter, has_plan, is_overridden, own, ends, is_kept, kept, planned): LimitJson,
) -> (MeterId, LimitSaid) {
    let least = |limit: Option<i64>| limit.map(|limit| limit.max(0));
    let end = instant::end(ends.and_then(DateTime::from_timestamp_micros));
    let said = LimitSaid {
        own: is_overridden.then_some((least(own), end)),
        kept: is_kept.then_some(least(kept)),
        planned: least(planned),
        has_plan,
    };
    (MeterId { tenant: tenant.into(), meter: meter.into() }, said)
}

fn key(
    KeyJson(tenant, meter, key, period, module, asked, amount, state, until): KeyJson,
) -> Result<(KeyId, KeyRow), DbErr> {
    let name = UsageKey::parse(&key)
        .map_err(|error| DbErr::Custom(format!("entitlement_usage_keys.key {key:?} {error}")))?;
    let until = until.and_then(DateTime::from_timestamp_micros);
    let state = match (state.as_str(), until) {
        ("counted", _) => KeyState::Counted,
        ("held", Some(until)) => KeyState::Held(until),
        _ => KeyState::Released,
    };
    let row = KeyRow { period: period.into(), asked, amount, state, module: module.into() };
    Ok(((MeterId { tenant: tenant.into(), meter: meter.into() }, name), row))
}

fn no_answer() -> DbErr {
    DbErr::Custom("entitlement_usage_find gave nothing".to_owned())
}
