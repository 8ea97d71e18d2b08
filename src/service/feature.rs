//! CheckFeature and BatchCheckFeatures.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    Api,
    cache_hint::{AskedTime, CacheHint, Provenance},
    check::TenantQuery,
    error::RequestError,
    trace::record_words,
};
use crate::{
    cache::LoadError,
    domain::{Catalogue, Decision, Facts, FeatureReason, FeatureState, Setting, check_feature},
};

/// A feature, as a request names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) module: &'a str,
    pub(super) key: &'a str,
}

/// A question about one feature of a tenant.
#[derive(Clone, Copy, Debug)]
pub(super) struct FeatureQuery<'a> {
    pub(super) tenant: TenantQuery<'a>,
    pub(super) named: Named<'a>,
}

/// A question about several features.
#[derive(Debug)]
pub(super) struct FeatureBatchQuery<'a> {
    pub(super) tenant: TenantQuery<'a>,
    pub(super) all: Vec<Named<'a>>,
}

/// The answer for one feature, with everything that is reported about it.
#[derive(Debug)]
pub(super) struct FeatureJudgement<'a> {
    pub(super) named: Named<'a>,
    pub(super) is_on: bool,
    pub(super) reason: FeatureReason,
    pub(super) value: Option<Setting>,
    pub(super) plan_slugs: Vec<String>,
    pub(super) module: Decision,
    pub(super) hint: CacheHint,
}

impl FeatureJudgement<'_> {
    /// A sentence for people; empty where it is on.
    pub(super) fn message(&self) -> String {
        let Named { module, key } = self.named;
        if self.is_on {
            String::new()
        } else {
            self.reason.message(self.module.reason, module, key)
        }
    }
}

