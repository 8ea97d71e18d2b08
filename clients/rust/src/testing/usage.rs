//! What the double counts.

mod leases;
mod meter;
mod over_time;

use std::{collections::HashMap, ops::RangeInclusive, time::Duration};

use chrono::{DateTime, Datelike, Months, NaiveTime, Utc};
use prost_types::Timestamp;
use tonic::Status;
use uuid::Uuid;

use self::meter::{Counter, Meter, Taken};
use super::asked::Asked;
use crate::{
    LimitAnswer, LimitDecision, LimitEnforcement, LimitKind, LimitReason, Reason, Reconciled,
    Reservation, Reserve,
    clock::{Micros, date},
    convert,
    limit::Wanted,
    usage::{MOST, Range, UsageState, is_key},
};

/// As the real server's.
const HOLDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// By tenant and meter.
    meters: HashMap<(Uuid, String), Meter>,
    /// The last message of each producer.
    producers: HashMap<Uuid, u64>,
}

/// A year and a month, UTC; `None`: a level.
type Period = Option<(i32, u32)>;

#[cfg(test)]
impl Usage {
    pub(super) fn forget_producers(&mut self) {
        self.producers.clear();
    }
}

impl Asked {
    pub(super) fn reserve_now(
        &self,
        tenant: Uuid,
        wanted: &Reserve,
    ) -> Result<Reservation, Status> {
        let now = self.now()?;
        verify(wanted)?;
        let refused = |state| Reservation {
            granted: false,
            amount: 0,
            repeated: false,
            by_outage_rule: false,
            state,
        };
        let limit = self.limit_at(now, tenant, &wanted.meter)?;
        if matches!(limit.reason, LimitReason::TenantDenied | LimitReason::NotFound) {
            return Ok(refused(state(&wanted.meter, limit, Counter::default(), 0, None)));
        }
        if let Some(denied) = self.module_denial(now, tenant, wanted, limit.enforcement)? {
            return Ok(refused(denied));
        }
        let mut usage = self.known.usage.lock();
        let meter = usage.meters.entry((tenant, wanted.meter.clone())).or_default();
        meter.give_back_until(now);
        let period = period(limit.kind, now);
        let before = meter.counter(period);
        let most = match limit.limit {
            Some(limit_is) if limit.enforcement == LimitEnforcement::On => {
                limit_is.saturating_sub(before.used + before.held)
            }
            _ => i64::MAX,
        };
        let taken = meter.reserve(wanted, most, period, now);
        let repeated = matches!(taken, Taken::Granted { repeated: true, .. });
        let amount = if repeated { 0 } else { wanted.amount };
        let after = meter.counter(period);
        let state = state(&wanted.meter, limit, before, amount, resets_at(period));
        let state = UsageState { used: after.used, held: after.held, ..state };
        let remaining = state.limit.map(|limit| limit.saturating_sub(after.used + after.held));
        let state = UsageState { remaining, ..state };
        match taken {
            Taken::Granted { amount, repeated } => {
                Ok(Reservation { granted: true, amount, repeated, by_outage_rule: false, state })
            }
            Taken::Refused => Ok(refused(state)),
            Taken::Conflict => {
                Err(Status::already_exists("this key was counted with another amount"))
            }
        }
    }

    pub(super) fn release_now(
        &self,
        tenant: Uuid,
        meter: &str,
        key: &str,
        only_held: bool,
    ) -> Result<i64, Status> {
        let now = self.now()?;
        if !is_key(key) {
            return Err(Status::invalid_argument("key is none"));
        }
        let mut usage = self.known.usage.lock();
        let Some(meter) = usage.meters.get_mut(&(tenant, meter.to_owned())) else { return Ok(0) };
        meter.give_back_until(now);
        Ok(meter.release(key, only_held, now))
    }

    pub(super) fn reconcile_now(
        &self,
        tenant: Uuid,
        meter: &str,
        range: &Range,
        as_of: Timestamp,
    ) -> Result<Reconciled, Status> {
        let now = self.now()?;
        let limit = self.limit_at(now, tenant, meter)?;
        if limit.reason == LimitReason::NotFound || limit.tenant_reason == Reason::TenantNotFound {
            return Ok(Reconciled { reason: limit.reason, ..Reconciled::default() });
        }
        if limit.kind == LimitKind::Monthly {
            return Err(Status::failed_precondition("only a level can be reconciled"));
        }
        let mut usage = self.known.usage.lock();
        let rows = usage.meters.entry((tenant, meter.to_owned())).or_default();
        rows.give_back_until(now);
        let as_of = convert::instant(Some(as_of)).unwrap_or(now);
        let (counted, released) = rows.reconcile(range, as_of, now);
        let after = rows.counter(None);
        let UsageState { used, reason, .. } = state(meter, limit, after, 0, None);
        Ok(Reconciled { counted, released, used, reason })
    }

    /// The limit that holds, or why there is none.
    fn limit_at(&self, now: Micros, tenant: Uuid, key: &str) -> Result<LimitAnswer, Status> {
        let limit = self.list_at(now, tenant, 0)?.limit(key, now);
        let limit =
            limit.ok_or_else(|| Status::internal("the double enforces nothing it knows"))?;
        Ok(LimitAnswer { enforcement: *self.known.enforcement.lock(), ..limit })
    }

    /// Why the tenant may not use the module that it is for.
    fn module_denial(
        &self,
        now: Micros,
        tenant: Uuid,
        wanted: &Reserve,
        enforcement: LimitEnforcement,
    ) -> Result<Option<UsageState>, Status> {
        if wanted.module.is_empty() {
            return Ok(None);
        }
        let answer = self.check_at(now, tenant, &wanted.module, 0)?.answer;
        Ok((!answer.allowed).then(|| UsageState {
            reason: LimitReason::ModuleDenied,
            denial_reason: answer.reason,
            message: answer.message().to_owned(),
            enforcement,
            ..UsageState::default()
        }))
    }
}

fn verify(wanted: &Reserve) -> Result<(), Status> {
    let hold_is_good = wanted.hold_for.is_none_or(|hold| HOLDS.contains(&hold));
    if is_key(&wanted.key) && (1..=MOST).contains(&wanted.amount) && hold_is_good {
        return Ok(());
    }
    Err(Status::invalid_argument("key, amount or hold_for cannot be such"))
}

/// A counter, and what `amount` more beside it would come to.
fn state(
    meter: &str,
    limit: LimitAnswer,
    counter: Counter,
    amount: i64,
    resets_at: Option<DateTime<Utc>>,
) -> UsageState {
    let observed = counter.used.saturating_add(counter.held);
    let decision: LimitDecision = limit.decide(meter, Wanted { observed, amount });
    UsageState {
        reason: decision.reason(),
        denial_reason: decision.in_force.tenant_reason,
        limit: decision.limit(),
        used: counter.used,
        held: counter.held,
        remaining: decision.remaining(),
        source: decision.in_force.source,
        kind: decision.in_force.kind,
        enforcement: decision.enforcement(),
        resets_at,
        plan_slugs: Vec::new(),
        message: decision.message,
    }
}

fn period(kind: LimitKind, now: Micros) -> Period {
    match kind {
        LimitKind::Monthly => date(now).map(|date| (date.year(), date.month())),
        LimitKind::Level | LimitKind::Unspecified => None,
    }
}

fn resets_at(period: Period) -> Option<DateTime<Utc>> {
    let (year, month) = period?;
    let first = chrono::NaiveDate::from_ymd_opt(year, month, 1)?;
    Some(first.checked_add_months(Months::new(1))?.and_time(NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests;
