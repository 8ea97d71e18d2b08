//! PostgreSQL's form: two functions of ours, called with JSON. A call is one message, and its
//! statements are planned once a session.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult, Statement, prelude::Uuid};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::rows::{Found, StoredKey, at_least_none, key_state};
use crate::{
    domain::{Counter, CounterId, KeyId, Ledger, LimitSaid, MeterId},
    store::{dialect::Dialect, instant},
};

/// What `entitlement_usage_find` gives: counters, limits, keys, and holds that have run out.
#[derive(Deserialize)]
struct FoundJson(
    Option<Vec<CounterJson>>,
    Option<Vec<LimitJson>>,
    Option<Vec<StoredKey>>,
    Option<Vec<StoredKey>>,
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
        keys: all_keys.map(StoredKey::read).collect::<Result<_, _>>()?,
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
    (MeterId { tenant: tenant.into(), meter: meter.into() }, said)
}

fn no_answer() -> DbErr {
    DbErr::Custom("entitlement_usage_find gave nothing".to_owned())
}
