//! ExplainFeature.

use chrono::{DateTime, Utc};

use super::Found;
use crate::{
    domain::Catalogue,
    service::{
        Api,
        caller::CallerIdentity,
        check::Judgement,
        error::RequestError,
        feature::{FeatureJudgement, Named},
    },
    store::{Evidence, FlagEvidence, TenantKey},
};

/// A question about one feature of one tenant, by a person.
#[derive(Debug)]
pub(in crate::service) struct FeatureWhy<'a> {
    pub(in crate::service) caller: CallerIdentity<'a>,
    pub(in crate::service) tenant: TenantKey,
    pub(in crate::service) named: Named<'a>,
    /// `None`: now.
    pub(in crate::service) at: Option<DateTime<Utc>>,
}

/// The decision, and everything that it rests on.
#[derive(Debug)]
pub(in crate::service) struct FeatureExplanation<'a> {
    pub(in crate::service) at: DateTime<Utc>,
    /// The tenant's rows; `None`: there are none.
    pub(in crate::service) evidence: Option<Evidence>,
    pub(in crate::service) catalogue: Catalogue,
    pub(in crate::service) module: Judgement<'a>,
    pub(in crate::service) judgement: FeatureJudgement<'a>,
    /// What a check would have answered from memory; `None`: the tenant is not held.
    pub(in crate::service) cached: Option<FeatureJudgement<'a>>,
}

impl Api {
    pub(in crate::service) async fn explain_feature<'a>(
        &self,
        query: FeatureWhy<'a>,
    ) -> Result<FeatureExplanation<'a>, RequestError> {
        let named = query.named;
        self.permit_modules(query.caller, std::iter::once(named.module))?;
        let asked = self.asked(query.at);
        let found = self.read_past_the_cache(query.caller, &query.tenant, asked.now).await?;
        let provenance = self.provenance_of(&found.known);
        let (facts, catalogue) = (found.known.facts.as_ref(), &found.catalogue);
        let judgement = self.feature_judgement(facts, catalogue, provenance, named, asked);
        let module =
            self.judgement(provenance, named.module, judgement.module, Some(catalogue), asked);
        let cached = match self.held_of(&query.tenant, &found, asked.now) {
            Some(held) => {
                let (facts, provenance) = (held.facts.as_ref(), self.provenance_of(&held));
                Some(self.judge_feature(facts, provenance, named, asked).await?)
            }
            None => None,
        };
        let Found { mut evidence, catalogue, .. } = found;
        if let Some(evidence) = &mut evidence {
            // The key may be another module's too, about which this caller may not ask.
            let may_see = |flag: &FlagEvidence| {
                [flag.row.name.parts().0, &flag.module_code]
                    .map(|code| query.caller.may_ask_of(code))
                    == [true, true]
            };
            evidence.own.flags.retain(may_see);
        }
        let at = asked.instant();
        Ok(FeatureExplanation { at, evidence, catalogue, module, judgement, cached })
    }
}
