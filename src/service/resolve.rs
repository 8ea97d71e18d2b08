//! ResolveTenant and Authorize.

use chrono::{DateTime, Utc};
use tonic::Status;

use super::{
    Api,
    advice::{Advice, Asked},
    check::Judgement,
    status,
};
use crate::{
    cache::Known,
    domain::{
        Facts, TenantId,
        resolve::{NamedIds, TenantSource, resolve},
    },
};

/// What a request carries that may name a tenant.
#[derive(Clone, Copy)]
pub(super) struct Carried<'a> {
    pub(super) tenant_id: Option<TenantId>,
    pub(super) host: Option<&'a str>,
    pub(super) bearer_token: Option<&'a str>,
}

/// The same, and the modules of which one is enough.
pub(super) struct AuthorizeQuery<'a> {
    pub(super) carried: Carried<'a>,
    pub(super) any_of: &'a [String],
}

/// The tenant that a request belongs to.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) facts: Facts,
    pub(super) source: TenantSource,
    pub(super) advice: Advice,
    known: Known,
    asked: Asked,
}

impl Resolved {
    /// Does a verified token name this tenant?
    pub(super) fn verified(&self) -> bool {
        self.source == TenantSource::BearerToken
    }
}

/// The tenant, and what it may do.
#[derive(Debug)]
pub(super) struct Authorized<'a> {
    pub(super) resolved: Resolved,
    pub(super) judgement: Judgement<'a>,
    /// For the whole answer.
    pub(super) advice: Advice,
}

impl Api {
    /// Reads what names a tenant, looks it up, and settles on one.
    pub(super) async fn resolve(&self, carried: Carried<'_>) -> Result<Resolved, Status> {
        let asked = self.asked(None);
        let now = asked.now;
        let vouched = match carried.bearer_token {
            Some(token) => Some(self.tokens.verify(token, now).map_err(|error| status::token_invalid(&error))?),
            None => None,
        };
        let by_token = vouched.and_then(|vouched| vouched.tenant);
        let named = NamedIds { by_token, by_id: carried.tenant_id }.agreed().map_err(status::unresolved)?;
        let by_id = match named {
            Some((id, source)) => Some((self.cache.get(id, now).await.map_err(status::store)?, source)),
            None => None,
        };
        let by_host = self.known_by_host(carried.host, now).await?;
        let stale =
            by_id.as_ref().is_some_and(|(known, _)| known.stale) || by_host.as_ref().is_some_and(|known| known.stale);
        let by_id = by_id.map(|(known, source)| (known.facts, source));
        let (facts, source) = resolve(by_id, by_host.map(|known| known.facts)).map_err(status::unresolved)?;

        // A token that has expired is refused, whether or not it is what names the tenant.
        let valid_until = vouched.map(|vouched| vouched.expires_at);
        let known = Known { stale, ..Known::found(facts.clone()) };
        let advice = self.basis_of(&known).advise(self.ages.grant, valid_until, asked);
        Ok(Resolved { facts, source, advice, known, asked })
    }

    pub(super) async fn authorize<'a>(&self, query: AuthorizeQuery<'a>) -> Result<Authorized<'a>, Status> {
        let resolved = self.resolve(query.carried).await?;
        let known = resolved.known.clone();
        let mut first_denial = None;
        // Where all are denied, the answer changes as soon as one of them does.
        let mut advice = resolved.advice;
        for module in query.any_of {
            let judgement = self.judge(&known, module, resolved.asked).await?;
            if judgement.decision.allowed() {
                let advice = resolved.advice.and(judgement.advice);
                return Ok(Authorized { advice, resolved, judgement: self.given(judgement) });
            }
            advice = advice.and(judgement.advice);
            first_denial.get_or_insert(judgement);
        }
        let judgement = first_denial.ok_or_else(status::no_modules)?;
        Ok(Authorized { resolved, judgement: self.given(judgement), advice })
    }

    /// `None` where the host names no tenant, known or unknown.
    async fn known_by_host(&self, host: Option<&str>, now: DateTime<Utc>) -> Result<Option<Known>, Status> {
        let Some(label) = host.and_then(|host| self.hosts.label_of(host)) else { return Ok(None) };
        self.cache.get_by_label(&label, now).await.map(Some).map_err(status::store)
    }
}
