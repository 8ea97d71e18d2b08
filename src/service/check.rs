//! CheckModule, BatchCheckModules and ListEnabledModules.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    Api,
    cache_hint::{AskedTime, CacheHint, Provenance},
    caller::{CallerIdentity, NotAdmitted},
    error::RequestError,
    feature::knows_plan,
    trace::record_words,
};
use crate::{
    cache::{Known, LoadError},
    domain::{
        Catalogue, Decision, Facts, FeatureState, LimitEnforcement, LimitInForce, TenantId,
        TenantStatus, check, check_facts,
        enabled::{EnabledModule, enabled_modules, next_change},
        features_of, limits_of,
        resolve::Unresolved,
        usage_limit::next_end_of_override,
    },
};

/// A question about one tenant.
#[derive(Clone, Copy, Debug)]
pub(super) struct TenantQuery<'a> {
    pub(super) caller: CallerIdentity<'a>,
    pub(super) tenant: TenantId,
    /// 0: any revision.
    pub(super) min_revision: u64,
    /// `None`: now.
    pub(super) at: Option<DateTime<Utc>>,
}

/// A question about one module of a tenant.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckQuery<'a> {
    pub(super) tenant: TenantQuery<'a>,
    pub(super) module: &'a str,
}

/// A question about several modules.
#[derive(Debug)]
pub(super) struct BatchQuery<'a> {
    pub(super) tenant: TenantQuery<'a>,
    pub(super) modules: &'a [String],
}

/// A question about all modules.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListQuery<'a> {
    pub(super) tenant: TenantQuery<'a>,
    pub(super) include_upcoming: bool,
    pub(super) include_features: bool,
}

/// The answer for one module, with everything that is reported about it.
#[derive(Debug)]
pub(super) struct Judgement<'a> {
    pub(super) module: &'a str,
    pub(super) decision: Decision,
    pub(super) plan_slugs: Vec<String>,
    pub(super) hint: CacheHint,
}

impl Judgement<'_> {
    /// Logs a denial. Must not be called while a lock is held: logging can block.
    fn log_denial(self) -> Self {
        let reason = self.decision.reason;
        if !self.decision.allowed() {
            tracing::debug!(module = self.module, ?reason, "denied {:?}: {reason:?}", self.module);
        }
        self
    }
}

/// The answer for all modules: what is needed to list them.
#[derive(Debug)]
pub(super) struct List<'a> {
    caller: CallerIdentity<'a>,
    facts: Facts,
    catalogue: Arc<Catalogue>,
    at: DateTime<Utc>,
    include_upcoming: bool,
    pub(super) include_features: bool,
    pub(super) enforcement: LimitEnforcement,
    pub(super) hint: CacheHint,
}

impl List<'_> {
    /// The features of a module of the list, if they were asked for. Of one that is yet to start, as
    /// they will be.
    pub(super) fn features(&self, module: &EnabledModule<'_>) -> Vec<(&str, FeatureState<'_>)> {
        let held = self.facts.rows_of(module.row.module.as_str()).first();
        match held.filter(|_| self.include_features) {
            Some(row) => features_of(&self.facts, &self.catalogue, row.module.as_str()),
            None => Vec::new(),
        }
    }

    /// The tenant's limits, if they were asked for.
    pub(super) fn limits(&self) -> Vec<LimitInForce> {
        let is_served = self.facts.status().denial().is_none();
        if self.include_features && is_served {
            limits_of(&self.facts, &self.catalogue, self.at)
        } else {
            Vec::new()
        }
    }

    pub(super) fn tenant_status(&self) -> TenantStatus {
        self.facts.status()
    }

    pub(super) fn modules(&self) -> Vec<EnabledModule<'_>> {
        let mut modules =
            enabled_modules(&self.facts, &self.catalogue, self.at, self.include_upcoming);
        modules.retain(|enabled| self.caller.may_ask_of(enabled.row.module.as_str()));
        modules
    }
}

