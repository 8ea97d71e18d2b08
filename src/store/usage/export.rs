//! What was used on each day, of all tenants.

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult, prelude::Uuid};

use super::rows::{Rows, tenant, text};
use crate::{
    domain::{TenantId, calendar::Day},
    store::{Store, StoreError, ask::Ask},
};

/// Days that are read at a time.
const PAGE: u32 = 5_000;

/// Which days.
#[derive(Clone, Debug)]
pub struct ExportedDays {
    /// The first.
    pub from: Day,
    /// The one after the last.
    pub to: Day,
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only of this meter.
    pub meter: Option<String>,
}

/// What was used on a day.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExportedDay {
    /// By whom.
    pub tenant: TenantId,
    /// Of what.
    pub meter: String,
    /// The stored form of the day.
    pub day: String,
    /// For which module; empty: none was named.
    pub module: String,
    /// How much.
    pub amount: i64,
    /// How many things.
    pub events: i64,
    /// What of it came late.
    pub late: i64,
    /// When it last changed.
    pub recorded_at: DateTime<Utc>,
}

impl Store {
    /// The next days after `last`, by tenant, meter, day and module; none: that was all.
    pub async fn exported_days(
        &self,
        asked: &ExportedDays,
        last: Option<&ExportedDay>,
    ) -> Result<Vec<ExportedDay>, StoreError> {
        let rows = Rows::new(self.primary.dialect());
        let mut values = vec![text(&asked.from.to_string()), text(&asked.to.to_string())];
        let mut conditions = vec!["day >= $1 AND day < $2".to_owned()];
        let mut parameter = |value, sql_type| {
            values.push(value);
            rows.dialect().parameter(values.len(), sql_type)
        };
        if let Some(id) = asked.tenant {
            conditions.push(format!("tenant_id = {}", parameter(tenant(id), "uuid")));
        }
        if let Some(meter) = &asked.meter {
            conditions.push(format!("meter = {}", parameter(text(meter), "text")));
        }
        if let Some(last) = last {
            conditions.push(format!(
                "(tenant_id, meter, day, module_code) > ({}, {}, {}, {})",
                parameter(tenant(last.tenant), "uuid"),
                parameter(text(&last.meter), "text"),
                parameter(text(&last.day), "text"),
                parameter(text(&last.module), "text"),
            ));
        }
        let sql = format!(
            "SELECT tenant_id, meter, day, module_code, amount, events, late, {} AS recorded_at \
             FROM entitlement_usage_days WHERE {} AND (amount <> 0 OR events <> 0) \
             ORDER BY tenant_id, meter, day, module_code LIMIT {PAGE}",
            rows.dialect().micros("recorded_at"),
            conditions.join(" AND ")
        );
        let found = self.primary.query(rows.dialect().statement(sql, values)).await?;
        Ok(found.iter().map(day).collect::<Result<_, DbErr>>()?)
    }
}

fn day(row: &QueryResult) -> Result<ExportedDay, DbErr> {
    let recorded_at = DateTime::from_timestamp_micros(row.try_get("", "recorded_at")?);
    Ok(ExportedDay {
        tenant: row.try_get::<Uuid>("", "tenant_id")?.into(),
        meter: row.try_get("", "meter")?,
        day: row.try_get("", "day")?,
        module: row.try_get("", "module_code")?,
        amount: row.try_get("", "amount")?,
        events: row.try_get("", "events")?,
        late: row.try_get("", "late")?,
        recorded_at: recorded_at.unwrap_or_default(),
    })
}
