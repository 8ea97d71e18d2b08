//! Keeping usage in order: what is forgotten in time, what a tenant leaves, and the proof that every
//! counter is the sum of its keys.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{Statement, prelude::Uuid};

use super::LOCK_WAIT;
use crate::{
    domain::{TenantId, calendar::Month},
    store::{Store, StoreError, ask::Ask, dialect::Dialect, transaction::Transaction},
};

/// How long keys of a month are kept after it, released keys of levels after that, and producers that
/// are not heard of: for longer than anything is accepted, by whichever clock.
const KEPT: TimeDelta = TimeDelta::days(36);

/// By how much the clock of any zone is behind that of the servers at most, and a little more: a month
/// that is over everywhere is over for each tenant.
const FARTHEST_BEHIND: TimeDelta = TimeDelta::hours(26);

/// How long it is known what was used in each quarter of an hour.
const QUARTERS_KEPT: TimeDelta = TimeDelta::days(90);

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
    /// What it says is used and held.
    pub says: [i64; 2],
    /// What its keys come to, with what was counted without one.
    pub keys: [i64; 2],
    /// What its days come to; 0 for a level.
    pub days: i64,
}

impl Store {
    /// The counters that are not the sums of their keys, a thousand at most. Of months whose keys are
    /// forgotten by now nothing is said.
    pub async fn verify_usage(&self, now: DateTime<Utc>) -> Result<Vec<WrongCounter>, StoreError> {
        let sql = format!("{} ORDER BY 1, 2, 3 LIMIT {MOST_NAMED}", verify(&oldest(now)));
        let visit = self.primary.visit().await?;
        if visit.dialect() == Dialect::Postgres {
            // It reads every key, and nobody waits for it.
            visit.execute("SET LOCAL statement_timeout = '60s'").await?;
        }
        let found = visit.sql(sql, []).await?;
        visit.roll_back().await?;
        let wrong = found.iter().map(|row| {
            Ok(WrongCounter {
                tenant: row.try_get::<Uuid>("", "tenant_id")?.into(),
                meter: row.try_get("", "meter")?,
                period: row.try_get("", "period")?,
                says: [row.try_get("", "used")?, row.try_get("", "held")?],
                keys: [row.try_get("", "counted")?, row.try_get("", "held_keys")?],
                days: row.try_get("", "days")?,
            })
        });
        wrong.collect::<Result<_, sea_orm::DbErr>>().map_err(StoreError::from)
    }

    /// Forgets some of what is not needed any more. Is there more?
    pub async fn forget_usage_keys(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let dialect = self.writing.dialect();
        let instant = dialect.instant_of_micros(&dialect.parameter(1, "bigint"));
        let before = |kept: TimeDelta| [(now - kept).timestamp_micros().into()];
        let released = format!("state = 'released' AND period = '' AND changed_at < {instant}");
        let mut statements = vec![
            // What corrects another key is forgotten with that.
            dialect.statement(
                self.forget("keys", KEY, "period <> '' AND period < $1"),
                [oldest(now).into()],
            ),
            dialect.statement(self.forget("keys", KEY, &released), before(KEPT)),
            dialect.statement(
                self.forget("quarters", QUARTER, &format!("quarter < {instant}")),
                before(QUARTERS_KEPT),
            ),
            dialect.statement(
                self.forget("producers", "producer_id", &format!("seen_at < {instant}")),
                before(KEPT),
            ),
        ];
        if dialect == Dialect::Postgres {
            let refused = format!("refused IS NOT NULL AND used_at < {instant}");
            statements.push(dialect.statement(self.forget("log", "id", &refused), before(KEPT)));
        }
        self.forget_each(statements).await
    }

