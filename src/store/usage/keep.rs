//! Keeping usage in order: what is forgotten in time, what a tenant leaves, and the proof that every
//! counter is the sum of its keys.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sea_orm::prelude::Uuid;

use super::LOCK_WAIT;
use crate::{
    domain::{LimitKind, Period, TenantId},
    store::{Store, StoreError, ask::Ask, dialect::Dialect, transaction::Transaction},
};

/// How long keys of a month are kept after it, and released keys of levels after that.
const KEPT: TimeDelta = TimeDelta::days(35);

/// Keys that are forgotten in one statement.
const STEP: u32 = 5_000;

/// Wrong counters that are named.
const MOST_NAMED: u32 = 1_000;

/// A counter that is not the sum of its keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrongCounter {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it counts.
    pub meter: String,
    /// The stored form of its period.
    pub period: String,
    /// What it says is used and held; `None`: there is no counter.
    pub says: Option<[i64; 2]>,
    /// What its keys come to.
    pub keys: [i64; 2],
}

impl Store {
    /// The counters that are not the sums of their keys, a thousand at most. Of months whose keys are
    /// forgotten by now nothing is said.
    pub async fn verify_usage(
        &self,
        now: DateTime<Utc>,
        zone: Tz,
    ) -> Result<Vec<WrongCounter>, StoreError> {
        let sql = format!("{} ORDER BY 1, 2, 3 LIMIT {MOST_NAMED}", verify(&oldest(now, zone)));
        let visit = self.primary.visit().await?;
        if visit.dialect() == Dialect::Postgres {
            // It reads every key, and nobody waits for it.
            visit.execute("SET LOCAL statement_timeout = '60s'").await?;
        }
        let found = visit.sql(sql, []).await?;
        visit.roll_back().await?;
        let wrong = found.iter().map(|row| {
            let used: Option<i64> = row.try_get("", "used")?;
            let held: Option<i64> = row.try_get("", "held")?;
            Ok(WrongCounter {
                tenant: row.try_get::<Uuid>("", "tenant_id")?.into(),
                meter: row.try_get("", "meter")?,
                period: row.try_get("", "period")?,
                says: used.zip(held).map(<[i64; 2]>::from),
                keys: [row.try_get("", "counted_keys")?, row.try_get("", "held_keys")?],
            })
        });
        wrong.collect::<Result<_, sea_orm::DbErr>>().map_err(StoreError::from)
    }

    /// Forgets some keys that are not needed any more. Are there others?
    pub async fn forget_usage_keys(
        &self,
        now: DateTime<Utc>,
        zone: Tz,
    ) -> Result<bool, StoreError> {
        let dialect = self.writing.dialect();
        let instant = dialect.instant_of_micros(&dialect.parameter(1, "bigint"));
        let of_months = forget("period <> '' AND period < $1");
        let of_levels =
            forget(&format!("state = 'released' AND period = '' AND changed_at < {instant}"));
        let of_nobody = "NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = tenant_id)";
        let counters = format!("DELETE FROM entitlement_usage_counters WHERE {of_nobody}");
        let statements = [
            dialect.statement(of_months, [oldest(now, zone).into()]),
            dialect.statement(of_levels, [(now - KEPT).timestamp_micros().into()]),
            // Of tenants that were deleted while something was counted.
            dialect.statement(forget(of_nobody), []),
            dialect.statement(counters, []),
        ];
        let (txn, rows) = self.writing.begin_asking(LOCK_WAIT, &statements).await?;
        txn.commit_with(Vec::new()).await?;
        Ok(rows.iter().any(|rows| rows.len() >= STEP as usize))
    }
}

/// The SQL that names every counter from this period on that is not the sum of its keys, and what
/// keys there are without a counter. Anybody may run it who may read the two tables.
pub fn verify(oldest: &str) -> String {
    format!(
        "SELECT COALESCE(c.tenant_id, k.tenant_id) AS tenant_id, COALESCE(c.meter, k.meter) AS meter, \
                COALESCE(c.period, k.period) AS period, c.used, c.held, \
                CAST(COALESCE(k.counted_keys, 0) AS bigint) AS counted_keys, CAST(COALESCE(k.held_keys, 0) AS bigint) AS held_keys \
         FROM entitlement_usage_counters c FULL JOIN \
              (SELECT tenant_id, meter, period, SUM(CASE state WHEN 'counted' THEN amount ELSE 0 END) AS counted_keys, \
                      SUM(CASE state WHEN 'held' THEN amount ELSE 0 END) AS held_keys \
               FROM entitlement_usage_keys GROUP BY tenant_id, meter, period) k \
           ON k.tenant_id = c.tenant_id AND k.meter = c.meter AND k.period = c.period \
         WHERE (COALESCE(c.period, k.period) = '' OR COALESCE(c.period, k.period) >= '{oldest}') \
           AND (COALESCE(c.used, 0) <> COALESCE(k.counted_keys, 0) OR COALESCE(c.held, 0) <> COALESCE(k.held_keys, 0))"
    )
}

/// The oldest month whose keys are kept.
pub fn oldest(now: DateTime<Utc>, zone: Tz) -> String {
    Period::at(LimitKind::Monthly, now - KEPT, zone).to_string()
}

/// The condition holds for what is deleted, and not only for what was read: somebody may be about to
/// count it again.
fn forget(condition: &str) -> String {
    format!(
        "DELETE FROM entitlement_usage_keys WHERE {condition} AND (tenant_id, meter, key) IN \
         (SELECT tenant_id, meter, key FROM entitlement_usage_keys WHERE {condition} LIMIT {STEP}) RETURNING amount"
    )
}

/// Forgets all that a tenant has used.
pub(in crate::store) async fn forget_tenant(
    txn: &Transaction,
    tenant: TenantId,
) -> Result<(), StoreError> {
    for table in ["entitlement_usage_keys", "entitlement_usage_counters"] {
        let sql = format!("DELETE FROM {table} WHERE tenant_id = $1");
        txn.execute_with(sql, [tenant.uuid().into()]).await?;
    }
    Ok(())
}