impl Api {
    pub(super) async fn check<'a>(
        &self,
        query: CheckQuery<'a>,
    ) -> Result<Judgement<'a>, RequestError> {
        self.permit(query.tenant, [query.module].into_iter())?;
        let asked = self.asked(query.tenant.at);
        if query.tenant.min_revision == 0
            && let Some(judgement) = self.peek(query, asked)
        {
            let judgement = self.count_decision(judgement.log_denial());
            self.record_decision(
                "CheckModule",
                query.tenant.caller,
                query.tenant.tenant,
                &judgement,
            );
            return Ok(judgement);
        }
        // Boxed, so that the future of an answer from memory stays small: it is moved several
        // times.
        let judgement = self.count_decision(Box::pin(self.check_at_length(query, asked)).await?);
        self.record_decision("CheckModule", query.tenant.caller, query.tenant.tenant, &judgement);
        Ok(judgement)
    }

    /// The answer, if the facts are held and suffice to decide: most answers are given here.
    fn peek<'a>(&self, query: CheckQuery<'a>, asked: AskedTime) -> Option<Judgement<'a>> {
        let judge = |facts: &Facts| {
            let decision = check_facts(Some(facts), query.module, asked.instant())?;
            Some(self.judgement(self.provenance(facts), query.module, decision, None, asked))
        };
        self.cache.peek(query.tenant.tenant, asked.now, judge)
    }

    async fn check_at_length<'a>(
        &self,
        query: CheckQuery<'a>,
        asked: AskedTime,
    ) -> Result<Judgement<'a>, RequestError> {
        let known = self.ask(query.tenant, asked).await?;
        Ok(self
            .judge(known.facts.as_ref(), self.provenance_of(&known), query.module, asked)
            .await?)
    }

    pub(super) async fn batch_check<'a>(
        &self,
        query: BatchQuery<'a>,
    ) -> Result<Vec<Judgement<'a>>, RequestError> {
        self.permit(query.tenant, query.modules.iter().map(String::as_str))?;
        let asked = self.asked(query.tenant.at);
        let known = self.ask(query.tenant, asked).await?;
        let (facts, provenance) = (known.facts.as_ref(), self.provenance_of(&known));
        let mut judgements = Vec::with_capacity(query.modules.len());
        for module in query.modules {
            judgements.push(self.judge(facts, provenance, module, asked).await?);
        }
        let words = |judgement: &Judgement<'_>| {
            (judgement.decision.allowed(), judgement.decision.reason.word())
        };
        record_words(judgements.iter().map(words));
        for judgement in &judgements {
            self.log_decision(
                "BatchCheckModules",
                query.tenant.caller,
                query.tenant.tenant,
                judgement,
            );
        }
        Ok(judgements.into_iter().map(|judgement| self.count_decision(judgement)).collect())
    }

    pub(super) async fn list_enabled<'a>(
        &self,
        query: ListQuery<'a>,
    ) -> Result<List<'a>, RequestError> {
        self.permit(query.tenant, std::iter::empty())?;
        let asked = self.asked(query.tenant.at);
        let known = self.ask(query.tenant, asked).await?;
        let Some(facts) = &known.facts else { return Err(Unresolved::NotFound.into()) };
        let knows = |held: &Catalogue| {
            let mut modules = facts.by_module().filter_map(|rows| rows.first());
            modules.all(|row| held.module(row.module.as_str()).is_some())
                && (!query.include_features || knows_plan(held, Some(facts)))
        };
        let provenance = self.provenance_of(&known);
        let (catalogue, provenance) = if query.include_features {
            self.catalogue_beside(Some(facts), provenance, knows, asked.now).await?
        } else {
            (self.cache.catalogue_that(knows, asked.now).await?, provenance)
        };
        // If the tenant is not served, the list as a whole is a denial.
        let limit =
            if facts.status().denial().is_none() { self.ages.grant } else { self.ages.denial };
        let at = asked.instant();
        let ends = query.include_features.then(|| next_end_of_override(facts, at)).flatten();
        let changes = next_change(facts, at).into_iter().chain(ends).min();
        let hint = provenance.and_catalogue(&catalogue).cache_hint(limit, changes, asked);
        Ok(List {
            caller: query.tenant.caller,
            facts: facts.clone(),
            catalogue,
            at,
            include_upcoming: query.include_upcoming,
            include_features: query.include_features,
            enforcement: self.limits,
            hint,
        })
    }

    /// Refuses what the caller may not ask about, before anything is looked up.
    pub(super) fn permit<'m>(
        &self,
        query: TenantQuery<'_>,
        modules: impl Iterator<Item = &'m str>,
    ) -> Result<(), NotAdmitted> {
        self.permit_tenant(query.caller, Some(query.tenant))?;
        self.permit_modules(query.caller, modules)
    }

    /// The current time, and the instant to judge.
    pub(super) fn asked(&self, at: Option<DateTime<Utc>>) -> AskedTime {
        AskedTime { now: self.clock.now(), at }
    }

    /// Looks up the tenant that a query names.
    pub(super) async fn ask(
        &self,
        query: TenantQuery<'_>,
        asked: AskedTime,
    ) -> Result<Known, LoadError> {
        match query.min_revision {
            0 => self.cache.get(query.tenant, asked.now).await,
            revision => {
                self.cache
                    .get_at_least(query.tenant, revision, query.caller.requester(), asked.now)
                    .await
            }
        }
    }

    /// Decides about one module, and gathers what is reported about the decision.
    pub(super) async fn judge<'a>(
        &self,
        facts: Option<&Facts>,
        provenance: Provenance,
        module: &'a str,
        asked: AskedTime,
    ) -> Result<Judgement<'a>, LoadError> {
        match check_facts(facts, module, asked.instant()) {
            Some(decision) => {
                Ok(self.judgement(provenance, module, decision, None, asked).log_denial())
            }
            None => {
                // Boxed, as above: the catalogue is rarely needed to decide.
                let catalogue = Box::pin(self.cache.catalogue_for(module, asked.now)).await?;
                let decision = check(facts, &catalogue, module, asked.instant());
                Ok(self
                    .judgement(provenance, module, decision, Some(&catalogue), asked)
                    .log_denial())
            }
        }
    }

    /// Everything that is reported about a decision. The catalogue is required if it was needed to
    /// decide.
    pub(super) fn judgement<'a>(
        &self,
        provenance: Provenance,
        module: &'a str,
        decision: Decision,
        catalogue: Option<&Catalogue>,
        asked: AskedTime,
    ) -> Judgement<'a> {
        let (plan_slugs, provenance) = match catalogue {
            Some(catalogue) => (
                catalogue.plans_against(decision.reason, module),
                provenance.and_catalogue(catalogue),
            ),
            None => (Vec::new(), provenance),
        };
        Judgement {
            module,
            decision,
            plan_slugs,
            hint: self.cache_hint(provenance, decision, asked),
        }
    }
}
