//! AcquireUsageLease and SettleUsageLease.

use std::time::Duration;

use chrono::TimeDelta;

use super::{TenantQuery, UsageState, standing};
use crate::{
    domain::{
        LeaseRequest, Leased, LimitEnforcement, LimitKind, LimitReason, Settled, Unsettled,
        UsageKey, UsedAt,
    },
    service::{Api, error::RequestError},
    store::{UsageOp, UsageOutcome},
};

/// A request for a slice.
#[derive(Debug)]
pub(in crate::service) struct LeaseQuery<'a> {
    pub(in crate::service) tenant: TenantQuery<'a>,
    pub(in crate::service) meter: &'a str,
    pub(in crate::service) key: UsageKey,
    pub(in crate::service) wanted: i64,
    pub(in crate::service) ttl: Duration,
    pub(in crate::service) holder: UsageKey,
    pub(in crate::service) unsettled: Unsettled,
    /// `None`: the tenant's own.
    pub(in crate::service) module: Option<&'a str>,
}

/// What was spent of one.
#[derive(Debug)]
pub(in crate::service) struct SettleQuery<'a> {
    pub(in crate::service) tenant: TenantQuery<'a>,
    pub(in crate::service) meter: &'a str,
    pub(in crate::service) key: UsageKey,
    pub(in crate::service) spent: i64,
    pub(in crate::service) is_final: bool,
}

/// The slice.
#[derive(Debug)]
pub(in crate::service) struct LeaseOutcome<'a> {
    /// How much, and for how long; `None`: nothing.
    pub(in crate::service) granted: Option<(i64, Duration)>,
    pub(in crate::service) repeated: bool,
    pub(in crate::service) state: UsageState<'a>,
}

impl Api {
    pub(in crate::service) async fn acquire_usage_lease<'a>(
        &self,
        query: LeaseQuery<'a>,
    ) -> Result<LeaseOutcome<'a>, RequestError> {
        self.permit_modules(query.tenant.caller, query.module.into_iter())?;
        let meter = match self.meter(query.tenant, query.meter, query.module).await? {
            Ok(meter) => meter,
            Err(state) => return Ok(LeaseOutcome { granted: None, repeated: false, state }),
        };
        if meter.kind != LimitKind::Monthly {
            return Err(RequestError::NotMonthly);
        }
        let asked_until = meter.now + TimeDelta::from_std(query.ttl).unwrap_or_default();
        let end = meter.period.end(&meter.zones);
        let request = LeaseRequest {
            key: query.key,
            wanted: query.wanted,
            until: end.map_or(asked_until, |end| asked_until.min(end)),
            holder: query.holder.as_str().into(),
            unsettled: query.unsettled,
            module: meter.module.clone(),
            used_at: UsedAt::new(meter.kind, meter.now, &meter.zones),
        };
        let is_enforced = self.limits == LimitEnforcement::On;
        let answer =
            self.count(query.tenant, &meter, UsageOp::Lease { request, is_enforced }).await?;
        let (granted, repeated, reason) = match answer.outcome {
            UsageOutcome::Leased(Leased::Granted { amount, repeated, until }) => {
                // How long since the request was received.
                let left = (until - meter.now).to_std().unwrap_or_default();
                (Some((amount, left)), repeated, standing(&answer))
            }
            UsageOutcome::Leased(Leased::Nothing(reason)) => (None, false, reason),
            UsageOutcome::Leased(Leased::Conflict) => return Err(RequestError::UsageKeyConflict),
            _ => (None, false, LimitReason::TenantDenied),
        };
        let state = self.usage_state(&meter, answer, reason, query.wanted);
        Ok(LeaseOutcome { granted, repeated, state })
    }

    pub(in crate::service) async fn settle_usage_lease<'a>(
        &self,
        query: SettleQuery<'a>,
    ) -> Result<(i64, i64, UsageState<'a>), RequestError> {
        // Also of a tenant that is not served any more: what was spent was spent.
        let Ok(meter) = self.meter_of(query.tenant, query.meter).await? else {
            return Err(RequestError::NoLease);
        };
        let SettleQuery { key, spent, is_final, .. } = query;
        let answer =
            self.count(query.tenant, &meter, UsageOp::Settle { key, spent, is_final }).await?;
        let (spent, returned) = match answer.outcome {
            UsageOutcome::Settled(Settled::Counted { spent, returned }) => (spent, returned),
            UsageOutcome::Settled(Settled::TooMuch) => return Err(RequestError::SpentTooMuch),
            _ => return Err(RequestError::NoLease),
        };
        let reason = standing(&answer);
        Ok((spent, returned, self.usage_state(&meter, answer, reason, 0)))
    }
}
