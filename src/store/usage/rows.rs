//! The statements, and their rows.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult, Statement, Value, prelude::Uuid};
use serde::Deserialize;

use super::postgres;
use crate::{
    domain::{
        Counter, CounterId, KeyId, KeyRow, KeyState, Ledger, LimitSaid, MeterId, TenantId,
        UsageKey,
        usage_limit::{TRANSACTIONS_MONTHLY, USERS},
    },
    store::{dialect::Dialect, instant, tenant::own},
};

/// The columns of a key that the statements give.
const KEY: [&str; 8] =
    ["tenant_id", "meter", "key", "period", "module_code", "asked", "amount", "state"];

/// Writes the statements.
#[derive(Clone, Copy)]
pub(super) struct Rows(Dialect);

/// What a transaction has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The counters that it has locked.
    pub(super) counters: Vec<(CounterId, Counter)>,
    /// What is said about limits, of tenants that exist.
    pub(super) limits: BTreeMap<MeterId, LimitSaid>,
    /// The keys that were named, and holds that have run out.
    pub(super) keys: Vec<(KeyId, KeyRow)>,
}

/// A table within a statement, and the values of its rows.
pub(super) struct Table {
    sql: String,
    values: Vec<Value>,
}

impl Rows {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self(dialect)
    }

    pub(super) fn dialect(self) -> Dialect {
        self.0
    }

    /// What locks and finds everything that these requests need. Where `skip_locked`, what somebody
    /// else has locked is left out.
    pub(super) fn find(
        self,
        counters: &BTreeSet<CounterId>,
        keys: &BTreeSet<KeyId>,
        skip_locked: bool,
        now: DateTime<Utc>,
    ) -> Vec<Statement> {
        match self.0 {
            Dialect::Postgres => vec![postgres::find(counters, keys, skip_locked, now)],
            Dialect::Sqlite => {
                let meters = counters.iter().map(|(meter, _)| meter.clone()).collect();
                vec![
                    self.make_counters(counters),
                    self.lock_counters(counters, keys),
                    self.limits(&meters),
                    self.keys(keys),
                    self.run_out(counters, now),
                ]
            }
        }
    }

    /// What the statements of [`find`](Self::find) gave.
    pub(super) fn read(found: &[Vec<QueryResult>]) -> Result<Found, DbErr> {
        match found {
            [found] => postgres::read(found),
            [_, locked, limits, keys, run_out] => {
                let limits = limits.iter().map(|row| Ok((meter(row)?, limit(row)?)));
                Ok(Found {
                    counters: locked.iter().map(counter).collect::<Result<_, _>>()?,
                    limits: limits.collect::<Result<_, DbErr>>()?,
                    keys: keys.iter().chain(run_out).map(key).collect::<Result<_, _>>()?,
                })
            }
            _ => Err(DbErr::Custom("a statement gave no answer".to_owned())),
        }
    }

    fn make_counters(self, counters: &BTreeSet<CounterId>) -> Statement {
        let Table { sql, values } = self.counters_asked(counters, 0);
        let sql = format!(
            "WITH {sql} INSERT INTO entitlement_usage_counters (tenant_id, meter, period, used, held) \
             SELECT tenant_id, meter, period, 0, 0 FROM asked WHERE tenant_id IN (SELECT id FROM tenants) ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING"
        );
        self.0.statement(sql, values)
    }

    /// The counters of these requests, and of the periods that their keys were taken from.
    /// SQLite has one writer at a time, so that nothing needs a lock.
    fn lock_counters(self, counters: &BTreeSet<CounterId>, keys: &BTreeSet<KeyId>) -> Statement {
        let asked = self.counters_asked(counters, 0);
        let named = self.keys_named(keys, asked.values.len());
        let sql = format!(
            "WITH {}, {}, wanted AS (SELECT tenant_id, meter, period FROM asked UNION \
                SELECT k.tenant_id, k.meter, k.period FROM named n JOIN entitlement_usage_keys k \
                ON k.tenant_id = n.tenant_id AND k.meter = n.meter AND k.key = n.key WHERE k.state <> 'released') \
             SELECT c.tenant_id, c.meter, c.period, c.used, c.held FROM wanted w JOIN entitlement_usage_counters c \
                ON c.tenant_id = w.tenant_id AND c.meter = w.meter AND c.period = w.period \
             ORDER BY 1, 2, 3",
            asked.sql, named.sql
        );
        self.0.statement(sql, asked.values.into_iter().chain(named.values))
    }

    /// What those say who have a say about the limits of these meters, for the tenants that exist.
    fn limits(self, meters: &BTreeSet<MeterId>) -> Statement {
        let rows = meters.iter().map(|id| [tenant(id.tenant), text(&id.meter)]);
        let Table { sql, values } =
            self.table("asked (tenant_id, meter)", rows, ["uuid", "text"], 0);
        let sql = format!(
            "WITH {sql} SELECT a.tenant_id, a.meter, p.id IS NOT NULL AS has_plan, \
                o.key IS NOT NULL AS is_overridden, o.value AS own, {} AS ends_at, \
                k.key IS NOT NULL AS is_kept, k.value AS kept, \
                CASE a.meter WHEN '{USERS}' THEN CAST(p.max_users AS bigint) \
                             WHEN '{TRANSACTIONS_MONTHLY}' THEN CAST(p.max_transactions_monthly AS bigint) \
                             ELSE l.value END AS planned \
             FROM asked a JOIN tenants t ON t.id = a.tenant_id LEFT JOIN plans p ON p.id = t.plan_id AND p.slug IS NOT NULL \
             LEFT JOIN entitlement_limit_overrides o ON o.tenant_id = t.id AND o.key = a.meter \
             LEFT JOIN entitlement_kept_limits k ON k.tenant_id = t.id AND k.plan_id = p.id AND k.key = a.meter \
             LEFT JOIN entitlement_plan_limits l ON l.plan_id = p.id AND l.key = a.meter",
            self.0.micros("o.ends_at")
        );
        self.0.statement(sql, values)
    }

    fn keys(self, keys: &BTreeSet<KeyId>) -> Statement {
        let Table { sql, values } = self.keys_named(keys, 0);
        let sql = format!(
            "WITH {sql} SELECT {} FROM named n JOIN entitlement_usage_keys k \
             ON k.tenant_id = n.tenant_id AND k.meter = n.meter AND k.key = n.key",
            self.key_columns()
        );
        self.0.statement(sql, values)
    }

    /// Holds of these counters that have run out, some thousand at most: the next transaction finds
    /// the others.
    fn run_out(self, counters: &BTreeSet<CounterId>, now: DateTime<Utc>) -> Statement {
        let Table { sql, mut values } = self.counters_asked(counters, 0);
        values.push(now.timestamp_micros().into());
        let now = self.instant_parameter(values.len());
        let sql = format!(
            "WITH {sql} SELECT {} FROM asked a JOIN entitlement_usage_keys k \
             ON k.tenant_id = a.tenant_id AND k.meter = a.meter AND k.period = a.period \
             WHERE k.state = 'held' AND k.expires_at <= {now} LIMIT 2000",
            self.key_columns()
        );
        self.0.statement(sql, values)
    }

    /// Holds that have run out are no part of it.
    pub(super) fn read_counter(self, (meter, period): &CounterId, now: DateTime<Utc>) -> Statement {
        let sql = format!(
            "SELECT c.tenant_id, c.meter, c.period, c.used, c.held - CAST(COALESCE( \
                (SELECT SUM(k.amount) FROM entitlement_usage_keys k \
                 WHERE k.tenant_id = c.tenant_id AND k.meter = c.meter AND k.period = c.period \
                   AND k.state = 'held' AND k.expires_at <= {}), 0) AS bigint) AS held \
             FROM entitlement_usage_counters c WHERE c.tenant_id = {} AND c.meter = {} AND c.period = {}",
            self.instant_parameter(4),
            self.0.parameter(1, "uuid"),
            self.0.parameter(2, "text"),
            self.0.parameter(3, "text"),
        );
        let now = now.timestamp_micros().into();
        self.0.statement(sql, [tenant(meter.tenant), text(&meter.meter), text(period), now])
    }

    /// All counters of a tenant, or those of a meter.
    pub(super) fn counters_of(self, id: TenantId, meter: Option<&str>) -> Statement {
        let of_meter = if meter.is_some() { " AND meter = $2" } else { "" };
        let sql = format!(
            "SELECT tenant_id, meter, period, used, held FROM entitlement_usage_counters \
             WHERE tenant_id = {}{of_meter} ORDER BY meter, period DESC",
            self.0.parameter(1, "uuid")
        );
        self.0.statement(sql, [tenant(id)].into_iter().chain(meter.map(text)))
    }

    /// The keys of a meter that changed last.
    pub(super) fn last_keys(self, id: TenantId, meter: &str, most: u32) -> Statement {
        let sql = format!(
            "SELECT {}, {} AS changed_at FROM entitlement_usage_keys k \
             WHERE k.tenant_id = {} AND k.meter = $2 ORDER BY k.changed_at DESC, k.key LIMIT {most}",
            self.key_columns(),
            self.0.micros("k.changed_at"),
            self.0.parameter(1, "uuid")
        );
        self.0.statement(sql, [tenant(id), text(meter)])
    }

    /// What the ledger has changed.
    pub(super) fn writes(self, ledger: &Ledger, now: DateTime<Utc>) -> Vec<Statement> {
        if self.0 == Dialect::Postgres {
            let is_changed = ledger.changed_keys().next().is_some()
                || ledger.changed_counters().next().is_some();
            return if is_changed { vec![postgres::write(ledger, now)] } else { Vec::new() };
        }
        let keys: Vec<_> = ledger.changed_keys().map(|(id, row)| key_values(id, row)).collect();
        let counters: Vec<_> = ledger
            .changed_counters()
            .map(|(id, counter)| {
                let [tenant, meter, period] = counter_values(id);
                [tenant, meter, period, counter.used.into(), counter.held.into()]
            })
            .collect();
        let mut statements = Vec::new();
        if !keys.is_empty() {
            statements.push(self.write_keys(keys, now));
        }
        if !counters.is_empty() {
            statements.push(self.write_counters(counters));
        }
        statements
    }

    fn write_keys(self, keys: Vec<[Value; 9]>, now: DateTime<Utc>) -> Statement {
        let types = ["uuid", "text", "text", "text", "text", "bigint", "bigint", "text", "bigint"];
        let columns = format!("new ({}, until)", KEY.join(", "));
        let Table { sql, mut values } = self.table(&columns, keys, types, 0);
        values.push(now.timestamp_micros().into());
        let now = self.instant_parameter(values.len());
        let until = self.0.instant_of_micros("until");
        let columns = KEY.join(", ");
        let updates = KEY[3..].iter().chain(&["changed_at", "expires_at"]);
        let updates: Vec<_> =
            updates.map(|column| format!("{column} = excluded.{column}")).collect();
        let sql = format!(
            "WITH {sql} INSERT INTO entitlement_usage_keys ({columns}, changed_at, expires_at) \
             SELECT {columns}, {now}, {until} FROM new WHERE true \
             ON CONFLICT (tenant_id, meter, key) DO UPDATE SET {}",
            updates.join(", ")
        );
        self.0.statement(sql, values)
    }

    fn write_counters(self, counters: Vec<[Value; 5]>) -> Statement {
        let columns = "new (tenant_id, meter, period, used, held)";
        let types = ["uuid", "text", "text", "bigint", "bigint"];
        let Table { sql, values } = self.table(columns, counters, types, 0);
        let sql = format!(
            "WITH {sql} UPDATE entitlement_usage_counters AS c SET used = new.used, held = new.held FROM new \
             WHERE c.tenant_id = new.tenant_id AND c.meter = new.meter AND c.period = new.period"
        );
        self.0.statement(sql, values)
    }

    fn counters_asked(self, counters: &BTreeSet<CounterId>, before: usize) -> Table {
        let rows = counters.iter().map(counter_values);
        self.table("asked (tenant_id, meter, period)", rows, ["uuid", "text", "text"], before)
    }

    fn keys_named(self, keys: &BTreeSet<KeyId>, before: usize) -> Table {
        let rows = keys
            .iter()
            .map(|(meter, key)| [tenant(meter.tenant), text(&meter.meter), text(key.as_str())]);
        self.table("named (tenant_id, meter, key)", rows, ["uuid", "text", "text"], before)
    }

    /// The last is when a hold ends, in microseconds since 1970, which tables of ours have on SQLite.
    fn key_columns(self) -> String {
        format!("k.{}, {} AS until", KEY.join(", k."), self.0.micros("k.expires_at"))
    }

    /// A parameter that is an instant, in microseconds since 1970.
    pub(super) fn instant_parameter(self, number: usize) -> String {
        self.0.instant_of_micros(&self.0.parameter(number, "bigint"))
    }

    /// A table of these rows, within a statement that has so many values before.
    pub(super) fn table<const N: usize>(
        self,
        name: &str,
        rows: impl IntoIterator<Item = [Value; N]>,
        types: [&str; N],
        before: usize,
    ) -> Table {
        let (mut values, mut texts) = (Vec::new(), Vec::new());
        for row in rows {
            let first = before + values.len() + 1;
            let cells = types.iter().zip(first..);
            let cells: Vec<_> =
                cells.map(|(sql_type, number)| self.0.parameter(number, sql_type)).collect();
            texts.push(format!("({})", cells.join(", ")));
            values.extend(row);
        }
        let rows = if texts.is_empty() {
            let cells = types.map(|sql_type| format!("CAST(NULL AS {sql_type})"));
            format!("SELECT {} WHERE false", cells.join(", "))
        } else {
            format!("VALUES {}", texts.join(", "))
        };
        Table { sql: format!("{name} AS ({rows})"), values }
    }
}

