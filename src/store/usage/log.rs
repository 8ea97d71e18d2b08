//! What the ERP's own transactions have counted with `entitlement_count`, on PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sea_orm::{DbErr, QueryResult, Statement, Value, prelude::Uuid};

use super::{
    Asked, LOCK_WAIT, UsageOp, UsageOutcome, UsageRequest, answers,
    rows::{Rows, Table, tenant, text},
    zones::ZonesOfTenants,
};
use crate::{
    domain::{
        Catalogue, Event, LimitKind, MeterId, Period, Recorded, UsageKey, UsedAt, calendar::Zones,
        limits::MAX_USAGE_AGE,
    },
    store::{Store, StoreError, ask::Ask},
};

/// Rows that are counted in one transaction.
const STEP: u32 = 500;

/// A row of the log.
struct Entry {
    id: i64,
    meter: MeterId,
    key: String,
    amount: i64,
    module: String,
    used_at: DateTime<Utc>,
}

/// What became of some rows of the log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Folded {
    /// How many never can be counted: they stay, and say why.
    pub refused: usize,
    /// Meters that somebody else has locked: their rows wait.
    pub locked: BTreeSet<MeterId>,
    /// Are there others?
    pub has_more: bool,
}

impl Store {
    /// Does something wait to be counted?
    pub async fn has_usage_log(&self) -> Result<bool, StoreError> {
        if self.primary.postgres().is_none() {
            return Ok(false);
        }
        let sql =
            "SELECT EXISTS (SELECT FROM entitlement_usage_log WHERE refused IS NULL) AS waits";
        let found = self.primary.query(self.primary.dialect().statement(sql, [])).await?;
        Ok(found.first().map(|row| row.try_get("", "waits")).transpose()?.unwrap_or_default())
    }

    /// Counts some of what has been logged, each row once, and deletes what is counted in the same
    /// transaction. What counts with one of the `busy` meters is left out. Names that the catalogue
    /// does not know are looked up in the database. Tenants without a zone of their own have `zone`.
    pub async fn fold_usage_log(
        &self,
        known: &Catalogue,
        busy: &BTreeSet<MeterId>,
        zone: Tz,
        now: DateTime<Utc>,
    ) -> Result<Folded, StoreError> {
        let rows = Rows::new(self.writing.dialect());
        let (txn, found) = self.writing.begin_asking(LOCK_WAIT, &[rows.logged(busy)]).await?;
        let entries = found.iter().flatten().map(entry).collect::<Result<Vec<_>, DbErr>>()?;
        let read;
        let catalogue = if entries.iter().all(|entry| knows(known, entry)) {
            known
        } else {
            read = self.present_catalogue(now).await?;
            &read
        };
        let tenants: BTreeSet<_> = entries.iter().map(|entry| entry.meter.tenant).collect();
        let found =
            if entries.is_empty() { Vec::new() } else { txn.query(rows.zones(&tenants)).await? };
        let zones = ZonesOfTenants::read(&found, zone, &self.context)?;
        let (mut requests, mut ids, mut refused) = (Vec::new(), Vec::new(), Refusals::default());
        for entry in &entries {
            match request(catalogue, entry, &zones.of(entry.meter.tenant), now) {
                Ok(request) => {
                    requests.push(request);
                    ids.push(entry.id);
                }
                Err(why) => refused.add(why, entry.id),
            }
        }
        let asked: Vec<Asked<'_>> = requests.iter().flat_map(Asked::of).collect();
        let mut answered = Vec::new();
        for statement in rows.find(&asked, true, now) {
            answered.push(txn.query(statement).await?);
        }
        let (ledger, outcomes) = answers(&answered, &requests, now)?;
        let (mut done, mut locked) = (Vec::new(), BTreeSet::new());
        for ((id, request), answer) in ids.into_iter().zip(&requests).zip(outcomes) {
            match answer.outcome {
                UsageOutcome::Recorded(Recorded::Counted | Recorded::Repeated) => done.push(id),
                UsageOutcome::NoTenant => refused.add("unknown tenant", id),
                UsageOutcome::Recorded(Recorded::TooMuch) => refused.add("too much", id),
                UsageOutcome::Recorded(_) => refused.add("conflict", id),
                _ => _ = locked.insert(request.counter.0.clone()),
            }
        }
        let mut writes = rows.writes(&ledger, now);
        writes.extend(rows.of_ids("DELETE FROM entitlement_usage_log", &done));
        writes.extend(refused.0.iter().filter_map(|(why, ids)| {
            rows.of_ids(&format!("UPDATE entitlement_usage_log SET refused = '{why}'"), ids)
        }));
        txn.commit_with(writes).await?;
        let has_more = entries.len() >= STEP as usize;
        Ok(Folded { refused: refused.0.values().map(Vec::len).sum(), locked, has_more })
    }
}

