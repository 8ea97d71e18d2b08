//! What a transaction has found, whichever database it is.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, prelude::Uuid};
use serde::Deserialize;

use crate::domain::{
    Counter, CounterId, KeyId, KeyRow, KeyState, Lease, LimitSaid, MeterId, UsageKey, UsedAt,
};

/// What a transaction has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The meters that it has locked, of tenants that exist.
    pub(super) meters: BTreeSet<MeterId>,
    /// Their counters, as far as they are needed.
    pub(super) counters: Vec<(CounterId, Counter)>,
    /// What is said about limits, of tenants that exist.
    pub(super) limits: BTreeMap<MeterId, LimitSaid>,
    /// The keys that were named, and what is held and has run out.
    pub(super) keys: Vec<(KeyId, KeyRow)>,
}

/// The columns of a key, in the order of [`StoredKey`]; the instants in microseconds since 1970.
pub(super) const KEY: [&str; 15] = [
    "tenant_id",
    "meter",
    "key",
    "period",
    "module_code",
    "asked",
    "amount",
    "state",
    "expires_at",
    "used",
    "used_at",
    "day",
    "corrects",
    "lease",
    "holder",
];

/// A key as it is stored.
#[derive(Deserialize)]
pub(super) struct StoredKey(
    pub(super) Uuid,
    pub(super) String,
    pub(super) String,
    pub(super) String,
    pub(super) String,
    pub(super) i64,
    pub(super) i64,
    pub(super) String,
    pub(super) Option<i64>,
    pub(super) i64,
    pub(super) i64,
    pub(super) String,
    pub(super) String,
    pub(super) String,
    pub(super) String,
);

impl StoredKey {
    pub(super) fn read(self) -> Result<(KeyId, KeyRow), DbErr> {
        #[rustfmt::skip]
        let Self(tenant, meter, key, period, module, asked, amount, state, until, used, used_at, day,
                 corrects, lease, holder) = self;
        let key = UsageKey::parse(&key).map_err(|error| unreadable("key", &error.to_string()))?;
        let until = until.and_then(DateTime::from_timestamp_micros);
        let state = match state.as_str() {
            "counted" => KeyState::Counted,
            "held" => {
                KeyState::Held(until.ok_or_else(|| unreadable("expires_at", "it is missing"))?)
            }
            _ => KeyState::Released,
        };
        let meter = MeterId { tenant: tenant.into(), meter: meter.into() };
        let at = DateTime::from_timestamp_micros(used_at).unwrap_or_default();
        let row = KeyRow {
            period: period.into(),
            used_at: UsedAt { at, day: day.into() },
            asked,
            amount,
            used,
            state,
            module: module.into(),
            corrects: corrects.into(),
            lease: Lease::parse(&lease, &holder),
        };
        Ok(((meter, key), row))
    }
}

/// When a hold ends, in microseconds since 1970.
pub(super) fn until(state: KeyState) -> Option<i64> {
    match state {
        KeyState::Held(until) => Some(until.timestamp_micros()),
        KeyState::Counted | KeyState::Released => None,
    }
}

pub(super) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

fn unreadable(column: &str, cause: &str) -> DbErr {
    DbErr::Custom(format!("entitlement_usage_keys.{column} cannot be read: {cause}"))
}

/// Nobody can have fewer than none, as in the catalogue.
pub(super) fn at_least_none(said: LimitSaid) -> LimitSaid {
    let least = |limit: Option<i64>| limit.map(|limit| limit.max(0));
    LimitSaid {
        own: said.own.map(|(limit, end)| (least(limit), end)),
        kept: said.kept.map(least),
        planned: least(said.planned),
        ..said
    }
}
