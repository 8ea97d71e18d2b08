//! What the ERP's own reports read: a row of `usage_metrics` for each day of each meter and module.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sea_orm::{DbErr, QueryResult, Statement, Value, prelude::Uuid};

use super::{
    LOCK_WAIT,
    rows::{Rows, Table, text},
};
use crate::{
    domain::calendar::Day,
    store::{Store, StoreError, ask::Ask, dialect::Dialect},
};

/// Days that are reported in one transaction.
const STEP: usize = 500;

/// What the ids of our rows are made from: a day has the same row, whoever writes it.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d7c_3ca0_9c2e_4b8e_a1f3_0f5c_7e61_b0d4);

/// A day of a meter and a module.
struct ReportedDay {
    tenant: Uuid,
    meter: String,
    day: String,
    module: String,
    amount: i64,
}

impl Store {
    /// Writes the sums of days that have changed into `usage_metrics`, some hundred at a time. Are
    /// there others? Rows that are not ours are left alone: ours have ids of their own.
    pub async fn report_usage(&self, zone: Tz) -> Result<bool, StoreError> {
        let rows = Rows::new(self.writing.dialect());
        let (txn, found) = self.writing.begin_asking(LOCK_WAIT, &[rows.unreported()]).await?;
        let days = found.iter().flatten().map(day).collect::<Result<Vec<_>, DbErr>>()?;
        let has_more = days.len() >= STEP;
        if days.is_empty() {
            txn.roll_back().await?;
            return Ok(false);
        }
        txn.commit_with(vec![rows.write_metrics(&days, zone), rows.mark_reported(&days)]).await?;
        Ok(has_more)
    }
}

impl Rows {
    /// Days that are being counted, or reported by another server, are left for the next time.
    fn unreported(self) -> Statement {
        let lock = match self.dialect() {
            Dialect::Postgres => " FOR UPDATE OF d SKIP LOCKED",
            Dialect::Sqlite => "",
        };
        let sql = format!(
            "SELECT d.tenant_id, d.meter, d.day, d.module_code, d.amount FROM entitlement_usage_days d \
             WHERE d.reported IS DISTINCT FROM d.amount AND EXISTS (SELECT 1 FROM tenants t WHERE t.id = d.tenant_id) \
             LIMIT {STEP}{lock}"
        );
        self.dialect().statement(sql, [])
    }

    fn write_metrics(self, days: &[ReportedDay], zone: Tz) -> Statement {
        let cells = days.iter().map(|day| {
            let module = (!day.module.is_empty()).then(|| day.module.clone());
            [
                day.id().into(),
                day.tenant.into(),
                module.into(),
                text(&day.meter),
                day.amount.into(),
                day.start(zone).into(),
            ]
        });
        let types = ["uuid", "uuid", "text", "text", "bigint", "timestamptz"];
        let columns = "id, tenant_id, module_code, metric_type, metric_value, recorded_at";
        let Table { sql, values } = self.table(&format!("new ({columns})"), cells, types, 0);
        let sql = format!(
            "WITH {sql} INSERT INTO usage_metrics ({columns}) SELECT {columns} FROM new WHERE true \
             ON CONFLICT (id) DO UPDATE SET metric_value = excluded.metric_value"
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
            "WITH {sql} UPDATE entitlement_usage_days AS d SET reported = done.amount FROM done \
             WHERE d.tenant_id = done.tenant_id AND d.meter = done.meter AND d.day = done.day AND d.module_code = done.module_code"
        );
        self.dialect().statement(sql, values)
    }
}

impl ReportedDay {
    /// The id of its row.
    fn id(&self) -> Uuid {
        let Self { tenant, meter, day, module, .. } = self;
        // No part can hold this character: two days never have one name.
        Uuid::new_v5(&NAMESPACE, format!("{tenant}\n{module}\n{meter}\n{day}").as_bytes())
    }

    fn start(&self, zone: Tz) -> DateTime<Utc> {
        Day::parse(&self.day).map(|day| day.start(zone)).unwrap_or_default()
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
