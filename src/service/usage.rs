//! ReserveUsage, ReleaseUsage and ReconcileUsage.

mod lease;
mod over_time;
mod record;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

pub(crate) use self::record::EventOutcome;
pub(super) use self::{
    lease::{LeaseOutcome, LeaseQuery, SettleQuery},
    over_time::{SpansQuery, UsedOverTime},
    record::{EventQuery, RecordQuery, Recorder},
};
use super::{Api, Core, check::TenantQuery, error::RequestError};
use crate::{
    cache::{Known, LoadError},
    domain::{
        Catalogue, Counter, LimitDecision, LimitEnforcement, LimitInForce, LimitKind, LimitReason,
        LimitSaid, MeterId, Period, Reason, Reservation, Reserved, UsageKey, UsedAt, Wanted,
        calendar::Zones, check,
    },
    store::{
        ReconcileRequest, Reconciled, StoreError, UsageAnswer, UsageOp, UsageOutcome, UsageRequest,
    },
    usage::Refusal,
};

/// How far ahead the clock of a caller may be that says what there is.
const AHEAD: TimeDelta = TimeDelta::minutes(1);

/// A request to take so much.
#[derive(Debug)]
pub(super) struct ReserveQuery<'a> {
    pub(super) tenant: TenantQuery<'a>,
    pub(super) meter: &'a str,
    pub(super) key: UsageKey,
    pub(super) amount: i64,
    /// `None`: the tenant's own.
    pub(super) module: Option<&'a str>,
    pub(super) hold_for: Option<Duration>,
    pub(super) partial: bool,
}

/// A request to give back what a key took.
#[derive(Debug)]
pub(super) struct ReleaseQuery<'a> {
    pub(super) tenant: TenantQuery<'a>,
    pub(super) meter: &'a str,
    pub(super) key: UsageKey,
    pub(super) only_held: bool,
}

/// Which things there are of a level.
#[derive(Debug)]
pub(super) struct ReconcileQuery<'a> {
    pub(super) tenant: TenantQuery<'a>,
    pub(super) meter: &'a str,
    pub(super) keys: Vec<UsageKey>,
    pub(super) as_of: DateTime<Utc>,
    pub(super) after: &'a str,
    pub(super) up_to: &'a str,
}

/// A counter, and the limit that bounds it.
#[derive(Debug)]
pub(super) struct UsageState<'a> {
    pub(super) meter: &'a str,
    pub(super) reason: LimitReason,
    pub(super) message: String,
    pub(super) counter: Counter,
    /// `None`: nothing was looked up.
    pub(super) limit: Option<LimitInForce>,
    pub(super) enforcement: LimitEnforcement,
    pub(super) resets_at: Option<DateTime<Utc>>,
    pub(super) plan_slugs: Vec<String>,
    pub(super) denial: Option<Reason>,
}

/// Was it taken?
#[derive(Debug)]
pub(super) struct ReserveOutcome<'a> {
    /// How much; `None`: nothing.
    pub(super) granted: Option<i64>,
    pub(super) repeated: bool,
    pub(super) state: UsageState<'a>,
}

/// What a request is about, once it is known that it may be made.
struct Meter<'a> {
    key: &'a str,
    kind: LimitKind,
    catalogue: Arc<Catalogue>,
    own_plan: Option<Arc<str>>,
    /// The module that is named, by its present code; empty: none is.
    module: Arc<str>,
    /// What is said about the limit, as far as is known.
    said: LimitSaid,
    period: Period,
    /// Those of the tenant; of a level it does not matter which.
    zones: Zones,
    now: DateTime<Utc>,
}

