//! ExplainLimit.

use chrono::{DateTime, Utc};

use super::Found;
use crate::{
    domain::{Catalogue, Counter, MeterId, Period, calendar::ZoneStanding},
    service::{
        Api, Database,
        cache_hint::AskedTime,
        caller::CallerIdentity,
        error::RequestError,
        limit::{LimitJudgement, NamedLimit},
    },
    store::{
        Evidence, TenantKey,
        usage::{CountedKey, ShownMeter, TenantUsage},
    },
    usage::Refusal,
};

/// A question about one limit of one tenant, by a person.
#[derive(Debug)]
pub(in crate::service) struct LimitWhy<'a> {
    pub(in crate::service) caller: CallerIdentity<'a>,
    pub(in crate::service) tenant: TenantKey,
    pub(in crate::service) limit: NamedLimit<'a>,
    /// `None`: now.
    pub(in crate::service) at: Option<DateTime<Utc>>,
}

/// The decision, and everything that it rests on.
#[derive(Debug)]
pub(in crate::service) struct LimitExplanation<'a> {
    pub(in crate::service) at: DateTime<Utc>,
    /// The tenant's rows; `None`: there are none.
    pub(in crate::service) evidence: Option<Evidence>,
    pub(in crate::service) catalogue: Catalogue,
    pub(in crate::service) judgement: LimitJudgement<'a>,
    /// What a check would have answered from memory; `None`: the tenant is not held.
    pub(in crate::service) cached: Option<LimitJudgement<'a>>,
    /// What is counted; `None`: nothing is, or it cannot be read.
    pub(in crate::service) usage: Option<UsageEvidence>,
}

/// What is counted against a limit, and what took it.
#[derive(Debug)]
pub(in crate::service) struct UsageEvidence {
    pub(in crate::service) counter: Counter,
    pub(in crate::service) period: Period,
    pub(in crate::service) resets_at: Option<DateTime<Utc>>,
    /// In which time zone the month is counted, and what is to come; `None`: a level.
    pub(in crate::service) zones: Option<ZoneStanding>,
    pub(in crate::service) keys: Vec<CountedKey>,
    /// What this server has refused last.
    pub(in crate::service) refusals: Vec<Refusal>,
}

impl Api {
    pub(in crate::service) async fn explain_limit<'a>(
        &self,
        query: LimitWhy<'a>,
    ) -> Result<LimitExplanation<'a>, RequestError> {
        let asked = self.asked(query.at);
        let found = self.read_past_the_cache(query.caller, &query.tenant, asked.now).await?;
        let provenance = self.provenance_of(&found.known);
        let (facts, catalogue) = (found.known.facts.as_ref(), &found.catalogue);
        let judgement = self.limit_judgement(facts, catalogue, provenance, query.limit, asked);
        let cached = match self.held_of(&query.tenant, &found, asked.now) {
            Some(held) => Some(self.judge_limit(&held, query.limit, asked).await?),
            None => None,
        };
        let Found { evidence, catalogue, .. } = found;
        let usage = self.usage_evidence(&query, evidence.as_ref(), &catalogue, asked).await;
        let at = asked.instant();
        Ok(LimitExplanation { at, evidence, catalogue, judgement, cached, usage })
    }

    /// What is counted. Whoever asks why is told the rest also where that cannot be read.
    async fn usage_evidence(
        &self,
        query: &LimitWhy<'_>,
        found: Option<&Evidence>,
        catalogue: &Catalogue,
        asked: AskedTime,
    ) -> Option<UsageEvidence> {
        let key = query.limit.key;
        let kind = catalogue.definitions().limit(key)?.kind;
        let Database { store, usage } = self.database.as_ref()?;
        let countable = query.caller.countable(catalogue);
        let shown = ShownMeter { meter: key, modules: countable.as_deref() };
        let read = store.tenant_usage(&query.tenant, Some(shown), asked.now).await;
        let TenantUsage { counters, keys, .. } = read
            .inspect_err(|error| tracing::debug!(%error, "usage cannot be read: {error}"))
            .ok()??;
        let tenant = &found?.facts.tenant;
        let (tenant, zones) = (tenant.id, tenant.zones(self.zone));
        let mut refusals = usage.refusals(&MeterId { tenant, meter: key.into() });
        if let Some(countable) = &countable {
            refusals.retain(|refusal| countable.have(&refusal.module));
        }
        if counters.is_empty() && refusals.is_empty() {
            return None;
        }
        let period = Period::at(kind, asked.instant(), &zones);
        let stored = period.to_string();
        let of_period = counters.iter().find(|((_, period), _)| **period == *stored);
        let counter = of_period.map(|(_, counter)| *counter).unwrap_or_default();
        let is_monthly = period != Period::Level;
        Some(UsageEvidence {
            counter,
            period,
            resets_at: period.end(&zones),
            zones: is_monthly.then(|| zones.standing(asked.instant())),
            keys,
            refusals,
        })
    }
}
