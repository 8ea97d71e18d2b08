//! RecordUsage.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    domain::{
        Catalogue, Corrected, Event, LimitKind, MeterId, Period, Recorded, TenantId, UsageKey,
        UsedAt, calendar::Zones,
    },
    observability::metrics::label,
    security::callers::CallerService,
    service::{
        Api,
        caller::{CallerIdentity, Credentials, NotAdmitted},
        error::RequestError,
        stream_places::Place,
    },
    store::{MessageId, Recording, UsageOp, UsageOutcome, UsageRequest},
    usage::UsageError,
};

/// How far ahead of the server's clock a caller's may be.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// A message.
#[derive(Debug)]
pub(in crate::service) struct RecordQuery {
    /// `None`: a field of it is not as described.
    pub(in crate::service) events: Vec<Option<EventQuery>>,
    pub(in crate::service) message_id: Option<MessageId>,
}

/// Something that was used.
#[derive(Debug)]
pub(in crate::service) struct EventQuery {
    pub(in crate::service) tenant: TenantId,
    pub(in crate::service) meter: String,
    pub(in crate::service) key: Option<UsageKey>,
    pub(in crate::service) amount: i64,
    pub(in crate::service) module: String,
    /// `None`: now.
    pub(in crate::service) at: Option<DateTime<Utc>>,
    pub(in crate::service) corrects: Option<UsageKey>,
}

label! {
    /// What became of it.
    pub(crate) enum EventOutcome {
        /// It is counted.
        Counted => "counted",
        /// It was counted before.
        Repeated => "repeated",
        /// Its key took another amount, or names something else.
        Conflict => "conflict",
        /// It is older than is accepted.
        TooLate => "too_late",
        /// It lies ahead.
        TooEarly => "too_early",
        /// There is no such tenant.
        UnknownTenant => "unknown_tenant",
        /// There is no such limit, or it is a level.
        UnknownMeter => "unknown_meter",
        /// There is no such module.
        UnknownModule => "unknown_module",
        /// A field of it is not as described, or nobody can count so much.
        Invalid => "invalid",
        /// The caller may not.
        NotAllowed => "not_allowed",
        /// So much is not left of what it corrects.
        NothingToCorrect => "nothing_to_correct",
    }
}

impl From<Recorded> for EventOutcome {
    fn from(recorded: Recorded) -> Self {
        match recorded {
            Recorded::Counted => Self::Counted,
            Recorded::Repeated => Self::Repeated,
            Recorded::Conflict => Self::Conflict,
            Recorded::NothingToCorrect => Self::NothingToCorrect,
            Recorded::TooMuch => Self::Invalid,
        }
    }
}

/// One who records, as long as its stream lasts.
pub(in crate::service) struct Recorder {
    api: Api,
    credentials: Credentials,
    is_first: bool,
    _place: Place,
}

impl Api {
    /// Begins to record. Too many at once are refused, and too many of one caller.
    pub(in crate::service) fn recorder(
        &self,
        credentials: Credentials,
    ) -> Result<Recorder, RequestError> {
        let caller = self.callers.known_by(&credentials, CallerService::Usage)?;
        let name = CallerIdentity::new(caller.as_deref(), None).name();
        let place = self.recorders.take(name, 0).ok_or(UsageError::Overloaded)?;
        Ok(Recorder { api: self.clone(), credentials, is_first: true, _place: place })
    }
}

impl Recorder {
    /// Records a message, and gives what became of its events, in order, after the commit.
    pub(in crate::service) async fn record(
        &mut self,
        query: RecordQuery,
    ) -> Result<Vec<EventOutcome>, RequestError> {
        // Its rights may have been changed meanwhile.
        let api = &self.api;
        let caller = api.callers.known_by(&self.credentials, CallerService::Usage)?;
        // The first message came with the request, which has taken its turn.
        if let Some(caller) = caller.as_ref().filter(|_| !self.is_first) {
            caller.take_turn().map_err(|wait| api.counted(NotAdmitted::TooMany(wait)))?;
        }
        self.is_first = false;
        let caller = CallerIdentity::new(caller.as_deref(), None);
        let now = api.clock.now();
        let catalogue = api.catalogue_for(&query, now).await?;
        let zones = api.zones_for(&query, now).await?;
        let modules = caller.countable(&catalogue);
        let (mut outcomes, mut requests) = (Vec::new(), Vec::new());
        for event in query.events {
            let judged = event.ok_or(EventOutcome::Invalid);
            match judged.and_then(|event| api.judge_event(caller, &catalogue, &zones, event, now)) {
                Ok(request) => {
                    requests.push(UsageRequest { modules: modules.clone(), ..request });
                    outcomes.push(None);
                }
                Err(refused) => outcomes.push(Some(refused)),
            }
        }
        let count = requests.len();
        let recorded: Vec<_> =
            match api.database()?.usage.record(requests, query.message_id).await? {
                Recording::Done(outcomes) => outcomes.into_iter().map(outcome).collect(),
                Recording::Repeated => vec![EventOutcome::Repeated; count],
                Recording::OutOfSequence { last } => {
                    return Err(RequestError::SequenceGap { last });
                }
                Recording::Locked => return Err(UsageError::Locked.into()),
            };
        let mut recorded = recorded.into_iter();
        let all = outcomes.into_iter().map(|refused| refused.or_else(|| recorded.next()));
        let all: Vec<_> = all.map(|outcome| outcome.unwrap_or(EventOutcome::Invalid)).collect();
        for outcome in &all {
            api.metrics.recorded_events.add(*outcome);
        }
        Ok(all)
    }
}

