//! ExplainModule, ExplainFeature and ExplainLimit: why a customer is locked out.

mod feature;
mod limit;

use std::sync::Arc;

use chrono::{DateTime, Utc};

pub(super) use self::{
    feature::{FeatureExplanation, FeatureWhy},
    limit::{LimitExplanation, LimitWhy, UsageEvidence},
};
use super::{Api, caller::CallerIdentity, check::Judgement, error::RequestError};
use crate::{
    cache::Known,
    domain::{Catalogue, check, decision::deciding_subscription},
    store::{Evidence, Reading, TenantKey},
};

/// A question about one module of one tenant, by a person.
#[derive(Debug)]
pub(super) struct ExplainQuery<'a> {
    pub(super) caller: CallerIdentity<'a>,
    pub(super) tenant: TenantKey,
    pub(super) module: &'a str,
    /// `None`: now.
    pub(super) at: Option<DateTime<Utc>>,
}

/// The decision, and everything that it rests on.
#[derive(Debug)]
pub(super) struct Explanation<'a> {
    pub(super) at: DateTime<Utc>,
    /// The tenant's rows; `None`: there are none.
    pub(super) evidence: Option<Evidence>,
    pub(super) catalogue: Catalogue,
    /// The index, among the subscriptions to the module, of the one that gave the decision its
    /// reason.
    pub(super) deciding: Option<usize>,
    pub(super) judgement: Judgement<'a>,
    /// What a check would have answered from memory; `None`: the tenant is not held.
    pub(super) cached: Option<Judgement<'a>>,
}

/// What the database says, past the cache.
struct Found {
    evidence: Option<Evidence>,
    catalogue: Catalogue,
    known: Known,
}

impl Api {
    pub(super) async fn explain<'a>(
        &self,
        query: ExplainQuery<'a>,
    ) -> Result<Explanation<'a>, RequestError> {
        self.permit_modules(query.caller, [query.module].into_iter())?;
        let asked = self.asked(query.at);
        let found = self.read_past_the_cache(query.caller, &query.tenant, asked.now).await?;
        let (facts, catalogue, at) =
            (found.known.facts.as_ref(), &found.catalogue, asked.instant());
        let decision = check(facts, catalogue, query.module, at);
        let deciding = facts.and_then(|facts| {
            deciding_subscription(facts, catalogue.code_of_now(query.module), decision, at)
        });
        let provenance = self.provenance_of(&found.known);
        let judgement = self.judgement(provenance, query.module, decision, Some(catalogue), asked);
        let cached = match self.held_of(&query.tenant, &found, asked.now) {
            Some(held) => {
                let (facts, provenance) = (held.facts.as_ref(), self.provenance_of(&held));
                Some(self.judge(facts, provenance, query.module, asked).await?)
            }
            None => None,
        };
        let Found { evidence, catalogue, .. } = found;
        Ok(Explanation { at, evidence, catalogue, deciding, judgement, cached })
    }

    /// The tenant's rows and the catalogue as the database has them, and what that makes known, if
    /// the caller may know it.
    async fn read_past_the_cache(
        &self,
        caller: CallerIdentity<'_>,
        tenant: &TenantKey,
        now: DateTime<Utc>,
    ) -> Result<Found, RequestError> {
        let (store, tenant) = (Arc::clone(&self.database()?.store), tenant.clone());
        let reading = async move {
            let reading = store.read(&tenant, now).await?;
            Ok((reading, store.catalogue_of_primary(now).await?))
        };
        let (Reading { revision, evidence }, catalogue) =
            self.cache.bypass(caller.requester(), reading).await?;
        let facts = evidence.as_ref().map(|evidence| &evidence.facts);
        self.permit_tenant(caller, facts.map(|facts| facts.tenant.id))?;
        let known = facts.map_or(Known::absent(revision, now), |facts| Known::found(facts.clone()));
        Ok(Found { evidence, catalogue, known })
    }

    /// What is held of a tenant, if anything is.
    fn held_of(&self, tenant: &TenantKey, found: &Found, now: DateTime<Utc>) -> Option<Known> {
        let found = found.known.facts.as_ref().map(|facts| facts.tenant.id);
        let id = match (tenant, found) {
            (_, Some(id)) => id,
            (TenantKey::Id(id), None) => *id,
            (TenantKey::Subdomain(_), None) => return None,
        };
        self.cache.held(id, now)
    }
}
