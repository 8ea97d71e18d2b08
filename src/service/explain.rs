//! ExplainModule: why a customer is locked out.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Api, cache_hint::AskedTime, caller::CallerIdentity, check::Judgement, error::RequestError,
};
use crate::{
    cache::{Known, LoadError, Requester},
    domain::{Catalogue, check, decision::deciding_subscription},
    store::{Evidence, LoadTenant, Reading, TenantKey},
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

impl Api {
    pub(super) async fn explain<'a>(
        &self,
        query: ExplainQuery<'a>,
    ) -> Result<Explanation<'a>, RequestError> {
        self.permit_modules(query.caller, [query.module].into_iter())?;
        let asked = self.asked(query.at);
        let (reading, catalogue) =
            self.read_past_the_cache(&query.tenant, query.caller.requester(), asked.now).await?;
        let Reading { revision, evidence } = reading;
        let facts = evidence.as_ref().map(|evidence| &evidence.facts);
        self.permit_tenant(query.caller, facts.map(|facts| facts.tenant.id))?;
        let at = asked.instant();
        let decision = check(facts, &catalogue, query.module, at);
        let deciding = facts.and_then(|facts| {
            deciding_subscription(facts, catalogue.code_of_now(query.module), decision, at)
        });
        let known =
            facts.map_or(Known::absent(revision, asked.now), |facts| Known::found(facts.clone()));
        let judgement = self.judgement(
            self.provenance_of(&known),
            query.module,
            decision,
            Some(&catalogue),
            asked,
        );
        let cached =
            self.cached_answer(&query, facts.map(|facts| facts.tenant.id.uuid()), asked).await?;
        Ok(Explanation { at, evidence, catalogue, deciding, judgement, cached })
    }

    async fn read_past_the_cache(
        &self,
        tenant: &TenantKey,
        requester: Requester,
        now: DateTime<Utc>,
    ) -> Result<(Reading, Catalogue), LoadError> {
        let (store, tenant) = (Arc::clone(&self.store), tenant.clone());
        let reading = async move {
            let reading = store.read(&tenant, now).await?;
            Ok((reading, store.load_catalogue(now).await?.value))
        };
        self.cache.bypass(requester, reading).await
    }

    async fn cached_answer<'a>(
        &self,
        query: &ExplainQuery<'a>,
        found: Option<Uuid>,
        asked: AskedTime,
    ) -> Result<Option<Judgement<'a>>, LoadError> {
        let id = match (&query.tenant, found) {
            (_, Some(id)) => id.into(),
            (TenantKey::Id(id), None) => *id,
            (TenantKey::Subdomain(_), None) => return Ok(None),
        };
        let Some(known) = self.cache.held(id, asked.now) else { return Ok(None) };
        let (facts, provenance) = (known.facts.as_ref(), self.provenance_of(&known));
        self.judge(facts, provenance, query.module, asked).await.map(Some)
    }
}
