//! ResolveTenant and Authorize.

use chrono::{DateTime, Utc};

use super::{
    Api,
    cache_hint::{AskedTime, CacheHint, Provenance},
    caller::CallerIdentity,
    check::{Judgement, TenantQuery},
    error::{RequestError, Unidentified},
    feature::{FeatureJudgement, Named},
};
use crate::{
    cache::{Known, LoadError},
    domain::{
        Facts, TenantId,
        resolve::{NamedIds, TenantSource, resolve},
    },
    security::token::{InvalidToken, Vouched},
};

/// What a request carries that may name a tenant.
#[derive(Clone, Copy)]
pub(super) struct Carried<'a> {
    pub(super) caller: CallerIdentity<'a>,
    /// The tenant that a client's certificate identifies, as verified by a proxy.
    pub(super) by_certificate: Option<TenantId>,
    pub(super) tenant_id: Option<TenantId>,
    pub(super) host: Option<&'a str>,
    pub(super) bearer_token: Option<&'a str>,
}

/// What a request carries, modules of which one is enough, and the key of a feature that it must
/// have on.
pub(super) struct AuthorizeQuery<'a> {
    pub(super) carried: Carried<'a>,
    pub(super) any_of: &'a [String],
    pub(super) feature: Option<&'a str>,
}

/// The tenant that a request belongs to.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) facts: Facts,
    pub(super) source: TenantSource,
    pub(super) hint: CacheHint,
    provenance: Provenance,
    asked: AskedTime,
}

impl Resolved {
    /// Does a verified token, or a certificate, identify this tenant?
    pub(super) fn verified(&self) -> bool {
        matches!(self.source, TenantSource::BearerToken | TenantSource::Certificate)
    }
}

/// The tenant, and the decision about a module.
#[derive(Debug)]
pub(super) struct Authorized<'a> {
    pub(super) resolved: Resolved,
    pub(super) judgement: Judgement<'a>,
    /// About the same module; `None`: no feature was named.
    pub(super) feature: Option<FeatureJudgement<'a>>,
    /// For the answer as a whole.
    pub(super) hint: CacheHint,
}

impl Api {
    /// Reads what identifies a tenant, looks it up, and determines the one tenant.
    pub(super) async fn resolve(&self, carried: Carried<'_>) -> Result<Resolved, Unidentified> {
        let asked = self.asked(None);
        let vouched = self.vouched(carried, asked.now).await?;
        self.resolve_vouched(carried, vouched, asked).await
    }

