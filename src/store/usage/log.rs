//! What the ERP's own transactions have counted with `entitlement_count`, on PostgreSQL.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sea_orm::{DbErr, QueryResult, Statement, prelude::Uuid};

use super::{Asked, LOCK_WAIT, UsageOp, UsageOutcome, UsageRequest, answers, rows::Rows};
use crate::{
    domain::{Definitions, Event, LimitKind, MeterId, Period, Recorded, UsageKey, UsedAt},
    store::{Store, StoreError, ask::Ask},
};

/// Rows that are counted in one transaction.
const STEP: u32 = 500;

/// What has been written and is not counted, the oldest first.
const WAITING: &str = "SELECT id, tenant_id, meter, key, amount, module_code, \
        (EXTRACT(epoch FROM used_at) * 1000000)::bigint AS used_at \
     FROM entitlement_usage_log WHERE refused IS NULL ORDER BY id";

/// A row of the log.
struct Entry {
    id: i64,
    meter: MeterId,
    key: UsageKey,
    amount: i64,
    module: String,
    used_at: DateTime<Utc>,
}

/// What became of some rows of the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Folded {
    /// How many were counted, or had been before.
    pub counted: usize,
    /// How many never can be: they stay, and say why.
    pub refused: usize,
    /// Are there others?
    pub has_more: bool,
}

impl Store {
    /// The meters that the log names and that wait to be counted, a hundred at most.
    pub async fn logged_meters(&self) -> Result<BTreeSet<String>, StoreError> {
        if self.primary.postgres().is_none() {
            return Ok(BTreeSet::new());
        }
        let sql = format!("SELECT DISTINCT meter FROM ({WAITING} LIMIT {STEP}) w LIMIT 100");
        let found = self.primary.query(self.primary.dialect().statement(sql, [])).await?;
        let meters = found.iter().map(|row| row.try_get("", "meter"));
        Ok(meters.collect::<Result<_, DbErr>>()?)
    }

    /// Counts some of what has been logged, each row once, and deletes what is counted in the same
    /// transaction.
    pub async fn fold_usage_log(
        &self,
        definitions: &Definitions,
        zone: Tz,
        now: DateTime<Utc>,
    ) -> Result<Folded, StoreError> {
        let rows = Rows::new(self.writing.dialect());
        // What another server is counting is left to it.
        let waiting = format!("{WAITING} LIMIT {STEP} FOR UPDATE SKIP LOCKED");
        let waiting = [rows.dialect().statement(waiting, [])];
        let (txn, found) = self.writing.begin_asking(LOCK_WAIT, &waiting).await?;
        let entries = found.iter().flatten().map(entry).collect::<Result<Vec<_>, DbErr>>()?;
        let (requests, unknown): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| kind(definitions, entry) == Some(LimitKind::Monthly));
        let ids: Vec<i64> = requests.iter().map(|entry| entry.id).collect();
        let requests: Vec<UsageRequest> =
            requests.into_iter().map(|entry| request(entry, zone)).collect();
        let asked: Vec<Asked<'_>> = requests.iter().flat_map(Asked::of).collect();
        let mut answered = Vec::new();
        for statement in rows.find(&asked, false, now) {
            answered.push(txn.query(statement).await?);
        }
        let (ledger, outcomes) = answers(&answered, &requests, now)?;
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        for (id, answer) in ids.into_iter().zip(outcomes) {
            match answer.outcome {
                UsageOutcome::Recorded(Recorded::Counted | Recorded::Repeated) => done.push(id),
                UsageOutcome::NoTenant => refused.push((id, "unknown tenant")),
                _ => refused.push((id, "conflict")),
            }
        }
        refused.extend(unknown.iter().map(|entry| (entry.id, "unknown meter")));
        let mut writes = rows.writes(&ledger, now);
        writes.extend(of_ids("DELETE FROM entitlement_usage_log", done.iter().copied()));
        for why in ["unknown tenant", "unknown meter", "conflict"] {
            let ids = refused.iter().filter(|(_, other)| *other == why).map(|(id, _)| *id);
            writes.extend(of_ids(
                &format!("UPDATE entitlement_usage_log SET refused = '{why}'"),
                ids,
            ));
        }
        txn.commit_with(writes).await?;
        let has_more = entries.len() >= STEP as usize;
        Ok(Folded { counted: done.len(), refused: refused.len(), has_more })
    }
}

fn kind(definitions: &Definitions, entry: &Entry) -> Option<LimitKind> {
    definitions.limit(&entry.meter.meter).map(|defined| defined.kind)
}

fn request(entry: &Entry, zone: Tz) -> UsageRequest {
    let period = Period::at(LimitKind::Monthly, entry.used_at, zone).to_string();
    UsageRequest {
        counter: (entry.meter.clone(), period.into()),
        kind: LimitKind::Monthly,
        op: UsageOp::Record(Event {
            key: Some(entry.key.clone()),
            amount: entry.amount,
            corrects: None,
            module: entry.module.as_str().into(),
            used_at: UsedAt::new(LimitKind::Monthly, entry.used_at, zone),
        }),
    }
}

fn entry(row: &QueryResult) -> Result<Entry, DbErr> {
    let key: String = row.try_get("", "key")?;
    let tenant = row.try_get::<Uuid>("", "tenant_id")?.into();
    Ok(Entry {
        id: row.try_get("", "id")?,
        meter: MeterId { tenant, meter: row.try_get::<String>("", "meter")?.into() },
        key: UsageKey::parse(&key).map_err(|error| DbErr::Custom(error.to_string()))?,
        amount: row.try_get("", "amount")?,
        module: row.try_get("", "module_code")?,
        used_at: DateTime::from_timestamp_micros(row.try_get("", "used_at")?).unwrap_or_default(),
    })
}

/// A statement on these rows; none where there are none.
fn of_ids(sql: &str, ids: impl Iterator<Item = i64>) -> Option<Statement> {
    let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
    let sql = format!("{sql} WHERE id IN ({})", ids.join(", "));
    (!ids.is_empty()).then(|| crate::store::dialect::Dialect::Postgres.statement(sql, []))
}
