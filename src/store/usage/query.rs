//! What was used over time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{DbErr, QueryResult, Statement};

use super::rows::{Rows, tenant, text};
use crate::{
    domain::{
        MeterId,
        calendar::{Day, Zones},
        limits::MAX_USAGE_SPANS,
    },
    store::{Store, StoreError, ask::Ask},
};

/// How long the spans are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Granularity {
    /// A quarter of an hour, of the last 90 days.
    Quarter,
    /// An hour, of the last 90 days.
    Hour,
    /// A day.
    Day,
    /// A calendar month.
    Month,
}

/// What was used in one span.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UsageSpan {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// When it ends, exclusive.
    pub end: DateTime<Utc>,
    /// For which module; empty: none was named, or all together.
    pub module: String,
    /// How much.
    pub amount: i64,
    /// How many things.
    pub events: i64,
    /// What of it was recorded more than an hour later.
    pub late: i64,
    /// When it last changed.
    pub recorded_at: DateTime<Utc>,
}

/// What is asked about.
#[derive(Clone, Debug)]
pub struct UsageSpans {
    /// Of what.
    pub meter: MeterId,
    /// Only for this module; `None`: for all.
    pub module: Option<String>,
    /// Each module by itself?
    pub by_module: bool,
    /// From the span on that this is in.
    pub start: DateTime<Utc>,
    /// Up to the span that this is in; without it, where it begins there.
    pub end: DateTime<Utc>,
    /// How long the spans are.
    pub granularity: Granularity,
}

/// A row of sums: where it begins, as it is stored.
struct Row<T> {
    span: T,
    module: String,
    numbers: [i64; 4],
}

impl Store {
    /// What was used, in order, without spans in which nothing was. One span more than may be asked
    /// for says that there are more. Days and months are those of the tenant's time zones.
    pub async fn usage_spans(
        &self,
        asked: &UsageSpans,
        zones: &Zones,
    ) -> Result<Vec<UsageSpan>, StoreError> {
        let rows = Rows::new(self.primary.dialect());
        match asked.granularity {
            Granularity::Quarter | Granularity::Hour => {
                let found = self.primary.query(rows.quarters(asked, zones)).await?;
                let found = found.iter().map(row::<i64>).collect::<Result<Vec<_>, DbErr>>()?;
                Ok(by_time(found, asked.granularity, zones))
            }
            Granularity::Day | Granularity::Month => {
                let found = self.primary.query(rows.days(asked, zones)).await?;
                let found = found.iter().map(row::<String>).collect::<Result<Vec<_>, DbErr>>()?;
                Ok(found
                    .into_iter()
                    .filter_map(|row| by_day(row, asked.granularity, zones))
                    .collect())
            }
        }
    }
}

impl Rows {
    fn quarters(self, asked: &UsageSpans, zones: &Zones) -> Statement {
        // Up to four of them are one hour.
        let most = 4 * MAX_USAGE_SPANS + 1;
        let span = self.dialect().micros("s.quarter");
        let last = asked.end - TimeDelta::microseconds(1);
        let [from, _] = span_of(asked.start, asked.granularity, zones);
        let [_, to] = span_of(last, asked.granularity, zones);
        let bounds = [from, to];
        let (from, to) = (self.instant_parameter(3), self.instant_parameter(4));
        let range = format!("s.quarter >= {from} AND s.quarter < {to}");
        let bounds = bounds.map(|at| at.timestamp_micros().into());
        self.sums("quarters", &span, &range, bounds, asked, most)
    }

    fn days(self, asked: &UsageSpans, zones: &Zones) -> Statement {
        let last = asked.end - TimeDelta::microseconds(1);
        let [first, last] = [asked.start, last].map(|at| zones.day_at(at));
        let (span, first, last) = match asked.granularity {
            Granularity::Month => (
                "SUBSTR(s.day, 1, 7)",
                format!("{}-01", first.month()),
                format!("{}-31", last.month()),
            ),
            _ => ("s.day", first.to_string(), last.to_string()),
        };
        let bounds = [first, last].map(|day| text(&day));
        let range = "s.day >= $3 AND s.day <= $4";
        self.sums("days", span, range, bounds, asked, MAX_USAGE_SPANS + 1)
    }

