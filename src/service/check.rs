//! CheckModule, BatchCheckModules and ListEnabledModules.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tonic::Status;

use super::{
    Api,
    advice::{Advice, Asked},
    status,
};
use crate::{
    cache::Known,
    domain::{
        Catalogue, Decision, Facts, Reason, TenantId, TenantStatus, check, check_facts,
        enabled::{EnabledModule, enabled_modules, next_change},
    },
};

/// A question about one tenant.
#[derive(Clone, Copy, Debug)]
pub(super) struct TenantQuery {
    pub(super) tenant: TenantId,
    /// 0: any will do.
    pub(super) min_revision: u64,
    /// `None`: now.
    pub(super) at: Option<DateTime<Utc>>,
}

/// A question about one module of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckQuery<'a> {
    pub(super) tenant: TenantQuery,
    pub(super) module: &'a str,
}

/// A question about several.
#[derive(Debug)]
pub(super) struct BatchQuery<'a> {
    pub(super) tenant: TenantQuery,
    pub(super) modules: &'a [String],
}

/// A question about all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListQuery {
    pub(super) tenant: TenantQuery,
    pub(super) include_upcoming: bool,
}

/// The answer for one module, with all that is said about it.
#[derive(Debug)]
pub(super) struct Judgement<'a> {
    pub(super) module: &'a str,
    pub(super) decision: Decision,
    pub(super) plan_slugs: Vec<String>,
    pub(super) advice: Advice,
}

/// The answer for all of them: what is needed to list them.
#[derive(Debug)]
pub(super) struct List {
    facts: Arc<Facts>,
    catalogue: Arc<Catalogue>,
    at: DateTime<Utc>,
    include_upcoming: bool,
    pub(super) advice: Advice,
}

impl List {
    pub(super) fn tenant_status(&self) -> TenantStatus {
        self.facts.tenant.status
    }

    pub(super) fn modules(&self) -> Vec<EnabledModule<'_>> {
        enabled_modules(&self.facts, &self.catalogue, self.at, self.include_upcoming)
    }
}

impl Api {
    pub(super) async fn check<'a>(&self, query: CheckQuery<'a>) -> Result<Judgement<'a>, Status> {
        let (known, asked) = self.ask(query.tenant).await?;
        self.judge(&known, query.module, asked).await
    }

    pub(super) async fn batch_check<'a>(&self, query: BatchQuery<'a>) -> Result<Vec<Judgement<'a>>, Status> {
        let (known, asked) = self.ask(query.tenant).await?;
        let mut judgements = Vec::with_capacity(query.modules.len());
        for module in query.modules {
            judgements.push(self.judge(&known, module, asked).await?);
        }
        Ok(judgements)
    }

    pub(super) async fn list_enabled(&self, query: ListQuery) -> Result<List, Status> {
        let (known, asked) = self.ask(query.tenant).await?;
        let Known::Facts(facts) = &known else { return Err(status::tenant_not_found()) };
        let catalogue = self.cache.catalogue(asked.now).await.map_err(status::store)?;
        // Where the tenant is not served, the list as a whole is a denial.
        let limit = if facts.tenant.status.denial().is_none() { self.ages.grant } else { self.ages.denial };
        let at = asked.instant();
        let advice = self.advise_within(limit, &known, next_change(facts, at), asked);
        Ok(List { facts: Arc::clone(facts), catalogue, at, include_upcoming: query.include_upcoming, advice })
    }

    /// Finds out what is known of the tenant that a query names.
    async fn ask(&self, query: TenantQuery) -> Result<(Known, Asked), Status> {
        let now = self.clock.now();
        let known = match query.min_revision {
            0 => self.cache.get(query.tenant, now).await,
            _ => Box::pin(self.cache.get_past(query.tenant, now)).await,
        };
        Ok((known.map_err(status::store)?, Asked { now, at: query.at }))
    }

    /// Decides about one module, and gathers what is said about the decision.
    pub(super) async fn judge<'a>(
        &self,
        known: &Known,
        module: &'a str,
        asked: Asked,
    ) -> Result<Judgement<'a>, Status> {
        match check_facts(known.facts(), module, asked.instant()) {
            Some(decision) => Ok(self.judgement(known, module, decision, None, asked)),
            None => {
                let catalogue = Box::pin(self.cache.catalogue_for(module, asked.now)).await.map_err(status::store)?;
                let decision = check(known.facts(), &catalogue, module, asked.instant());
                Ok(self.judgement(known, module, decision, Some(&catalogue), asked))
            }
        }
    }

    /// All that is said about a decision. The catalogue is needed where it had the word.
    pub(super) fn judgement<'a>(
        &self,
        known: &Known,
        module: &'a str,
        decision: Decision,
        catalogue: Option<&Catalogue>,
        asked: Asked,
    ) -> Judgement<'a> {
        if !decision.allowed() {
            tracing::debug!(module, reason = ?decision.reason, "denied {module:?}: {:?}", decision.reason);
        }
        let plans = catalogue.filter(|_| decision.reason == Reason::NotSubscribed);
        let plan_slugs = plans.map(|plans| plans.plans_with(module).map(|plan| plan.slug.clone()).collect());
        Judgement {
            module,
            decision,
            plan_slugs: plan_slugs.unwrap_or_default(),
            advice: self.advise(known, decision, asked),
        }
    }
}