impl Api {
    pub(super) async fn check_feature<'a>(
        &self,
        query: FeatureQuery<'a>,
    ) -> Result<FeatureJudgement<'a>, RequestError> {
        self.permit(query.tenant, std::iter::once(query.named.module))?;
        let asked = self.asked(query.tenant.at);
        let held =
            if query.tenant.min_revision == 0 { self.peek_feature(query, asked) } else { None };
        let judgement = match held {
            Some(judgement) => judgement,
            // Boxed, so that the future of an answer from memory stays small.
            None => Box::pin(self.check_feature_at_length(query, asked)).await?,
        };
        self.metrics.feature_decisions.add(judgement.reason);
        self.record_feature("CheckFeature", query.tenant, &judgement);
        Ok(judgement)
    }

    /// The answer, if the facts and the catalogue are held.
    fn peek_feature<'a>(
        &self,
        query: FeatureQuery<'a>,
        asked: AskedTime,
    ) -> Option<FeatureJudgement<'a>> {
        let judge = |facts: &Facts, catalogue: &Catalogue| {
            // Judged first: subscriptions and tenant are two places in memory, which the processor fetches
            // at the same time only if the questions to them come soon one after the other.
            let provenance = self.provenance(facts);
            let judgement =
                self.feature_judgement(Some(facts), catalogue, provenance, query.named, asked);
            explains(catalogue, Some(facts), &[query.named]).then_some(judgement)
        };
        self.cache.peek_with_catalogue(query.tenant.tenant, asked.now, judge)
    }

    async fn check_feature_at_length<'a>(
        &self,
        query: FeatureQuery<'a>,
        asked: AskedTime,
    ) -> Result<FeatureJudgement<'a>, RequestError> {
        let known = self.ask(query.tenant, asked).await?;
        let (facts, provenance) = (known.facts.as_ref(), self.provenance_of(&known));
        Ok(self.judge_feature(facts, provenance, query.named, asked).await?)
    }

    /// Decides about one feature.
    pub(super) async fn judge_feature<'a>(
        &self,
        facts: Option<&Facts>,
        provenance: Provenance,
        named: Named<'a>,
        asked: AskedTime,
    ) -> Result<FeatureJudgement<'a>, LoadError> {
        let knows = |catalogue: &Catalogue| explains(catalogue, facts, &[named]);
        let (catalogue, provenance) =
            self.catalogue_beside(facts, provenance, knows, asked.now).await?;
        Ok(self.feature_judgement(facts, &catalogue, provenance, named, asked))
    }

    /// The catalogue for an answer that rests on it as well as on facts, and what that answer rests
    /// on. It is marked as stale also if the catalogue could not be read anew, or is older than the
    /// plan that the facts name.
    pub(super) async fn catalogue_beside(
        &self,
        facts: Option<&Facts>,
        provenance: Provenance,
        knows: impl Fn(&Catalogue) -> bool,
        now: DateTime<Utc>,
    ) -> Result<(Arc<Catalogue>, Provenance), LoadError> {
        let catalogue = self.cache.catalogue_that(knows, now).await?;
        let current = self.cache.current_catalogue(now);
        let is_current = current.is_some_and(|current| Arc::ptr_eq(&current, &catalogue));
        let is_old = !is_current || !knows_plan(&catalogue, facts);
        Ok((catalogue, provenance.or_stale(is_old)))
    }

    pub(super) async fn batch_check_features<'a>(
        &self,
        query: FeatureBatchQuery<'a>,
    ) -> Result<Vec<FeatureJudgement<'a>>, RequestError> {
        self.permit(query.tenant, query.all.iter().map(|named| named.module))?;
        let asked = self.asked(query.tenant.at);
        let known = self.ask(query.tenant, asked).await?;
        let (facts, provenance) = (known.facts.as_ref(), self.provenance_of(&known));
        let knows = |catalogue: &Catalogue| explains(catalogue, facts, &query.all);
        let (catalogue, provenance) =
            self.catalogue_beside(facts, provenance, knows, asked.now).await?;
        let judge = |named| self.feature_judgement(facts, &catalogue, provenance, named, asked);
        let judgements: Vec<_> = query.all.iter().copied().map(judge).collect();
        let words = judgements.iter().map(|judgement| (judgement.is_on, judgement.reason.word()));
        record_words(words);
        for judgement in &judgements {
            self.metrics.feature_decisions.add(judgement.reason);
            self.log_feature("BatchCheckFeatures", query.tenant, judgement);
        }
        Ok(judgements)
    }

    /// Everything that is reported about a decision.
    pub(super) fn feature_judgement<'a>(
        &self,
        facts: Option<&Facts>,
        catalogue: &Catalogue,
        provenance: Provenance,
        named: Named<'a>,
        asked: AskedTime,
    ) -> FeatureJudgement<'a> {
        let Named { module, key } = named;
        let decided = check_feature(facts, catalogue, module, key, asked.instant());
        let FeatureState { is_on, reason, value } = decided.state;
        let own_plan = facts.and_then(|facts| facts.tenant.plan_slug.as_deref());
        let plan_slugs = catalogue.plans_for_feature(decided, own_plan, module, key);
        let limit = if is_on { self.ages.grant } else { self.ages.denial };
        FeatureJudgement {
            named,
            is_on,
            reason,
            value: value.cloned(),
            plan_slugs,
            module: decided.module,
            hint: provenance.and_catalogue(catalogue).cache_hint(
                limit,
                decided.module.valid_until,
                asked,
            ),
        }
    }
}

/// Does this catalogue know the modules that are named, and the tenant's plan? One that is older than
/// the facts may not.
pub(super) fn explains(catalogue: &Catalogue, facts: Option<&Facts>, all: &[Named<'_>]) -> bool {
    all.iter().all(|named| catalogue.module(named.module).is_some()) && knows_plan(catalogue, facts)
}

/// Does it know the tenant's plan, if the tenant has one?
pub(super) fn knows_plan(catalogue: &Catalogue, facts: Option<&Facts>) -> bool {
    let plan = facts.and_then(|facts| facts.tenant.plan_slug.as_deref());
    plan.is_none_or(|slug| catalogue.has_plan(slug))
}