    fn sums(
        self,
        table: &str,
        span: &str,
        range: &str,
        bounds: [sea_orm::Value; 2],
        asked: &UsageSpans,
        most: usize,
    ) -> Statement {
        let of_module = if asked.module.is_some() { " AND s.module_code = $5" } else { "" };
        let module = if asked.by_module { "s.module_code" } else { "''" };
        let sum = |column: &str| format!("CAST(SUM(s.{column}) AS bigint) AS {column}");
        let sql = format!(
            "SELECT {span} AS span, {module} AS module_code, {}, {}, {}, {} AS recorded_at \
             FROM entitlement_usage_{table} s WHERE s.tenant_id = {} AND s.meter = $2 AND {range}{of_module} \
             GROUP BY 1, 2 HAVING SUM(s.amount) <> 0 OR SUM(s.events) <> 0 ORDER BY 1, 2 LIMIT {most}",
            sum("amount"),
            sum("events"),
            sum("late"),
            self.dialect().micros("MAX(s.recorded_at)"),
            self.dialect().parameter(1, "uuid"),
        );
        let [from, to] = bounds;
        let values = [tenant(asked.meter.tenant), text(&asked.meter.meter), from, to];
        self.dialect().statement(sql, values.into_iter().chain(asked.module.as_deref().map(text)))
    }
}

fn row<T: sea_orm::TryGetable>(row: &QueryResult) -> Result<Row<T>, DbErr> {
    let number = |column| row.try_get::<i64>("", column);
    Ok(Row {
        span: row.try_get("", "span")?,
        module: row.try_get("", "module_code")?,
        numbers: [number("amount")?, number("events")?, number("late")?, number("recorded_at")?],
    })
}

/// The span of a day, or of a month, whose first day it is; `None` where somebody has stored no day.
fn by_day(row: Row<String>, granularity: Granularity, zones: &Zones) -> Option<UsageSpan> {
    let (start, end) = match granularity {
        Granularity::Month => {
            let month = Day::parse(&format!("{}-01", row.span))?.month();
            (zones.month_start(month), zones.month_end(month))
        }
        _ => {
            let day = Day::parse(&row.span)?;
            (zones.day_start(day), zones.day_start(day.next()))
        }
    };
    Some(span(start, end, row.module, row.numbers))
}

/// Quarters of an hour, as they are or joined to hours of the zone.
fn by_time(rows: Vec<Row<i64>>, granularity: Granularity, zones: &Zones) -> Vec<UsageSpan> {
    let mut spans: BTreeMap<([DateTime<Utc>; 2], String), [i64; 4]> = BTreeMap::new();
    for Row { span, module, numbers } in rows {
        let quarter = DateTime::from_timestamp_micros(span).unwrap_or_default();
        let bounds = span_of(quarter, granularity, zones);
        let [amount, events, late, recorded_at] = spans.entry((bounds, module)).or_default();
        *amount += numbers[0];
        *events += numbers[1];
        *late += numbers[2];
        *recorded_at = numbers[3].max(*recorded_at);
    }
    spans
        .into_iter()
        .map(|(([start, end], module), numbers)| span(start, end, module, numbers))
        .collect()
}

/// When the quarter of an hour begins and ends, or the hour that a clock of the zone shows.
fn span_of(instant: DateTime<Utc>, granularity: Granularity, zones: &Zones) -> [DateTime<Utc>; 2] {
    if granularity == Granularity::Hour {
        return zones.hour_at(instant);
    }
    let quarter = TimeDelta::minutes(15);
    let start = instant.timestamp() - instant.timestamp().rem_euclid(quarter.num_seconds());
    let start = DateTime::from_timestamp(start, 0).unwrap_or(instant);
    [start, start + quarter]
}

fn span(
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    module: String,
    [amount, events, late, recorded_at]: [i64; 4],
) -> UsageSpan {
    let recorded_at = DateTime::from_timestamp_micros(recorded_at).unwrap_or_default();
    UsageSpan { start, end, module, amount, events, late, recorded_at }
}