impl Api {
    /// The catalogue, with the meters that a message names as far as there are any.
    async fn catalogue_for(
        &self,
        query: &RecordQuery,
        now: DateTime<Utc>,
    ) -> Result<Arc<Catalogue>, RequestError> {
        let meters: BTreeSet<&str> = query.events.iter().flatten().map(|it| &*it.meter).collect();
        let modules: BTreeSet<&str> = query.events.iter().flatten().map(|it| &*it.module).collect();
        let knows = |catalogue: &Catalogue| {
            meters.iter().all(|meter| catalogue.definitions().limit(meter).is_some())
                && modules.iter().all(|module| catalogue.knows_module_of_usage(module))
        };
        Ok(self.cache.catalogue_that(knows, now).await?)
    }

    /// The time zones of the tenants that a message names. What is held of a tenant will do, however
    /// old it is: no month that has begun gets another zone.
    async fn zones_for(
        &self,
        query: &RecordQuery,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<TenantId, Zones>, RequestError> {
        let tenants: BTreeSet<TenantId> =
            query.events.iter().flatten().map(|it| it.tenant).collect();
        let (mut zones, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for tenant in tenants {
            match self.cache.peek(tenant, now, |facts| Some(facts.tenant.zones(self.zone))) {
                Some(held) => _ = zones.insert(tenant, held),
                None => _ = unknown.insert(tenant),
            }
        }
        let read = self.database()?.store.zones_of_tenants(&unknown, self.zone).await;
        let read = read.map_err(UsageError::Store)?;
        zones.extend(unknown.into_iter().map(|tenant| (tenant, read.of(tenant))));
        Ok(zones)
    }

    /// What is to be counted of an event, or why nothing is.
    fn judge_event(
        &self,
        caller: CallerIdentity<'_>,
        catalogue: &Catalogue,
        zones: &BTreeMap<TenantId, Zones>,
        event: EventQuery,
        now: DateTime<Utc>,
    ) -> Result<UsageRequest, EventOutcome> {
        let is_allowed = caller.may_count(event.tenant, &event.meter, &event.module)
            && (event.corrects.is_none() || caller.may_correct());
        let kind = catalogue.definitions().limit(&event.meter).map(|defined| defined.kind);
        let at = event.at.unwrap_or(now);
        if !is_allowed {
            return Err(EventOutcome::NotAllowed);
        } else if kind != Some(LimitKind::Monthly) {
            return Err(EventOutcome::UnknownMeter);
        } else if !catalogue.knows_module_of_usage(&event.module) {
            return Err(EventOutcome::UnknownModule);
        } else if at > now + AHEAD {
            return Err(EventOutcome::TooEarly);
        } else if at < now - self.accept_late {
            return Err(EventOutcome::TooLate);
        }
        let Some(zones) = zones.get(&event.tenant) else { return Err(EventOutcome::UnknownTenant) };
        let meter = MeterId { tenant: event.tenant, meter: event.meter.into() };
        let period = Period::at(LimitKind::Monthly, at, zones).to_string();
        let module = catalogue.code_of_now(&event.module);
        let corrects = event.corrects.map(|key| Corrected {
            key,
            former_modules: catalogue.former_codes(module).map(|it| it.as_str().into()).collect(),
        });
        Ok(UsageRequest {
            counter: (meter, period.into()),
            kind: LimitKind::Monthly,
            modules: None,
            op: UsageOp::Record(Event {
                key: event.key,
                amount: event.amount,
                corrects,
                module: module.into(),
                used_at: UsedAt::new(LimitKind::Monthly, at, zones),
            }),
        })
    }
}

fn outcome(outcome: UsageOutcome) -> EventOutcome {
    match outcome {
        UsageOutcome::Recorded(recorded) => recorded.into(),
        UsageOutcome::NotAllowed => EventOutcome::NotAllowed,
        _ => EventOutcome::UnknownTenant,
    }
}
