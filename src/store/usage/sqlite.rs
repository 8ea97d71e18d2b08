//! SQLite's form. It has one writer at a time, so that nothing needs a lock.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult, Statement, Value};

use super::{
    Asked,
    found::{Found, KEY, at_least_none, micros, until},
    rows::{self, Rows, Table, tenant, text},
};
use crate::{
    domain::{
        CounterId, KeyId, KeyRow, Lease, Ledger, LimitSaid, MeterId,
        usage_limit::{TRANSACTIONS_MONTHLY, USERS},
    },
    store::{instant, tenant::own},
};

impl Rows {
    pub(super) fn find_on_sqlite(self, asked: &[Asked<'_>], now: DateTime<Utc>) -> Vec<Statement> {
        let counters: BTreeSet<&CounterId> = asked.iter().map(|asked| asked.counter).collect();
        let meters: BTreeSet<&MeterId> = counters.iter().map(|(meter, _)| meter).collect();
        vec![
            self.counters(&counters, &meters, asked, now),
            self.limits(&meters),
            self.named_keys(asked),
            self.run_out(&meters, now),
        ]
    }

    /// Of these requests, and of the periods that keys were taken from.
    fn counters(
        self,
        counters: &BTreeSet<&CounterId>,
        meters: &BTreeSet<&MeterId>,
        asked: &[Asked<'_>],
        now: DateTime<Utc>,
    ) -> Statement {
        let rows = counters.iter().map(|id| counter_values(id));
        let of_requests =
            self.table("asked (tenant_id, meter, period)", rows, ["uuid", "text", "text"], 0);
        let named = self.named(asked, of_requests.values.len());
        let meters = self.meters(meters, of_requests.values.len() + named.values.len());
        let mut values = [of_requests.values, named.values, meters.values].concat();
        values.push(micros(now).into());
        let now = self.instant_parameter(values.len());
        let sql = format!(
            "WITH {}, {}, {}, wanted AS (SELECT tenant_id, meter, period FROM asked UNION \
                SELECT k.tenant_id, k.meter, k.period FROM named n JOIN entitlement_usage_keys k \
                ON k.tenant_id = n.tenant_id AND k.meter = n.meter AND k.key = n.key UNION \
                SELECT k.tenant_id, k.meter, k.period FROM meters m JOIN entitlement_usage_keys k \
                ON k.tenant_id = m.tenant_id AND k.meter = m.meter WHERE k.state = 'held' AND k.expires_at <= {now}) \
             SELECT c.tenant_id, c.meter, c.period, c.used, c.held FROM wanted w JOIN entitlement_usage_counters c \
                ON c.tenant_id = w.tenant_id AND c.meter = w.meter AND c.period = w.period",
            of_requests.sql, named.sql, meters.sql
        );
        self.dialect().statement(sql, values)
    }

    /// What those say who have a say about the limits of these meters, for the tenants that exist.
    fn limits(self, meters: &BTreeSet<&MeterId>) -> Statement {
        let Table { sql, values } = self.meters(meters, 0);
        let sql = format!(
            "WITH {sql} SELECT a.tenant_id, a.meter, p.id IS NOT NULL AS has_plan, \
                o.key IS NOT NULL AS is_overridden, o.value AS own, o.ends_at AS ends_at, \
                k.key IS NOT NULL AS is_kept, k.value AS kept, \
                CASE a.meter WHEN '{USERS}' THEN CAST(p.max_users AS bigint) \
                             WHEN '{TRANSACTIONS_MONTHLY}' THEN CAST(p.max_transactions_monthly AS bigint) \
                             ELSE l.value END AS planned \
             FROM meters a JOIN tenants t ON t.id = a.tenant_id LEFT JOIN plans p ON p.id = t.plan_id AND p.slug IS NOT NULL \
             LEFT JOIN entitlement_limit_overrides o ON o.tenant_id = t.id AND o.key = a.meter \
             LEFT JOIN entitlement_kept_limits k ON k.tenant_id = t.id AND k.plan_id = p.id AND k.key = a.meter \
             LEFT JOIN entitlement_plan_limits l ON l.plan_id = p.id AND l.key = a.meter"
        );
        self.dialect().statement(sql, values)
    }

    fn named_keys(self, asked: &[Asked<'_>]) -> Statement {
        let Table { sql, values } = self.named(asked, 0);
        let sql = format!(
            "WITH {sql} SELECT {} FROM named n JOIN entitlement_usage_keys k \
             ON k.tenant_id = n.tenant_id AND k.meter = n.meter AND k.key = n.key",
            self.key_columns()
        );
        self.dialect().statement(sql, values)
    }

    /// What is held of these meters and has run out, some hundred at most: the next transaction
    /// finds the others, and everybody waits for this one.
    fn run_out(self, meters: &BTreeSet<&MeterId>, now: DateTime<Utc>) -> Statement {
        let Table { sql, mut values } = self.meters(meters, 0);
        values.push(micros(now).into());
        let now = self.instant_parameter(values.len());
        let sql = format!(
            "WITH {sql} SELECT {} FROM meters m JOIN entitlement_usage_keys k \
             ON k.tenant_id = m.tenant_id AND k.meter = m.meter \
             WHERE k.state = 'held' AND k.expires_at <= {now} LIMIT 500",
            self.key_columns()
        );
        self.dialect().statement(sql, values)
    }

    fn meters(self, meters: &BTreeSet<&MeterId>, before: usize) -> Table {
        let rows = meters.iter().map(|id| [tenant(id.tenant), text(&id.meter)]);
        self.table("meters (tenant_id, meter)", rows, ["uuid", "text"], before)
    }

    fn named(self, asked: &[Asked<'_>], before: usize) -> Table {
        let rows = asked.iter().filter_map(|Asked { counter: (meter, _), key }| {
            Some([tenant(meter.tenant), text(&meter.meter), text(key.as_ref()?.as_str())])
        });
        self.table("named (tenant_id, meter, key)", rows, ["uuid", "text", "text"], before)
    }

    pub(super) fn write_on_sqlite(self, ledger: &Ledger, now: DateTime<Utc>) -> Vec<Statement> {
        let keys: Vec<_> = ledger.changed_keys().map(|(id, row)| key_values(id, row)).collect();
        let counters = ledger.changed_counters().map(|(id, counter)| {
            let [tenant, meter, period] = counter_values(id);
            [tenant, meter, period, counter.used.into(), counter.held.into()]
        });
        let counters: Vec<_> = counters.collect();
        let sums: Vec<_> = ledger
            .sums()
            .iter()
            .map(|(id, sum)| {
                [
                    tenant(id.meter.tenant),
                    text(&id.meter.meter),
                    text(&id.module),
                    micros(id.quarter).into(),
                    text(&id.day),
                    sum.amount.into(),
                    sum.events.into(),
                    sum.late.into(),
                    sum.without_key.into(),
                ]
            })
            .collect();
        let mut statements = Vec::new();
        // As many values as a statement may have hold no more.
        statements.extend(keys.chunks(1_000).map(|keys| self.write_keys(keys, now)));
        if !counters.is_empty() {
            statements.push(self.write_counters(counters));
        }
        if !sums.is_empty() {
            let added = ["amount", "events", "late"];
            statements.push(self.write_sums("quarters", "quarter", &added, "", sums.clone(), now));
            let added = ["amount", "events", "late", "without_key"];
            statements.push(self.write_sums(
                "days",
                "day",
                &added,
                ", is_reported = false",
                sums,
                now,
            ));
        }
        statements
    }

    fn write_keys(self, keys: &[[Value; 15]], now: DateTime<Utc>) -> Statement {
        let columns = KEY.join(", ");
        let Table { sql, mut values } =
            self.table(&format!("new ({columns})"), keys.iter().cloned(), [""; 15], 0);
        values.push(micros(now).into());
        let now = self.instant_parameter(values.len());
        let updates = KEY[3..].iter().chain(&["changed_at"]);
        let updates: Vec<_> =
            updates.map(|column| format!("{column} = excluded.{column}")).collect();
        let sql = format!(
            "WITH {sql} INSERT INTO entitlement_usage_keys ({columns}, changed_at) \
             SELECT {columns}, {now} FROM new WHERE true \
             ON CONFLICT (tenant_id, meter, key) DO UPDATE SET {}",
            updates.join(", ")
        );
        self.dialect().statement(sql, values)
    }

    fn write_counters(self, counters: Vec<[Value; 5]>) -> Statement {
        let columns = "new (tenant_id, meter, period, used, held)";
        let Table { sql, values } = self.table(columns, counters, [""; 5], 0);
        let sql = format!(
            "WITH {sql} INSERT INTO entitlement_usage_counters (tenant_id, meter, period, used, held) \
             SELECT * FROM new WHERE true \
             ON CONFLICT (tenant_id, meter, period) DO UPDATE SET used = excluded.used, held = excluded.held"
        );
        self.dialect().statement(sql, values)
    }

    /// Adds to the sums by the span that a column names.
    fn write_sums(
        self,
        table: &str,
        span: &str,
        added: &[&str],
        also: &str,
        sums: Vec<[Value; 9]>,
        now: DateTime<Utc>,
    ) -> Statement {
        let columns =
            "new (tenant_id, meter, module_code, quarter, day, amount, events, late, without_key)";
        let Table { sql, mut values } = self.table(columns, sums, [""; 9], 0);
        values.push(micros(now).into());
        let now = self.instant_parameter(values.len());
        let each =
            |form: fn(&&str) -> String| added.iter().map(form).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "WITH {sql} INSERT INTO entitlement_usage_{table} AS s (tenant_id, meter, {span}, module_code, {}, recorded_at) \
             SELECT tenant_id, meter, {span}, module_code, {}, {now} FROM new WHERE true GROUP BY 1, 2, 3, 4 \
             ON CONFLICT (tenant_id, meter, {span}, module_code) DO UPDATE SET {}, recorded_at = excluded.recorded_at{also}",
            added.join(", "),
            each(|column| format!("SUM({column})")),
            each(|column| format!("{column} = s.{column} + excluded.{column}")),
        );
        self.dialect().statement(sql, values)
    }
}

/// What the statements of [`Rows::find_on_sqlite`] gave.
pub(super) fn read([counters, limits, keys, run_out]: [&[QueryResult]; 4]) -> Result<Found, DbErr> {
    let limits = limits.iter().map(|row| Ok((rows::meter(row)?, limit(row)?)));
    let limits = limits.collect::<Result<std::collections::BTreeMap<_, _>, DbErr>>()?;
    Ok(Found {
        meters: limits.keys().cloned().collect(),
        counters: counters.iter().map(rows::counter).collect::<Result<_, _>>()?,
        limits,
        keys: keys.iter().chain(run_out).map(rows::key).collect::<Result<_, _>>()?,
    })
}

fn counter_values((meter, period): &CounterId) -> [Value; 3] {
    [tenant(meter.tenant), text(&meter.meter), text(period)]
}

fn key_values((meter, key): &KeyId, row: &KeyRow) -> [Value; 15] {
    [
        tenant(meter.tenant),
        text(&meter.meter),
        text(key.as_str()),
        text(&row.period),
        text(&row.module),
        row.asked.into(),
        row.amount.into(),
        text(row.state.word()),
        until(row.state).into(),
        row.used.into(),
        micros(row.used_at.at).into(),
        text(&row.used_at.day),
        text(&row.corrects),
        text(Lease::word(row.lease.as_ref())),
        text(row.lease.as_ref().map_or("", |lease| &*lease.holder)),
    ]
}

fn limit(row: &QueryResult) -> Result<LimitSaid, DbErr> {
    let number = |column| row.try_get::<Option<i64>>("", column);
    let is = |column| row.try_get::<bool>("", column);
    Ok(at_least_none(LimitSaid {
        own: if is("is_overridden")? { Some((number("own")?, ends_at(row)?)) } else { None },
        kept: if is("is_kept")? { Some(number("kept")?) } else { None },
        planned: number("planned")?,
        has_plan: is("has_plan")?,
    }))
}

/// When an override ends: SQLite stores text. One whose end cannot be read has ended, as in facts.
fn ends_at(row: &QueryResult) -> Result<Option<DateTime<Utc>>, DbErr> {
    let micros = match row.try_get::<Option<i64>>("", "ends_at") {
        Ok(None) => return Ok(None),
        Ok(Some(micros)) => Some(micros),
        Err(_) => own::micros(&row.try_get::<String>("", "ends_at")?.into()),
    };
    let end = micros.and_then(DateTime::from_timestamp_micros);
    Ok(instant::end(Some(end.unwrap_or(DateTime::<Utc>::MIN_UTC))))
}
