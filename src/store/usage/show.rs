//! What a tenant has used, for people.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::DbErr;

use super::rows::{self, Rows};
use crate::{
    domain::{CountableModules, Counter, CounterId, KeyRow, calendar::ZoneFrom},
    store::{Store, StoreError, TenantKey, ask::Ask},
};

/// Keys that are shown.
const MOST_KEYS: u32 = 20;

/// What a tenant has used.
#[derive(Clone, Debug, Default)]
pub struct TenantUsage {
    /// Its counters, by meter and period.
    pub counters: Vec<(CounterId, Counter)>,
    /// The keys of a meter that changed last, the newest first.
    pub keys: Vec<CountedKey>,
    /// The time zones of its own, ordered by month.
    pub zones: Arc<[ZoneFrom]>,
}

/// A key, for people.
#[derive(Clone, Debug)]
pub struct CountedKey {
    /// The name of the thing.
    pub key: String,
    /// What it took.
    pub row: KeyRow,
    /// When it last changed.
    pub changed_at: DateTime<Utc>,
}

/// Is it there only to be locked, beside counters of months?
fn is_anchor((meter, period): &CounterId, all: &[(CounterId, Counter)]) -> bool {
    let has_month =
        |((other, period), _): &(CounterId, Counter)| other == meter && !period.is_empty();
    period.is_empty() && all.iter().any(has_month)
}

/// Of which meter keys are shown.
#[derive(Clone, Copy, Debug)]
pub struct ShownMeter<'a> {
    /// Its key.
    pub meter: &'a str,
    /// The modules for which the keys were counted; `None`: whatever they were counted for.
    pub modules: Option<&'a CountableModules>,
}

impl Store {
    /// Reads the counters of a tenant, or only those of a meter with the keys that changed last.
    /// `None`: there is no such tenant.
    pub async fn tenant_usage(
        &self,
        tenant: &TenantKey,
        shown: Option<ShownMeter<'_>>,
        now: DateTime<Utc>,
    ) -> Result<Option<TenantUsage>, StoreError> {
        let Some(evidence) = self.read(tenant, now).await?.evidence else { return Ok(None) };
        let reader = Rows::new(self.primary.dialect());
        let own = evidence.facts.tenant.own.as_ref();
        let zones = own.map(|own| Arc::clone(&own.zones)).unwrap_or_default();
        let tenant = evidence.facts.tenant.id;
        let meter = shown.map(|shown| shown.meter);
        let counters = self.primary.query(reader.counters_of(tenant, meter)).await?;
        let counters = counters.iter().map(rows::counter).collect::<Result<Vec<_>, DbErr>>()?;
        let counters = counters.iter().filter(|(id, _)| !is_anchor(id, &counters)).cloned();
        let counters = counters.collect();
        let keys = match shown {
            None => Vec::new(),
            Some(shown) => {
                let found = self.primary.query(reader.last_keys(tenant, shown, MOST_KEYS)).await?;
                let key = |row| {
                    let ((_, key), found) = rows::key(row)?;
                    let micros = row.try_get("", "changed_at")?;
                    let changed_at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
                    Ok(CountedKey { key: key.as_str().to_owned(), row: found, changed_at })
                };
                found.iter().map(key).collect::<Result<_, DbErr>>()?
            }
        };
        Ok(Some(TenantUsage { counters, keys, zones }))
    }
}
