//! What the ERP's own reports read: a row of `usage_metrics` for each day of each meter and module.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sea_orm::{DbErr, QueryResult, Statement, Value, prelude::Uuid};

use super::{
    LOCK_WAIT,
    rows::{Rows, Table, text},
    zones::ZonesOfTenants,
};
use crate::{
    domain::{TenantId, calendar::Day},
    store::{Store, StoreError, ask::Ask},
};

/// Days that are reported at a time.
const STEP: usize = 500;

/// The most that `metric_value`, a `numeric(15, 2)`, can hold of whole numbers.
const MOST: i64 = 9_999_999_999_999;

/// What the ids of our rows are made from: a day has the same row, whoever writes it.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d7c_3ca0_9c2e_4b8e_a1f3_0f5c_7e61_b0d4);

/// A day of a meter and a module.
#[derive(Clone, Debug)]
pub struct ReportedDay {
    tenant: Uuid,
    meter: String,
    day: String,
    module: String,
    amount: i64,
}

/// What was reported.
#[derive(Debug)]
pub struct Reported {
    /// The last day that was looked at; `None`: that was all.
    pub last: Option<ReportedDay>,
    /// How many the ERP's table does not take, and why the last of them.
    pub refused: usize,
    /// Why it does not.
    pub error: Option<StoreError>,
}

impl Store {
    /// Writes the sums of some days that have changed into `usage_metrics`, the next ones after
    /// `after`. Rows that are not ours are left alone: ours have ids of their own.
    ///
    /// Nothing that counting needs is locked while the ERP's table is written. A day that changes
    /// meanwhile is found again. It begins as in its tenant's zone, or where that has none in `zone`.
    pub async fn report_usage(
        &self,
        after: Option<&ReportedDay>,
        zone: Tz,
    ) -> Result<Reported, StoreError> {
        let rows = Rows::new(self.primary.dialect());
        let found = self.primary.query(rows.unreported(after)).await?;
        let days = found.iter().map(day).collect::<Result<Vec<_>, DbErr>>()?;
        let last = days.last().cloned();
        let tenants: BTreeSet<TenantId> = days.iter().map(|day| day.tenant.into()).collect();
        let zones = &self.zones_of_tenants(&tenants, zone).await?;
        let mut reported = Reported { last, refused: 0, error: None };
        match self.report(&days, zones).await {
            // One that the table does not take must not keep the others out.
            Err(StoreError::Rejected(_)) => {
                for day in &days {
                    if let Err(error) = self.report(std::slice::from_ref(day), zones).await {
                        reported.refused += 1;
                        reported.error = Some(error);
                    }
                }
            }
            done => done?,
        }
        Ok(reported)
    }

    async fn report(&self, days: &[ReportedDay], zones: &ZonesOfTenants) -> Result<(), StoreError> {
        if days.is_empty() {
            return Ok(());
        }
        let rows = Rows::new(self.writing.dialect());
        self.writing.run_at_once(LOCK_WAIT, rows.write_metrics(days, zones)).await?;
        self.writing.run_at_once(LOCK_WAIT, rows.mark_reported(days)).await.map(drop)
    }
}

impl Rows {
    fn unreported(self, after: Option<&ReportedDay>) -> Statement {
        let (mut condition, mut values) = (String::new(), Vec::new());
        if let Some(ReportedDay { tenant, meter, day, module, .. }) = after {
            condition = format!(
                " AND (d.tenant_id, d.meter, d.day, d.module_code) > ({}, $2, $3, $4)",
                self.dialect().parameter(1, "uuid")
            );
            values = vec![Value::from(*tenant), text(meter), text(day), text(module)];
        }
        let sql = format!(
            "SELECT d.tenant_id, d.meter, d.day, d.module_code, d.amount FROM entitlement_usage_days d \
             WHERE NOT d.is_reported AND EXISTS (SELECT 1 FROM tenants t WHERE t.id = d.tenant_id){condition} \
             ORDER BY d.tenant_id, d.meter, d.day, d.module_code LIMIT {STEP}"
        );
        self.dialect().statement(sql, values)
    }

    fn write_metrics(self, days: &[ReportedDay], zones: &ZonesOfTenants) -> Statement {
        let cells = days.iter().map(|day| {
            let module = (!day.module.is_empty()).then(|| day.module.clone());
            [
                day.id().into(),
                day.tenant.into(),
                module.into(),
                text(&day.meter),
                day.amount.min(MOST).into(),
                day.start(zones).into(),
            ]
        });
        let types = ["uuid", "uuid", "text", "text", "bigint", "timestamptz"];
        let columns = "id, tenant_id, module_code, metric_type, metric_value, recorded_at";
        let Table { sql, values } = self.table(&format!("new ({columns})"), cells, types, 0);
        // In order, for another server may write the same rows.
        let sql = format!(
            "WITH {sql} INSERT INTO usage_metrics ({columns}) SELECT {columns} FROM new WHERE true ORDER BY id \
             ON CONFLICT (id) DO UPDATE SET metric_value = excluded.metric_value, recorded_at = excluded.recorded_at"
        );
        self.dialect().statement(sql, values)
    }

    fn mark_reported(self, days: &[ReportedDay]) -> Statement {
        let cells = days.iter().map(|day| {
            let [meter, when, module] = [&day.meter, &day.day, &day.module].map(|it| text(it));
            [Value::from(day.tenant), meter, when, module, day.amount.into()]
        });
        let types = ["uuid", "text", "text", "text", "bigint"];
        let columns = "done (tenant_id, meter, day, module_code, amount)";
        let Table { sql, values } = self.table(columns, cells, types, 0);
        let sql = format!(
            "WITH {sql} UPDATE entitlement_usage_days AS d SET is_reported = true FROM done \
             WHERE d.tenant_id = done.tenant_id AND d.meter = done.meter AND d.day = done.day \
               AND d.module_code = done.module_code AND d.amount = done.amount"
        );
        self.dialect().statement(sql, values)
    }
}

impl ReportedDay {
    /// The id of its row.
    fn id(&self) -> Uuid {
        let Self { tenant, meter, day, module, .. } = self;
        Uuid::new_v5(&NAMESPACE, format!("{tenant}\n{module}\n{meter}\n{day}").as_bytes())
    }

    fn start(&self, zones: &ZonesOfTenants) -> DateTime<Utc> {
        let zones = zones.of(self.tenant.into());
        Day::parse(&self.day).map(|day| zones.day_start(day)).unwrap_or_default()
    }
}

fn day(row: &QueryResult) -> Result<ReportedDay, DbErr> {
    Ok(ReportedDay {
        tenant: row.try_get("", "tenant_id")?,
        meter: row.try_get("", "meter")?,
        day: row.try_get("", "day")?,
        module: row.try_get("", "module_code")?,
        amount: row.try_get("", "amount")?,
    })
}