/// Rows that can never be counted, by why.
#[derive(Default)]
struct Refusals(BTreeMap<&'static str, Vec<i64>>);

impl Refusals {
    fn add(&mut self, why: &'static str, id: i64) {
        self.0.entry(why).or_default().push(id);
    }
}

impl Rows {
    /// What waits, the oldest first. What another server is counting is left to it.
    fn logged(self, busy: &BTreeSet<MeterId>) -> Statement {
        let busy = busy.iter().map(|id| -> [Value; 2] { [tenant(id.tenant), text(&id.meter)] });
        let Table { sql, values } =
            self.table("busy (tenant_id, meter)", busy, ["uuid", "text"], 0);
        let sql = format!(
            "WITH {sql} SELECT l.id, l.tenant_id, l.meter, l.key, l.amount, l.module_code, {} AS used_at \
             FROM entitlement_usage_log l WHERE l.refused IS NULL \
               AND NOT EXISTS (SELECT FROM busy b WHERE b.tenant_id = l.tenant_id AND b.meter = l.meter) \
             ORDER BY l.id LIMIT {STEP} FOR UPDATE OF l SKIP LOCKED",
            self.dialect().micros("l.used_at")
        );
        self.dialect().statement(sql, values)
    }

    /// A statement on these rows; none where there are none.
    fn of_ids(self, sql: &str, ids: &[i64]) -> Option<Statement> {
        let list: Vec<_> = ids.iter().map(ToString::to_string).collect();
        let sql = format!("{sql} WHERE id IN ({})", list.join(", "));
        (!ids.is_empty()).then(|| self.dialect().statement(sql, []))
    }
}

fn knows(catalogue: &Catalogue, entry: &Entry) -> bool {
    catalogue.definitions().limit(&entry.meter.meter).is_some()
        && catalogue.knows_module_of_usage(&entry.module)
}

/// What is to be counted, or why that can never be.
fn request(
    catalogue: &Catalogue,
    entry: &Entry,
    zones: &Zones,
    now: DateTime<Utc>,
) -> Result<UsageRequest, &'static str> {
    let kind = catalogue.definitions().limit(&entry.meter.meter).map(|defined| defined.kind);
    let key = UsageKey::parse(&entry.key).map_err(|_| "invalid key")?;
    let at = entry.used_at;
    if kind != Some(LimitKind::Monthly) {
        return Err("unknown meter");
    } else if !catalogue.knows_module_of_usage(&entry.module) {
        return Err("unknown module");
    } else if entry.amount < 1 {
        return Err("invalid amount");
    } else if at < now - MAX_USAGE_AGE {
        // Nobody knows any more what was counted then.
        return Err("too late");
    }
    let period = Period::at(LimitKind::Monthly, at, zones).to_string();
    Ok(UsageRequest {
        counter: (entry.meter.clone(), period.into()),
        kind: LimitKind::Monthly,
        modules: None,
        op: UsageOp::Record(Event {
            key: Some(key),
            amount: entry.amount,
            corrects: None,
            module: catalogue.code_of_now(&entry.module).into(),
            used_at: UsedAt::new(LimitKind::Monthly, at, zones),
        }),
    })
}

fn entry(row: &QueryResult) -> Result<Entry, DbErr> {
    let tenant = row.try_get::<Uuid>("", "tenant_id")?.into();
    Ok(Entry {
        id: row.try_get("", "id")?,
        meter: MeterId { tenant, meter: row.try_get::<String>("", "meter")?.into() },
        key: row.try_get("", "key")?,
        amount: row.try_get("", "amount")?,
        module: row.try_get("", "module_code")?,
        used_at: DateTime::from_timestamp_micros(row.try_get("", "used_at")?).unwrap_or_default(),
    })
}
