//! CheckLimit.

use chrono::{DateTime, Utc};

use super::{
    Api, Database,
    cache_hint::{AskedTime, CacheHint, Provenance},
    check::TenantQuery,
    error::RequestError,
    feature::knows_plan,
};
use crate::{
    cache::{Known, LoadError},
    domain::{
        Catalogue, Facts, LimitDecision, LimitEnforcement, LimitKind, LimitReason, MeterId, Period,
        Wanted, check_limit,
    },
};

/// A limit, as a request names it, and what is asked of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedLimit<'a> {
    pub(super) key: &'a str,
    pub(super) wanted: Wanted,
}

/// A question about one limit of a tenant.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitQuery<'a> {
    pub(super) tenant: TenantQuery<'a>,
    pub(super) limit: NamedLimit<'a>,
    /// Has the caller counted, so that nothing is looked up?
    pub(super) is_observed: bool,
}

/// The answer for one limit, with everything that is reported about it.
#[derive(Debug)]
pub(super) struct LimitJudgement<'a> {
    pub(super) key: &'a str,
    pub(super) wanted: Wanted,
    pub(super) decision: LimitDecision,
    pub(super) enforcement: LimitEnforcement,
    pub(super) plan_slugs: Vec<String>,
    pub(super) hint: CacheHint,
    /// What is counted here, where the caller has not counted.
    pub(super) counted: Option<Counted>,
}

/// What a counter showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) held: i64,
    /// When it was read.
    pub(super) at: DateTime<Utc>,
    /// When another counter begins at nothing; `None`: never.
    pub(super) resets_at: Option<DateTime<Utc>>,
}

impl LimitJudgement<'_> {
    /// Is it allowed, as limits are enforced? A tenant that is denied is denied whatever its limits
    /// are.
    pub(super) fn is_allowed(&self) -> bool {
        let reason = self.decision.reason;
        reason.allows()
            || self.enforcement != LimitEnforcement::On && reason != LimitReason::TenantDenied
    }
}

impl Api {
    pub(super) async fn check_limit<'a>(
        &self,
        query: LimitQuery<'a>,
    ) -> Result<LimitJudgement<'a>, RequestError> {
        self.permit(query.tenant, std::iter::empty())?;
        let asked = self.asked(query.tenant.at);
        let (query, counted) = if query.is_observed {
            (query, None)
        } else {
            Box::pin(self.look_up_usage(query, asked)).await?
        };
        let held =
            if query.tenant.min_revision == 0 { self.peek_limit(query, asked) } else { None };
        let judgement = match held {
            Some(judgement) => judgement,
            // Boxed, so that the future of an answer from memory stays small.
            None => Box::pin(self.check_limit_at_length(query, asked)).await?,
        };
        let judgement = match counted {
            // Others count too: nobody keeps it.
            Some(_) => {
                LimitJudgement { counted, hint: judgement.hint.of_the_moment(), ..judgement }
            }
            None => judgement,
        };
        self.metrics.limit_decisions.add(judgement.decision.reason);
        self.record_limit(query.tenant, &judgement);
        Ok(judgement)
    }

    /// The same question with what is counted here. Of a limit that there is not, nothing is.
    async fn look_up_usage<'a>(
        &self,
        query: LimitQuery<'a>,
        asked: AskedTime,
    ) -> Result<(LimitQuery<'a>, Option<Counted>), RequestError> {
        let key = query.limit.key;
        let Some((kind, _)) = self.kind_of(key, asked.now).await? else { return Ok((query, None)) };
        let zones = match kind {
            LimitKind::Level => self.zone.into(),
            LimitKind::Monthly => self.zones_of(&self.ask(query.tenant, asked).await?),
        };
        let Some(Database { usage, .. }) = &self.database else { return Ok((query, None)) };
        let period = Period::at(kind, asked.instant(), &zones);
        let meter = MeterId { tenant: query.tenant.tenant, meter: key.into() };
        let counter = usage.counter(&(meter, period.to_string().into())).await;
        let counter = counter.map_err(LoadError::Store)?;
        let wanted = Wanted { observed: counter.taken(), ..query.limit.wanted };
        let limit = NamedLimit { wanted, ..query.limit };
        let (held, resets_at) = (counter.held, period.end(&zones));
        let counted = Counted { held, at: asked.now, resets_at };
        Ok((LimitQuery { limit, ..query }, Some(counted)))
    }

    /// The answer, if the facts and the catalogue are held.
    fn peek_limit<'a>(
        &self,
        query: LimitQuery<'a>,
        asked: AskedTime,
    ) -> Option<LimitJudgement<'a>> {
        let judge = |facts: &Facts, catalogue: &Catalogue| {
            knows_plan(catalogue, Some(facts)).then(|| {
                let provenance = self.provenance(facts);
                self.limit_judgement(Some(facts), catalogue, provenance, query.limit, asked)
            })
        };
        self.cache.peek_with_catalogue(query.tenant.tenant, asked.now, judge)
    }

    async fn check_limit_at_length<'a>(
        &self,
        query: LimitQuery<'a>,
        asked: AskedTime,
    ) -> Result<LimitJudgement<'a>, RequestError> {
        let known = self.ask(query.tenant, asked).await?;
        Ok(self.judge_limit(&known, query.limit, asked).await?)
    }

    /// Decides about one limit.
    pub(super) async fn judge_limit<'a>(
        &self,
        known: &Known,
        named: NamedLimit<'a>,
        asked: AskedTime,
    ) -> Result<LimitJudgement<'a>, LoadError> {
        let (facts, provenance) = (known.facts.as_ref(), self.provenance_of(known));
        let knows = |catalogue: &Catalogue| knows_plan(catalogue, facts);
        let (catalogue, provenance) =
            self.catalogue_beside(facts, provenance, knows, asked.now).await?;
        Ok(self.limit_judgement(facts, &catalogue, provenance, named, asked))
    }

    /// Everything that is reported about a decision.
    pub(super) fn limit_judgement<'a>(
        &self,
        facts: Option<&Facts>,
        catalogue: &Catalogue,
        provenance: Provenance,
        NamedLimit { key, wanted }: NamedLimit<'a>,
        asked: AskedTime,
    ) -> LimitJudgement<'a> {
        let decision = check_limit(facts, catalogue, key, wanted, asked.instant());
        let own_plan = facts.and_then(|facts| facts.tenant.plan_slug.as_deref());
        let plan_slugs = catalogue.plans_for_limit(&decision, own_plan, key, wanted);
        let age = if decision.reason.allows() { self.ages.grant } else { self.ages.denial };
        let valid_until = decision.in_force.as_ref().and_then(|limit| limit.valid_until);
        let hint = provenance.and_catalogue(catalogue).cache_hint(age, valid_until, asked);
        LimitJudgement {
            key,
            wanted,
            decision,
            enforcement: self.limits,
            plan_slugs,
            hint,
            counted: None,
        }
    }
}
