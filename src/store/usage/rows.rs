//! The statements that both databases have, and their rows.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult, Statement, Value, prelude::Uuid};

use super::{
    Asked,
    found::{Found, KEY, StoredKey, micros},
    postgres,
    show::ShownMeter,
    sqlite,
};
use crate::{
    domain::{Counter, CounterId, KeyId, KeyRow, Ledger, MeterId, TenantId},
    store::dialect::Dialect,
};

/// Writes the statements.
#[derive(Clone, Copy)]
pub(super) struct Rows(Dialect);

/// A table within a statement, and the values of its rows.
pub(super) struct Table {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
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
        asked: &[Asked<'_>],
        skip_locked: bool,
        now: DateTime<Utc>,
    ) -> Vec<Statement> {
        match self.0 {
            Dialect::Postgres => vec![postgres::find(asked, skip_locked, now)],
            Dialect::Sqlite => self.find_on_sqlite(asked, now),
        }
    }

    /// What the statements of [`find`](Self::find) gave.
    pub(super) fn read(found: &[Vec<QueryResult>]) -> Result<Found, DbErr> {
        match found {
            [found] => postgres::read(found),
            [counters, limits, keys, run_out] => sqlite::read([counters, limits, keys, run_out]),
            _ => Err(DbErr::Custom("a statement gave no answer".to_owned())),
        }
    }

    /// What the ledger has changed.
    pub(super) fn writes(self, ledger: &Ledger, now: DateTime<Utc>) -> Vec<Statement> {
        match self.0 {
            _ if !ledger.is_changed() => Vec::new(),
            Dialect::Postgres => vec![postgres::write(ledger, now)],
            Dialect::Sqlite => self.write_on_sqlite(ledger, now),
        }
    }

    /// What the ledger has counted, of which nothing was read, if it can be written so.
    pub(super) fn record(self, ledger: &Ledger, now: DateTime<Utc>) -> Option<Statement> {
        (self.0 == Dialect::Postgres).then(|| postgres::record(ledger, now))
    }

    /// How many leases of these meters are held.
    pub(super) fn holders(self, asked: &[Asked<'_>], now: DateTime<Utc>) -> Statement {
        let meters: BTreeSet<_> = asked.iter().map(|asked| &asked.counter.0).collect();
        let meters = meters.into_iter().map(|id| [tenant(id.tenant), text(&id.meter)]);
        let Table { sql, mut values } =
            self.table("meters (tenant_id, meter)", meters, ["uuid", "text"], 0);
        values.push(micros(now).into());
        let sql = format!(
            "WITH {sql} SELECT k.tenant_id, k.meter, COUNT(*) AS number FROM meters m JOIN entitlement_usage_keys k \
             ON k.tenant_id = m.tenant_id AND k.meter = m.meter \
             WHERE k.state = 'held' AND k.lease <> '' AND k.expires_at > {} GROUP BY k.tenant_id, k.meter",
            self.instant_parameter(values.len())
        );
        self.0.statement(sql, values)
    }

    /// As if what has run out had been given back, or counted.
    pub(super) fn read_counter(self, (meter, period): &CounterId, now: DateTime<Utc>) -> Statement {
        let run_out = |condition: &str| {
            format!(
                "CAST(COALESCE((SELECT SUM(k.amount - k.used) FROM entitlement_usage_keys k \
                 WHERE k.tenant_id = c.tenant_id AND k.meter = c.meter AND k.period = c.period \
                   AND k.state = 'held' AND k.expires_at <= {}{condition}), 0) AS bigint)",
                self.instant_parameter(4)
            )
        };
        let sql = format!(
            "SELECT c.tenant_id, c.meter, c.period, c.used + {} AS used, c.held - {} AS held \
             FROM entitlement_usage_counters c WHERE c.tenant_id = {} AND c.meter = {} AND c.period = {}",
            run_out(" AND k.lease = 'spent'"),
            run_out(""),
            self.0.parameter(1, "uuid"),
            self.0.parameter(2, "text"),
            self.0.parameter(3, "text"),
        );
        self.0.statement(
            sql,
            [tenant(meter.tenant), text(&meter.meter), text(period), micros(now).into()],
        )
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
    pub(super) fn last_keys(self, id: TenantId, shown: ShownMeter<'_>, most: u32) -> Statement {
        let mut values = vec![tenant(id), text(shown.meter)];
        let of_modules = shown.modules.map_or_else(String::new, |modules| {
            let codes = modules.codes();
            let places: Vec<_> =
                (1..=codes.len()).map(|place| format!("${}", values.len() + place)).collect();
            values.extend(codes.map(text));
            format!("AND k.module_code IN ({})", places.join(", "))
        });
        let sql = format!(
            "SELECT {}, {} AS changed_at FROM entitlement_usage_keys k \
             WHERE k.tenant_id = {} AND k.meter = $2 {of_modules} \
             ORDER BY k.changed_at DESC, k.key LIMIT {most}",
            self.key_columns(),
            self.0.micros("k.changed_at"),
            self.0.parameter(1, "uuid")
        );
        self.0.statement(sql, values)
    }

    /// The columns of a key, as [`key`] reads them.
    pub(super) fn key_columns(self) -> String {
        let column = |name: &&str| match *name {
            "expires_at" | "used_at" => {
                format!("{} AS {name}", self.0.micros(&format!("k.{name}")))
            }
            name => format!("k.{name}"),
        };
        KEY.iter().map(column).collect::<Vec<_>>().join(", ")
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

pub(super) fn tenant(id: TenantId) -> Value {
    id.uuid().into()
}

pub(super) fn text(text: &str) -> Value {
    text.into()
}

pub(super) fn meter(row: &QueryResult) -> Result<MeterId, DbErr> {
    let tenant = row.try_get::<Uuid>("", "tenant_id")?.into();
    Ok(MeterId { tenant, meter: row.try_get::<String>("", "meter")?.into() })
}

/// A number of each meter.
pub(super) fn counts(rows: &[QueryResult]) -> Result<BTreeMap<MeterId, i64>, DbErr> {
    rows.iter().map(|row| Ok((meter(row)?, row.try_get("", "number")?))).collect()
}

pub(super) fn counter(row: &QueryResult) -> Result<(CounterId, Counter), DbErr> {
    let period: String = row.try_get("", "period")?;
    let counter = Counter { used: row.try_get("", "used")?, held: row.try_get("", "held")? };
    Ok(((meter(row)?, period.into()), counter))
}

pub(super) fn key(row: &QueryResult) -> Result<(KeyId, KeyRow), DbErr> {
    #[rustfmt::skip]
    let [tenant, meter, key, period, module, asked, amount, state, until, used, used_at, day, corrects,
         lease, holder] = KEY;
    let text = |column| row.try_get::<String>("", column);
    let number = |column| row.try_get::<i64>("", column);
    let stored = StoredKey(
        row.try_get("", tenant)?,
        text(meter)?,
        text(key)?,
        text(period)?,
        text(module)?,
        number(asked)?,
        number(amount)?,
        text(state)?,
        row.try_get("", until)?,
        number(used)?,
        number(used_at)?,
        text(day)?,
        text(corrects)?,
        text(lease)?,
        text(holder)?,
    );
    stored.read()
}
