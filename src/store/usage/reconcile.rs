//! Reconciling a level with the things that there are.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{DbErr, QueryResult, Statement, Value};

use super::{
    Asked, LOCK_WAIT, UsageKey,
    found::Found,
    level,
    rows::{self, Rows},
};
use crate::{
    domain::{Counter, Ledger, LimitInForce, LimitKind, MeterId},
    store::{Store, StoreError, ask::Ask},
};

/// Which things there are.
#[derive(Clone, Debug)]
pub struct ReconcileRequest {
    /// The level.
    pub meter: MeterId,
    /// All that there are in the range, in any order.
    pub keys: Vec<UsageKey>,
    /// When they were read, at the latest: what was counted or released after that stays.
    pub as_of: DateTime<Utc>,
    /// The range begins after this key; empty: with the first.
    pub after: String,
    /// It ends with this key; empty: with the last.
    pub up_to: String,
}

/// What was put right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reconciled {
    /// How many were not counted for good, and are now.
    pub counted: i64,
    /// How many were counted, and are not there any more.
    pub released: i64,
    /// The level afterwards.
    pub counter: Counter,
    /// Its limit.
    pub limit: LimitInForce,
}

impl Store {
    /// Counts what is there and is not counted, and releases what is counted and is not there, in one
    /// transaction. `None`: there is no such tenant.
    pub async fn reconcile(
        &self,
        request: &ReconcileRequest,
        now: DateTime<Utc>,
    ) -> Result<Option<Reconciled>, StoreError> {
        let counter = level(&request.meter);
        let writer = Rows::new(self.writing.dialect());
        let asked = [Asked { counter: &counter, key: None }];
        let mut statements = writer.find(&asked, false, now);
        let asked = statements.len();
        statements.push(writer.release_others(request, now));
        statements.extend(request.keys.chunks(CHUNK).flat_map(|keys| {
            [writer.confirm_held(request, keys, now), writer.count_missing(request, keys, now)]
        }));
        let (txn, rows) = self.writing.begin_asking(LOCK_WAIT, &statements).await?;
        let (found, changed) = rows.split_at(asked.min(rows.len()));
        let Found { meters, counters, limits, keys } = Rows::read(found)?;
        let Some(said) = limits.get(&request.meter).copied() else {
            txn.roll_back().await?;
            return Ok(None);
        };
        let [released, counted @ ..] = changed else {
            return Err(DbErr::Custom("a statement gave no answer".to_owned()).into());
        };
        // Holds that have run out are given back, but for what is there: that is counted below.
        let there: BTreeSet<&UsageKey> = request.keys.iter().collect();
        let gone = keys.into_iter().filter(|((_, key), _)| !there.contains(key));
        let ledger = Ledger::new(meters, counters, gone, now);
        let mut counter = ledger.counter(&counter);
        let released = amounts(released)?;
        let confirmed = amounts(counted.iter().step_by(2).flatten())?;
        let missing = amounts(counted.iter().skip(1).step_by(2).flatten())?;
        let sum = |amounts: &[i64]| amounts.iter().sum::<i64>();
        counter.held -= sum(&confirmed);
        counter.used += sum(&confirmed) + sum(&missing) - sum(&released);
        let mut writes = writer.writes(&ledger, now);
        writes.push(writer.set_counter(&request.meter, counter));
        txn.commit_with(writes).await?;
        let key = Arc::clone(&request.meter.meter);
        Ok(Some(Reconciled {
            counted: i64::try_from(missing.len() + confirmed.len()).unwrap_or(i64::MAX),
            released: i64::try_from(released.len()).unwrap_or(i64::MAX),
            counter,
            limit: said.in_force(key, LimitKind::Level, now),
        }))
    }
}

/// What is younger than that at `as_of` is left too: a count is as old as its request, which may have
/// waited for a lock, and no two clocks agree.
const YOUNG: TimeDelta = TimeDelta::seconds(5);

/// Keys in one statement.
const CHUNK: usize = 500;

fn amounts<'a>(rows: impl IntoIterator<Item = &'a QueryResult>) -> Result<Vec<i64>, DbErr> {
    rows.into_iter().map(|row| row.try_get("", "amount")).collect()
}

