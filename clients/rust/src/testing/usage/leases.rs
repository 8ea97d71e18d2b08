//! Slices that the double leases.

use std::{ops::RangeInclusive, time::Duration};

use tonic::Status;

use super::{
    Meter,
    meter::{LeaseRow, Row, State},
    period, resets_at,
};
use crate::{
    LimitEnforcement, LimitKind, LimitReason, Reserve,
    clock::{Micros, micros},
    limit::Wanted,
    testing::asked::Asked,
    usage::{Acquire, Granted, Lease, MOST, Settle},
};

/// As the real server's.
const TTLS: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(600);
/// Where less is left, nothing is leased.
const LEAST_LEFT: i64 = 32;

impl Asked {
    pub(in crate::testing) fn acquire_now(&self, asked: &Acquire) -> Result<Granted, Status> {
        let now = self.now()?;
        let Acquire { tenant, id, holder, lease } = asked;
        let Lease { meter, size, ttl, unsettled, module } = lease;
        if !TTLS.contains(ttl) || !(1..=MOST).contains(size) {
            return Err(Status::invalid_argument("ttl or wanted cannot be such"));
        }
        let limit = self.limit_at(now, *tenant, meter)?;
        let nothing = |reason| Granted { amount: 0, ttl: 0, reason };
        if matches!(limit.reason, LimitReason::TenantDenied | LimitReason::NotFound) {
            return Ok(nothing(limit.reason));
        }
        let wanted = Reserve::new(meter.as_str(), "").module(module.as_str());
        if let Some(denied) = self.module_denial(now, *tenant, &wanted, limit.enforcement)? {
            return Ok(nothing(denied.reason));
        }
        if limit.kind != LimitKind::Monthly {
            return Err(Status::failed_precondition("only a monthly meter has leases"));
        }
        let period = period(limit.kind, now);
        let mut usage = self.known.usage.lock();
        let rows = usage.meters.entry((*tenant, meter.clone())).or_default();
        rows.give_back_until(now);
        if let Some(row) = rows.taken(&id.to_string()) {
            let is_same = row.lease.as_ref().is_some_and(|lease| lease.holder == *holder);
            return match row.state {
                State::Held(until) if is_same && row.asked == *size => Ok(Granted {
                    amount: row.amount,
                    ttl: until - now,
                    reason: LimitReason::Within,
                }),
                _ => Err(Status::already_exists("this key names something else, or is over")),
            };
        }
        let counter = rows.counter(period);
        let there = counter.used + counter.held;
        let most = match limit.limit.filter(|_| limit.enforcement == LimitEnforcement::On) {
            Some(most) if most - there < LEAST_LEFT => 0,
            Some(most) => (most - there) / (2 * rows.leases() + 2),
            None => i64::MAX,
        };
        let reason = limit.decide(meter, Wanted { observed: there, amount: 1 }).reason();
        let amount = (*size).min(most);
        if amount <= 0 {
            return Ok(nothing(reason));
        }
        let end = resets_at(period).map_or(Micros::MAX, |end| end.timestamp_micros());
        let until = now.saturating_add(micros(*ttl)).min(end);
        let mut row = Row::counted(period, amount, now, now);
        row.end(State::Held(until), 0, now);
        (row.asked, row.module) = (*size, module.clone());
        row.lease = Some(LeaseRow { holder: holder.clone(), unsettled: Some(*unsettled) });
        rows.rows.insert(id.to_string(), row);
        Ok(Granted { amount, ttl: until - now, reason })
    }

    pub(in crate::testing) fn settle_now(&self, settled: &Settle) -> Result<(), Status> {
        let now = self.now()?;
        let Settle { tenant, meter, id, spent, is_final } = settled;
        let kind = self.limit_at(now, *tenant, meter)?.kind;
        let mut usage = self.known.usage.lock();
        let rows = usage.meters.entry((*tenant, meter.clone())).or_default();
        rows.give_back_until(now);
        let row = rows.taken(&id.to_string()).filter(|row| row.lease.is_some());
        let row = row.ok_or_else(|| Status::not_found("there is no such lease"))?;
        if *spent > row.amount {
            return Err(Status::invalid_argument("more was spent than was granted"));
        }
        let Some(LeaseRow { unsettled: Some(rule), .. }) = row.lease.clone() else { return Ok(()) };
        let is_over = row.state == State::Counted;
        let may_fall = is_over && *is_final && row.period == period(kind, now);
        let used = if may_fall { *spent } else { row.used.max(*spent) };
        let state = if *is_final { State::Counted } else { row.state };
        row.end(state, used, now);
        if let Some(lease) = &mut row.lease {
            lease.unsettled = Some(rule).filter(|_| !is_final);
        }
        Ok(())
    }
}

impl Meter {
    /// How many slices are held.
    fn leases(&self) -> i64 {
        let is_held = |row: &&Row| row.lease.is_some() && matches!(row.state, State::Held(_));
        i64::try_from(self.rows.values().filter(is_held).count()).unwrap_or(i64::MAX / 4)
    }
}
