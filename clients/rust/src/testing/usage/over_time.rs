//! What the double records, and what it tells of it over time.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use super::{
    Meter,
    meter::{Row, State},
    period,
};
use crate::{
    LimitKind, UsageEvent, UsageGranularity, UsageHistory, UsageOutcome, UsageQuery, UsageSpan,
    clock::{Micros, date},
    testing::asked::Asked,
    usage::{MOST, Message, is_key},
};

/// As the real server's.
const MINUTE: Micros = 60_000_000;
const DAY: Micros = 24 * 60 * MINUTE;
const AHEAD: Micros = 5 * MINUTE;
const ACCEPT_LATE: Micros = 35 * DAY;
const MOST_EVENTS: usize = 1000;
const MOST_SPANS: i64 = 10_000;

impl Asked {
    pub(in crate::testing) fn record_now(
        &self,
        message: &Message,
    ) -> Result<Vec<UsageOutcome>, Status> {
        let now = self.now()?;
        let Message { events, producer } = message;
        if events.len() > MOST_EVENTS {
            return Err(Status::invalid_argument("there are too many events"));
        }
        if let Some((producer, sequence)) = producer {
            let mut usage = self.known.usage.lock();
            let last = usage.producers.entry(*producer).or_default();
            if *sequence <= *last {
                return Ok(vec![UsageOutcome::Repeated; events.len()]);
            } else if *sequence != *last + 1 {
                return Err(gap(*last));
            }
            *last = *sequence;
        }
        let has_key = producer.is_none();
        events.iter().map(|event| self.record_event(event, has_key, now)).collect()
    }

    fn record_event(
        &self,
        event: &UsageEvent,
        has_key: bool,
        now: Micros,
    ) -> Result<UsageOutcome, Status> {
        let UsageEvent { tenant, meter, key, amount, corrects, at, .. } = event;
        let is_named = if has_key { is_key(key) } else { key.is_empty() && corrects.is_empty() };
        let at = at.map_or(now, |at| at.timestamp_micros());
        if !is_named || !(1..=MOST).contains(amount) {
            return Ok(UsageOutcome::Invalid);
        } else if self.facts(*tenant, 0)?.is_none() {
            return Ok(UsageOutcome::UnknownTenant);
        } else if self.kind_of(*tenant, meter) != Some(LimitKind::Monthly) {
            return Ok(UsageOutcome::UnknownMeter);
        } else if at > now + AHEAD {
            return Ok(UsageOutcome::TooEarly);
        } else if at < now - ACCEPT_LATE {
            return Ok(UsageOutcome::TooLate);
        }
        let mut usage = self.known.usage.lock();
        let rows = usage.meters.entry((*tenant, meter.clone())).or_default();
        rows.give_back_until(now);
        let period = period(LimitKind::Monthly, at);
        Ok(rows.record(event, Row::counted(period, *amount, at, now), now))
    }

    fn kind_of(&self, tenant: Uuid, meter: &str) -> Option<LimitKind> {
        self.known.tenants.lock().get(&tenant)?.kind_of(meter)
    }