    /// What the token proves, if there is one.
    pub(super) async fn vouched(
        &self,
        carried: Carried<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Vouched>, InvalidToken> {
        let Some(token) = carried.bearer_token else { return Ok(None) };
        self.tokens.verify(token, now).await.map(Some)
    }

    /// As [`Self::resolve`], once the token has been verified.
    pub(super) async fn resolve_vouched(
        &self,
        carried: Carried<'_>,
        vouched: Option<Vouched>,
        asked: AskedTime,
    ) -> Result<Resolved, Unidentified> {
        let now = asked.now;
        let by_token = vouched.and_then(|vouched| vouched.tenant);
        let named =
            NamedIds { by_token, by_certificate: carried.by_certificate, by_id: carried.tenant_id }
                .agreed()?;
        if let Some((id, _)) = named {
            self.permit_tenant(carried.caller, Some(id))?;
        }
        let by_id = match named {
            Some((id, source)) => Some((self.cache.get(id, now).await?, source)),
            None => None,
        };
        let by_host = self.known_by_host(carried.host, now).await?;
        if let Some(known) = &by_host {
            self.permit_tenant(carried.caller, known.facts.as_ref().map(|facts| facts.tenant.id))?;
        }
        let stale = by_id.as_ref().is_some_and(|(known, _)| known.stale)
            || by_host.as_ref().is_some_and(|known| known.stale);
        let by_id = by_id.map(|(known, source)| (known.facts, source));
        let (facts, source) = resolve(by_id, by_host.map(|known| known.facts))?;

        // A token that has expired is refused, whether or not it is what names the tenant.
        let valid_until = vouched.map(|vouched| vouched.expires_at);
        let provenance = self.provenance(&facts).or_stale(stale);
        let hint = provenance.cache_hint(self.ages.grant, valid_until, asked);
        Ok(Resolved { facts, source, hint, provenance, asked })
    }

    pub(super) async fn authorize<'a>(
        &self,
        query: AuthorizeQuery<'a>,
    ) -> Result<Authorized<'a>, RequestError> {
        let caller = query.carried.caller;
        self.permit_modules(caller, query.any_of.iter().map(String::as_str))?;
        let resolved = self.resolve(query.carried).await?;
        let modules = query.any_of.iter().map(String::as_str);
        let tenant = resolved.facts.tenant.id;
        if let Some(key) = query.feature {
            let judged = self.judge_any_with(&resolved, modules, key).await?;
            let (judgement, feature, hint) = judged.ok_or(RequestError::NoModules)?;
            let asked = TenantQuery { caller, tenant, min_revision: 0, at: None };
            self.record_feature("Authorize", asked, &feature);
            return Ok(Authorized { resolved, judgement, feature: Some(feature), hint });
        }
        let judged = self.judge_any(&resolved, modules).await?;
        let (judgement, hint) = judged.ok_or(RequestError::NoModules)?;
        self.record_decision("Authorize", caller, tenant, &judgement);
        Ok(Authorized { resolved, judgement, feature: None, hint })
    }

    /// The first of these modules that the tenant may use, or the first denial if it may use none,
    /// and the hint for the answer as a whole; `None` if no module is named.
    pub(super) async fn judge_any<'a>(
        &self,
        resolved: &Resolved,
        any_of: impl Iterator<Item = &'a str>,
    ) -> Result<Option<(Judgement<'a>, CacheHint)>, LoadError> {
        let mut first_denial = None;
        // If all are denied, the answer changes as soon as one of them does.
        let mut hint = resolved.hint;
        for module in any_of {
            let judgement = self
                .judge(Some(&resolved.facts), resolved.provenance, module, resolved.asked)
                .await?;
            if judgement.decision.allowed() {
                let hint = resolved.hint.and(judgement.hint);
                return Ok(Some((self.count_decision(judgement), hint)));
            }
            hint = hint.and(judgement.hint);
            first_denial.get_or_insert(judgement);
        }
        Ok(first_denial.map(|judgement| (self.count_decision(judgement), hint)))
    }

    /// The first of these modules that the tenant may use and that has a feature on; else the first
    /// that it may use; else the first denial. `None` if no module is named.
    pub(super) async fn judge_any_with<'a>(
        &self,
        resolved: &Resolved,
        any_of: impl Iterator<Item = &'a str>,
        key: &'a str,
    ) -> Result<Option<(Judgement<'a>, FeatureJudgement<'a>, CacheHint)>, LoadError> {
        let Resolved { facts, provenance, asked, .. } = resolved;
        let mut best: Option<((bool, bool), Judgement<'a>, FeatureJudgement<'a>)> = None;
        let mut whole = resolved.hint;
        for module in any_of {
            let named = Named { module, key };
            let judgement = self.judge(Some(facts), *provenance, module, *asked).await?;
            let feature = self.judge_feature(Some(facts), *provenance, named, *asked).await?;
            let hint = judgement.hint.and(feature.hint);
            whole = whole.and(hint);
            let rank = (feature.is_on, judgement.decision.allowed());
            if best.as_ref().is_none_or(|(before, ..)| *before < rank) {
                best = Some((rank, judgement, feature));
            }
            if rank.0 {
                // What the others come to does not matter any more.
                whole = resolved.hint.and(hint);
                break;
            }
        }
        Ok(best.map(|(_, judgement, feature)| {
            self.metrics.feature_decisions.add(feature.reason);
            (self.count_decision(judgement), feature, whole)
        }))
    }

    /// `None` if the host names no tenant, known or unknown.
    async fn known_by_host(
        &self,
        host: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Option<Known>, LoadError> {
        let Some(label) = host.and_then(|host| self.hosts.label_of(host)) else { return Ok(None) };
        self.cache.get_by_label(&label, now).await.map(Some)
    }
}