    /// Forgets some of what is counted for tenants that there are not: they were deleted while
    /// something was counted. Is there more?
    pub async fn forget_usage_of_nobody(&self) -> Result<bool, StoreError> {
        // Who counts has a counter: the smallest of these tables.
        let of_nobody = "tenant_id IN (SELECT c.tenant_id FROM entitlement_usage_counters c \
             WHERE NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = c.tenant_id))";
        let tables =
            [("keys", KEY), ("quarters", QUARTER), ("days", "tenant_id, meter, day, module_code")];
        let dialect = self.writing.dialect();
        let statement =
            |(table, key): (&str, &str)| dialect.statement(self.forget(table, key, of_nobody), []);
        if self.forget_each(tables.map(statement).into()).await? {
            return Ok(true);
        }
        // The last, for the others are found by them.
        self.forget_each(vec![statement(("counters", "tenant_id, meter, period"))]).await
    }

    /// Each in a transaction of its own.
    async fn forget_each(&self, statements: Vec<Statement>) -> Result<bool, StoreError> {
        let mut has_more = false;
        for statement in statements {
            let rows = self.writing.run_at_once(LOCK_WAIT, statement).await?;
            has_more |= rows.len() >= STEP as usize;
        }
        Ok(has_more)
    }

    /// The condition holds for what is deleted, and not only for what was read: somebody may be about
    /// to count it again. What somebody else has locked is left for the next time.
    fn forget(&self, table: &str, key: &str, condition: &str) -> String {
        let table = format!("entitlement_usage_{table}");
        let lock = match self.writing.dialect() {
            Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
            Dialect::Sqlite => "",
        };
        format!(
            "DELETE FROM {table} WHERE {condition} AND ({key}) IN \
             (SELECT {key} FROM {table} WHERE {condition} LIMIT {STEP}{lock}) RETURNING 1 AS number"
        )
    }
}

/// The primary keys of two tables.
const KEY: &str = "tenant_id, meter, key";
const QUARTER: &str = "tenant_id, meter, quarter, module_code";

/// The SQL that names every counter from this period on that is not the sum of its keys, with what
/// was counted without one, or not the sum of its days; and what keys and days there are without a
/// counter. Anybody may run it who may read the three tables.
pub fn verify(oldest: &str) -> String {
    format!(
        "SELECT tenant_id, meter, period, CAST(SUM(used) AS bigint) AS used, CAST(SUM(held) AS bigint) AS held, \
                CAST(SUM(counted) AS bigint) AS counted, CAST(SUM(held_keys) AS bigint) AS held_keys, CAST(SUM(days) AS bigint) AS days \
         FROM (SELECT tenant_id, meter, period, used, held, 0 AS counted, 0 AS held_keys, 0 AS days \
               FROM entitlement_usage_counters \
               UNION ALL \
               SELECT tenant_id, meter, period, 0, 0, used, CASE state WHEN 'held' THEN amount - used ELSE 0 END, 0 \
               FROM entitlement_usage_keys \
               UNION ALL \
               SELECT tenant_id, meter, SUBSTR(day, 1, 7), 0, 0, without_key, 0, amount \
               FROM entitlement_usage_days) counted_by \
         WHERE period = '' OR period >= '{oldest}' \
         GROUP BY tenant_id, meter, period \
         HAVING SUM(used) <> SUM(counted) OR SUM(held) <> SUM(held_keys) OR (period <> '' AND SUM(used) <> SUM(days))"
    )
}

/// The oldest month whose keys are kept: of all tenants alike, whatever their zones, so that what is
/// forgotten is what is not proven any more.
pub fn oldest(now: DateTime<Utc>) -> String {
    Month::at(now - KEPT - FARTHEST_BEHIND, chrono_tz::UTC).to_string()
}

/// Forgets all that a tenant has used.
pub(in crate::store) async fn forget_tenant(
    txn: &Transaction,
    tenant: TenantId,
) -> Result<(), StoreError> {
    // Counters first: whoever counts locks them first, too.
    let common = ["counters", "keys", "quarters", "days"];
    // SQLite has no log of what the ERP's own transactions count.
    let log = (txn.dialect() == Dialect::Postgres).then_some("log");
    for table in common.into_iter().chain(log) {
        let sql = format!("DELETE FROM entitlement_usage_{table} WHERE tenant_id = $1");
        txn.execute_with(sql, [tenant.uuid().into()]).await?;
    }
    Ok(())
}