    pub(in crate::testing) fn query_now(
        &self,
        tenant: Uuid,
        query: &UsageQuery,
    ) -> Result<UsageHistory, Status> {
        let now = self.now()?;
        let UsageQuery { meter, granularity, within, module, by_module } = query;
        if within.start >= within.end {
            return Err(Status::invalid_argument("it ends before it begins"));
        }
        if self.kind_of(tenant, meter) == Some(LimitKind::Level) {
            return Err(Status::failed_precondition("a level has no history"));
        }
        let start = span_of(*granularity, within.start).0;
        let last = span_of(*granularity, within.end);
        let end = if last.0 == within.end { last.0 } else { last.1 };
        let length = span_of(*granularity, start).1 - start;
        if (end - start).num_seconds() / length.num_seconds().max(1) > MOST_SPANS {
            return Err(Status::invalid_argument("there are too many spans"));
        }
        let mut usage = self.known.usage.lock();
        let Some(rows) = usage.meters.get_mut(&(tenant, meter.clone())) else {
            return Ok(UsageHistory::default());
        };
        rows.give_back_until(now);
        let mut spans = BTreeMap::new();
        for row in rows.rows.values().chain(&rows.sums) {
            let Some(used_at) = date(row.used_at) else { continue };
            let is_meant = module.is_empty() || *module == row.module;
            if !is_meant || !(start..end).contains(&used_at) || (row.used, row.late) == (0, 0) {
                continue;
            }
            let of = if *by_module { row.module.clone() } else { String::new() };
            let (start, end) = span_of(*granularity, used_at);
            let span = spans.entry((start, of.clone()));
            let empty = || UsageSpan { start, end, module: of, ..UsageSpan::default() };
            let span: &mut UsageSpan = span.or_insert_with(empty);
            span.amount += row.used;
            span.events += i64::from(row.used > 0);
            span.late += row.late;
            span.recorded_at = span.recorded_at.max(date(row.changed_at));
        }
        let spans: Vec<_> = spans.into_values().collect();
        let sum = |of: fn(&UsageSpan) -> i64| spans.iter().map(of).sum();
        let (total, late) = (sum(|span| span.amount), sum(|span| span.late));
        Ok(UsageHistory { spans, total, late })
    }
}

impl Meter {
    fn record(&mut self, event: &UsageEvent, mut row: Row, now: Micros) -> UsageOutcome {
        let UsageEvent { key, module, corrects, .. } = event;
        row.module.clone_from(module);
        if key.is_empty() {
            self.sums.push(row);
            return UsageOutcome::Counted;
        }
        if let Some(there) = self.taken(key) {
            return there.record_again(&row, corrects, now);
        }
        if !corrects.is_empty() {
            let target = self.taken(corrects).filter(|target| {
                let is_good = target.state == State::Counted && target.lease.is_none();
                is_good && target.used >= row.amount && target.module == row.module
            });
            let Some(target) = target else { return UsageOutcome::NothingToCorrect };
            target.use_up(target.used - row.amount, now);
            row = Row { used: 0, late: 0, state: State::Released, ..row };
            row.corrects.clone_from(corrects);
        }
        self.rows.insert(key.clone(), row);
        UsageOutcome::Counted
    }
}

impl Row {
    /// What was used of a thing that there is. Of what is held another part may have been used than was
    /// granted.
    fn record_again(&mut self, said: &Self, corrects: &str, now: Micros) -> UsageOutcome {
        let is_same = self.asked == said.asked || self.amount == said.amount;
        if self.lease.is_some() || self.corrects != corrects {
            return UsageOutcome::Conflict;
        } else if !matches!(self.state, State::Held(_)) {
            return if is_same { UsageOutcome::Repeated } else { UsageOutcome::Conflict };
        }
        let was_granted = self.amount == said.amount;
        (self.asked, self.amount) = (said.asked, said.amount);
        self.end(State::Counted, said.amount, now);
        if was_granted { UsageOutcome::Repeated } else { UsageOutcome::Counted }
    }
}

fn gap(last: u64) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("USAGE_SEQUENCE_GAP", "entitlementd", HashMap::new());
    let message = format!("a message before this one is missing: the last is {last}");
    Status::with_error_details(tonic::Code::FailedPrecondition, message, details)
}

/// The span that an instant is in, in UTC.
fn span_of(granularity: UsageGranularity, at: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let minutes = match granularity {
        UsageGranularity::QuarterHour => 15,
        UsageGranularity::Hour => 60,
        UsageGranularity::Day => 24 * 60,
        UsageGranularity::Month => {
            let first = NaiveDate::from_ymd_opt(at.year(), at.month(), 1).unwrap_or_default();
            let next = first.checked_add_months(Months::new(1)).unwrap_or(first);
            return (
                first.and_time(NaiveTime::MIN).and_utc(),
                next.and_time(NaiveTime::MIN).and_utc(),
            );
        }
    };
    let into = at.timestamp_micros().rem_euclid(minutes * MINUTE);
    let start = at - TimeDelta::microseconds(into);
    (start, start + TimeDelta::minutes(minutes))
}

#[cfg(test)]
mod tests;