impl Api {
    pub(super) async fn reserve_usage<'a>(
        &self,
        query: ReserveQuery<'a>,
    ) -> Result<ReserveOutcome<'a>, RequestError> {
        self.permit_modules(query.tenant.caller, query.module.into_iter())?;
        let meter = match self.meter(query.tenant, query.meter, query.module).await? {
            Ok(meter) => meter,
            Err(state) => return Ok(self.told(query.tenant, None, false, state)),
        };
        let hold = query.hold_for.and_then(|hold| TimeDelta::from_std(hold).ok());
        let reservation = Reservation {
            key: query.key.clone(),
            amount: query.amount,
            hold_until: hold.map(|hold| meter.now + hold),
            partial: query.partial,
            module: meter.module.clone(),
            used_at: UsedAt::new(meter.kind, meter.now, &meter.zones),
        };
        let is_enforced = self.limits == LimitEnforcement::On;
        let op = UsageOp::Reserve { reservation, is_enforced, expected: meter.said };
        let answer = self.count(query.tenant, &meter, op).await?;
        let (granted, repeated, reason) = match answer.outcome {
            UsageOutcome::Reserved(Reserved::Granted { amount, repeated, reason }) => {
                (Some(amount), repeated, reason)
            }
            UsageOutcome::Reserved(Reserved::Refused(reason)) => {
                let refusal = Refusal {
                    key: query.key,
                    module: Arc::clone(&meter.module),
                    amount: query.amount,
                    reason,
                    at: meter.now,
                };
                self.database()?.usage.refused(&meter_id(query.tenant, meter.key), refusal);
                (None, false, reason)
            }
            UsageOutcome::Reserved(Reserved::Conflict) => {
                return Err(RequestError::UsageKeyConflict);
            }
            _ => (None, false, LimitReason::TenantDenied),
        };
        let state = self.usage_state(&meter, answer, reason, query.amount);
        Ok(self.told(query.tenant, granted, repeated, state))
    }

    pub(super) async fn release_usage<'a>(
        &self,
        query: ReleaseQuery<'a>,
    ) -> Result<(i64, UsageState<'a>), RequestError> {
        // Also of a tenant that is not served any more: what it gives back is its own.
        let meter = match self.meter_of(query.tenant, query.meter).await? {
            Ok(meter) => meter,
            Err(state) => return Ok((0, state)),
        };
        let op = UsageOp::Release { key: query.key, only_held: query.only_held };
        let answer = self.count(query.tenant, &meter, op).await?;
        let (released, reason) = match answer.outcome {
            UsageOutcome::Released(amount) => (amount, standing(&answer)),
            _ => (0, LimitReason::TenantDenied),
        };
        Ok((released, self.usage_state(&meter, answer, reason, 0)))
    }

    pub(super) async fn reconcile_usage<'a>(
        &self,
        query: ReconcileQuery<'a>,
    ) -> Result<(i64, i64, UsageState<'a>), RequestError> {
        // Of a level there are things of any module.
        self.permit_all_modules(query.tenant.caller)?;
        let meter = match self.meter_of(query.tenant, query.meter).await? {
            Ok(meter) => meter,
            Err(state) => return Ok((0, 0, state)),
        };
        if meter.kind != LimitKind::Level {
            return Err(RequestError::NotALevel);
        }
        if query.as_of > meter.now + AHEAD {
            return Err(RequestError::AsOfAhead);
        }
        let request = ReconcileRequest {
            meter: meter_id(query.tenant, meter.key),
            keys: query.keys,
            as_of: query.as_of,
            after: query.after.to_owned(),
            up_to: query.up_to.to_owned(),
        };
        let Some(Reconciled { counted, released, counter, limit }) =
            self.database()?.usage.reconcile(&request).await?
        else {
            return Ok((0, 0, self.denied_state(query.meter, Reason::TenantNotFound)));
        };
        let outcome = UsageOutcome::Released(released);
        let answer = UsageAnswer { outcome, counter, limit };
        let reason = standing(&answer);
        Ok((counted, released, self.usage_state(&meter, answer, reason, 0)))
    }

    /// What a request to take is about; the state that says why it is refused, if the tenant or the
    /// module is denied, or there is no such limit.
    async fn meter<'a>(
        &self,
        query: TenantQuery<'a>,
        key: &'a str,
        module: Option<&str>,
    ) -> Result<Result<Meter<'a>, UsageState<'a>>, RequestError> {
        let meter = match self.meter_of(query, key).await? {
            Ok(meter) => meter,
            refused => return Ok(refused),
        };
        let known = self.cache.get(query.tenant, meter.now).await?;
        let facts = known.facts.as_ref();
        let denial = facts.map_or(Some(Reason::TenantNotFound), |facts| facts.status().denial());
        if let Some(denial) = denial {
            return Ok(Err(self.denied_state(key, denial)));
        }
        let decided = module.map(|module| check(facts, &meter.catalogue, module, meter.now));
        if let (Some(module), Some(decision)) = (module, decided.filter(|it| !it.allowed())) {
            let state = self.denied_state(key, decision.reason);
            return Ok(Err(UsageState {
                reason: LimitReason::ModuleDenied,
                message: decision.reason.message(module),
                plan_slugs: meter.catalogue.plans_against(decision.reason, module),
                ..state
            }));
        }
        let own_plan = facts.and_then(|facts| facts.tenant.plan_slug.clone());
        let said = facts.map(|facts| LimitSaid::of(facts, &meter.catalogue, key));
        let said = said.unwrap_or_default();
        let module = module.map(|module| meter.catalogue.code_of_now(module)).unwrap_or_default();
        Ok(Ok(Meter { own_plan, said, module: module.into(), ..meter }))
    }

    /// What a request is about, whatever the tenant.
    async fn meter_of<'a>(
        &self,
        query: TenantQuery<'a>,
        key: &'a str,
    ) -> Result<Result<Meter<'a>, UsageState<'a>>, RequestError> {
        self.permit_tenant(query.caller, Some(query.tenant))?;
        self.permit_meter(query.caller, key)?;
        let now = self.clock.now();
        let Some((kind, catalogue)) = self.kind_of(key, now).await? else {
            let nothing =
                LimitDecision { reason: LimitReason::NotFound, in_force: None, tenant: None };
            return Ok(Err(UsageState {
                reason: LimitReason::NotFound,
                message: nothing.message(key),
                denial: None,
                ..self.denied_state(key, Reason::TenantNotFound)
            }));
        };
        let zones = match kind {
            LimitKind::Level => self.zone.into(),
            LimitKind::Monthly => self.zones_of(&self.cache.get(query.tenant, now).await?),
        };
        let period = Period::at(kind, now, &zones);
        let (module, said) = ("".into(), LimitSaid::default());
        Ok(Ok(Meter { key, kind, catalogue, own_plan: None, module, said, period, zones, now }))
    }

    /// The time zones of a tenant. Of one that there is not it does not matter which.
    pub(super) fn zones_of(&self, known: &Known) -> Zones {
        known.facts.as_ref().map_or(self.zone.into(), |facts| facts.tenant.zones(self.zone))
    }

    /// What a limit counts, and the catalogue that says so; `None`: there is no such limit.
    pub(super) async fn kind_of(
        &self,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<(LimitKind, Arc<Catalogue>)>, LoadError> {
        let knows = |catalogue: &Catalogue| catalogue.definitions().limit(key).is_some();
        let catalogue = self.cache.catalogue_that(knows, now).await?;
        let kind = catalogue.definitions().limit(key).map(|defined| defined.kind);
        Ok(kind.map(|kind| (kind, catalogue)))
    }

    async fn count(
        &self,
        query: TenantQuery<'_>,
        meter: &Meter<'_>,
        op: UsageOp,
    ) -> Result<UsageAnswer, RequestError> {
        let counter = (meter_id(query, meter.key), meter.period.to_string().into());
        let modules = query.caller.countable(&meter.catalogue);
        let request = UsageRequest { counter, kind: meter.kind, modules, op };
        let answer = self.database()?.usage.count(request).await?;
        if answer.outcome == UsageOutcome::NotAllowed {
            return Err(self.refused_module(query.caller).into());
        }
        Ok(answer)
    }

    fn denied_state<'a>(&self, meter: &'a str, denial: Reason) -> UsageState<'a> {
        UsageState {
            meter,
            reason: LimitReason::TenantDenied,
            message: denial.message(""),
            counter: Counter::default(),
            limit: None,
            enforcement: self.limits,
            resets_at: None,
            plan_slugs: Vec::new(),
            denial: Some(denial),
        }
    }

    fn usage_state<'a>(
        &self,
        meter: &Meter<'a>,
        answer: UsageAnswer,
        reason: LimitReason,
        amount: i64,
    ) -> UsageState<'a> {
        let UsageAnswer { counter, limit, .. } = answer;
        if reason == LimitReason::TenantDenied {
            return self.denied_state(meter.key, Reason::TenantNotFound);
        }
        let decision = LimitDecision { reason, in_force: Some(limit), tenant: None };
        let wanted = Wanted { observed: counter.taken(), amount };
        let own_plan = meter.own_plan.as_deref();
        UsageState {
            meter: meter.key,
            reason,
            message: decision.message(meter.key),
            counter,
            plan_slugs: meter.catalogue.plans_for_limit(&decision, own_plan, meter.key, wanted),
            limit: decision.in_force,
            enforcement: self.limits,
            resets_at: meter.period.end(&meter.zones),
            denial: None,
        }
    }

    /// Counts and records what a caller is told.
    fn told<'a>(
        &self,
        query: TenantQuery<'_>,
        granted: Option<i64>,
        repeated: bool,
        state: UsageState<'a>,
    ) -> ReserveOutcome<'a> {
        self.metrics.reservations.add(state.reason);
        self.record_reservation(query, granted.is_some(), repeated, &state);
        ReserveOutcome { granted, repeated, state }
    }
}

/// How a counter stands to its limit as it is.
fn standing(answer: &UsageAnswer) -> LimitReason {
    answer.limit.reason(Wanted { observed: answer.counter.taken(), amount: 0 })
}

fn meter_id(query: TenantQuery<'_>, key: &str) -> MeterId {
    MeterId { tenant: query.tenant, meter: key.into() }
}

impl Core {
    /// Counts what the ERP's own transactions have logged.
    pub(crate) async fn fold_usage_log(&self) -> Result<(), StoreError> {
        let Self { api, usage, .. } = self;
        if !usage.has_log().await? {
            return Ok(());
        }
        match api.cache.catalogue(api.clock.now()).await {
            Ok(catalogue) => usage.fold_log(&catalogue, api.zone).await,
            Err(error) => {
                tracing::debug!(%error, "the catalogue is not known: {error}");
                Ok(())
            }
        }
    }
}
