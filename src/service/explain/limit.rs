//! ExplainLimit.

use chrono::{DateTime, Utc};

use super::Found;
use crate::{
    domain::Catalogue,
    service::{
        Api,
        caller::CallerIdentity,
        error::RequestError,
        limit::{LimitJudgement, NamedLimit},
    },
    store::{Evidence, TenantKey},
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
        Ok(LimitExplanation { at: asked.instant(), evidence, catalogue, judgement, cached })
    }
}