impl Rows {
    /// Releases what is counted in the range and is not among the keys. What is held is left: it is
    /// about to be there, or returns by itself.
    fn release_others(self, request: &ReconcileRequest, now: DateTime<Utc>) -> Statement {
        let (there, mut values, first) = self.there(request, &request.keys, now);
        values.extend([rows::text(&request.after), rows::text(&request.up_to)]);
        let parameter = |place: usize, sql_type| self.dialect().parameter(first + place, sql_type);
        let sql = format!(
            "WITH {there} UPDATE entitlement_usage_keys SET state = 'released', used = 0, changed_at = {} \
             WHERE tenant_id = {} AND meter = {} AND period = '' AND state = 'counted' AND changed_at <= {} \
               AND key > {after} AND ({up_to} = '' OR key <= {up_to}) AND key NOT IN (SELECT key FROM there) \
             RETURNING amount",
            self.instant_parameter(first + 4),
            parameter(1, "uuid"),
            parameter(2, "text"),
            self.instant_parameter(first + 3),
            after = parameter(5, "text"),
            up_to = parameter(6, "text"),
        );
        self.dialect().statement(sql, values)
    }

    /// What is held and is there is taken for good.
    fn confirm_held(
        self,
        request: &ReconcileRequest,
        keys: &[UsageKey],
        now: DateTime<Utc>,
    ) -> Statement {
        let (there, values, first) = self.there(request, keys, now);
        let sql = format!(
            "WITH {there} UPDATE entitlement_usage_keys SET state = 'counted', used = amount, changed_at = {now}, expires_at = NULL \
             WHERE tenant_id = {} AND meter = {} AND period = '' AND state = 'held' AND key IN (SELECT key FROM there) RETURNING amount",
            self.dialect().parameter(first + 1, "uuid"),
            self.dialect().parameter(first + 2, "text"),
            now = self.instant_parameter(first + 4),
        );
        self.dialect().statement(sql, values)
    }

    /// What is there and is not counted is counted, once each.
    fn count_missing(
        self,
        request: &ReconcileRequest,
        keys: &[UsageKey],
        now: DateTime<Utc>,
    ) -> Statement {
        let (there, values, first) = self.there(request, keys, now);
        let sql = format!(
            "WITH {there} INSERT INTO entitlement_usage_keys AS k \
                (tenant_id, meter, key, period, module_code, asked, amount, used, state, changed_at, used_at) \
             SELECT {}, {}, key, '', '', 1, 1, 1, 'counted', {now}, {now} FROM there WHERE true ORDER BY key \
             ON CONFLICT (tenant_id, meter, key) DO UPDATE \
                SET period = '', asked = 1, amount = 1, used = 1, state = 'counted', \
                    changed_at = excluded.changed_at, used_at = excluded.used_at \
                WHERE k.state = 'released' AND k.changed_at <= {} \
             RETURNING amount",
            self.dialect().parameter(first + 1, "uuid"),
            self.dialect().parameter(first + 2, "text"),
            self.instant_parameter(first + 3),
            now = self.instant_parameter(first + 4),
        );
        self.dialect().statement(sql, values)
    }

    /// These keys as a table, and after them: the tenant, the meter, when they were read, and now.
    fn there(
        self,
        request: &ReconcileRequest,
        keys: &[UsageKey],
        now: DateTime<Utc>,
    ) -> (String, Vec<Value>, usize) {
        let rows = keys.iter().map(|key| [rows::text(key.as_str())]);
        let rows::Table { sql: there, mut values } = self.table("there (key)", rows, ["text"], 0);
        let first = values.len();
        values.extend([
            rows::tenant(request.meter.tenant),
            rows::text(&request.meter.meter),
            (request.as_of - YOUNG).timestamp_micros().into(),
            now.timestamp_micros().into(),
        ]);
        (there, values, first)
    }

    fn set_counter(self, meter: &MeterId, counter: Counter) -> Statement {
        let sql = format!(
            "INSERT INTO entitlement_usage_counters (tenant_id, meter, period, used, held) VALUES ({}, {}, '', {}, {}) \
             ON CONFLICT (tenant_id, meter, period) DO UPDATE SET used = excluded.used, held = excluded.held",
            self.dialect().parameter(1, "uuid"),
            self.dialect().parameter(2, "text"),
            self.dialect().parameter(3, "bigint"),
            self.dialect().parameter(4, "bigint"),
        );
        let values = [
            rows::tenant(meter.tenant),
            rows::text(&meter.meter),
            counter.used.into(),
            counter.held.into(),
        ];
        self.dialect().statement(sql, values)
    }
}