impl Table {
    pub(super) fn into_parts(self) -> (String, Vec<Value>) {
        (self.sql, self.values)
    }
}

pub(super) fn tenant(id: TenantId) -> Value {
    id.uuid().into()
}

pub(super) fn text(text: &str) -> Value {
    text.into()
}

fn counter_values((meter, period): &CounterId) -> [Value; 3] {
    [tenant(meter.tenant), text(&meter.meter), text(period)]
}

fn key_values((meter, key): &KeyId, row: &KeyRow) -> [Value; 9] {
    let (state, until) = key_state(row.state);
    [
        tenant(meter.tenant),
        text(&meter.meter),
        text(key.as_str()),
        text(&row.period),
        text(&row.module),
        row.asked.into(),
        row.amount.into(),
        text(state),
        until.into(),
    ]
}

/// The stored form of a state, and when a hold ends, in microseconds since 1970.
pub(super) fn key_state(state: KeyState) -> (&'static str, Option<i64>) {
    let until = match state {
        KeyState::Held(until) => Some(until.timestamp_micros()),
        KeyState::Counted | KeyState::Released => None,
    };
    (state.word(), until)
}

fn meter(row: &QueryResult) -> Result<MeterId, DbErr> {
    let tenant = row.try_get::<Uuid>("", "tenant_id")?.into();
    Ok(MeterId { tenant, meter: row.try_get::<String>("", "meter")?.into() })
}

pub(super) fn counter(row: &QueryResult) -> Result<(CounterId, Counter), DbErr> {
    let period: String = row.try_get("", "period")?;
    let counter = Counter { used: row.try_get("", "used")?, held: row.try_get("", "held")? };
    Ok(((meter(row)?, period.into()), counter))
}

/// A key as it is stored: its tenant, meter, key, period, module, what was asked and taken, its state,
/// and when a hold ends, in microseconds since 1970.
#[derive(Deserialize)]
pub(super) struct StoredKey(Uuid, String, String, String, String, i64, i64, String, Option<i64>);

impl StoredKey {
    pub(super) fn read(self) -> Result<(KeyId, KeyRow), DbErr> {
        let Self(tenant, meter, key, period, module, asked, amount, state, until) = self;
        let key = UsageKey::parse(&key).map_err(|error| unreadable("key", &error.to_string()))?;
        let until = until.and_then(DateTime::from_timestamp_micros);
        let state = match state.as_str() {
            "counted" => KeyState::Counted,
            "held" => {
                KeyState::Held(until.ok_or_else(|| unreadable("expires_at", "it is missing"))?)
            }
            _ => KeyState::Released,
        };
        let meter = MeterId { tenant: tenant.into(), meter: meter.into() };
        let row = KeyRow { period: period.into(), asked, amount, state, module: module.into() };
        Ok(((meter, key), row))
    }
}

pub(super) fn key(row: &QueryResult) -> Result<(KeyId, KeyRow), DbErr> {
    let [tenant, meter, key, period, module, asked, amount, state] = KEY;
    let stored = StoredKey(
        row.try_get("", tenant)?,
        row.try_get("", meter)?,
        row.try_get("", key)?,
        row.try_get("", period)?,
        row.try_get("", module)?,
        row.try_get("", asked)?,
        row.try_get("", amount)?,
        row.try_get("", state)?,
        row.try_get("", "until")?,
    );
    stored.read()
}

fn unreadable(column: &str, cause: &str) -> DbErr {
    DbErr::Custom(format!("entitlement_usage_keys.{column} cannot be read: {cause}"))
}

/// Nobody can have fewer than none, as in the catalogue.
pub(super) fn at_least_none(said: LimitSaid) -> LimitSaid {
    let least = |limit: Option<i64>| limit.map(|limit| limit.max(0));
    LimitSaid {
        own: said.own.map(|(limit, end)| (least(limit), end)),
        kept: said.kept.map(least),
        planned: least(said.planned),
        ..said
    }
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
