//! IssueLease: what a tenant may use, signed, for places without a connection.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Api,
    cache_hint::{AskedTime, CacheHint, Provenance},
    check::{Judgement, TenantQuery},
    error::RequestError,
    feature::{FeatureJudgement, Named, explains},
};
use crate::{
    cache::LoadError,
    domain::{Decision, Facts, LeaseTerm, check_facts, enabled::next_change, resolve::Unresolved},
    security::{
        lease_claims::{LeaseAsked, LeaseClaims, LeaseSubject},
        lease_keys::LeaseIssuer,
    },
};

/// What to sign.
#[derive(Debug)]
pub(super) struct SignedLeaseQuery<'a> {
    pub(super) tenant: TenantQuery<'a>,
    /// Empty, without features too: all that the tenant may use.
    pub(super) modules: Vec<&'a str>,
    pub(super) features: Vec<Named<'a>>,
    /// `None`: as long as may be.
    pub(super) ttl: Option<TimeDelta>,
    /// Empty: for anybody.
    pub(super) audience: &'a str,
}

/// A lease, and what it says.
#[derive(Debug)]
pub(super) struct IssuedLease<'a> {
    pub(super) token: String,
    pub(super) term: LeaseTerm,
    pub(super) modules: Vec<LeasedModule>,
    pub(super) features: Vec<FeatureJudgement<'a>>,
    pub(super) hint: CacheHint,
}

/// A module that was asked for.
#[derive(Debug)]
pub(super) struct LeasedModule {
    pub(super) code: String,
    pub(super) decision: Decision,
    /// Until when the lease grants it; `None`: it does not.
    pub(super) until: Option<DateTime<Utc>>,
}

/// What was decided, before anybody knows for how long it can be signed.
struct Decided<'a> {
    modules: Vec<(String, Decision)>,
    features: Vec<FeatureJudgement<'a>>,
    hint: CacheHint,
    /// Until when what it rests on may be relied on; `None`: it is what the database says.
    relied_on_until: Option<DateTime<Utc>>,
}

impl Api {
    pub(super) async fn issue_lease<'a>(
        &self,
        query: SignedLeaseQuery<'a>,
    ) -> Result<IssuedLease<'a>, RequestError> {
        let named = query.features.iter().map(|named| named.module);
        self.permit(query.tenant, query.modules.iter().copied().chain(named))?;
        let issuer = self.lease_issuer.as_deref().ok_or(RequestError::LeasesOff)?;
        let asked = self.asked(None);
        let known = self.ask(query.tenant, asked).await?;
        let Some(facts) = &known.facts else { return Err(Unresolved::NotFound.into()) };
        if let Some(reason) = facts.status().denial() {
            self.record_lease_refusal(query.tenant, reason, facts.revision);
            return Err(Unresolved::NotServed(reason).into());
        }
        let decided = self.decide_lease(&query, facts, self.provenance_of(&known), asked).await?;
        let term = LeaseTerm::new(asked.now, query.ttl, issuer.longest, decided.relied_on_until)
            .ok_or(RequestError::LeaseTooStale)?;
        let issued = sign(issuer, &query, facts, decided, term)?;
        self.record_lease(query.tenant, &issued);
        Ok(issued)
    }

    async fn decide_lease<'a>(
        &self,
        query: &SignedLeaseQuery<'a>,
        facts: &Facts,
        provenance: Provenance,
        asked: AskedTime,
    ) -> Result<Decided<'a>, LoadError> {
        let mut relied_on_until = self.cache.bearable_until(self.cache.were_so_at(facts));
        let changes = is_all(query).then(|| next_change(facts, asked.now)).flatten();
        let mut hint = provenance.cache_hint(self.ages.grant, changes, asked);
        let mut modules = Vec::new();
        for code in codes(query, facts, asked.now) {
            let Judgement { decision, hint: of_it, .. } =
                self.judge(Some(facts), provenance, code, asked).await?;
            hint = hint.and(of_it);
            modules.push((code.to_owned(), decision));
        }
        let mut features = Vec::new();
        if !query.features.is_empty() {
            let knows = |catalogue: &_| explains(catalogue, Some(facts), &query.features);
            let (catalogue, provenance) =
                self.catalogue_beside(Some(facts), provenance, knows, asked.now).await?;
            let was_so_at = self.cache.catalogue_was_so_at(&catalogue);
            relied_on_until = relied_on_until.min(self.cache.bearable_until(was_so_at));
            for named in query.features.iter().copied() {
                let judged =
                    self.feature_judgement(Some(facts), &catalogue, provenance, named, asked);
                hint = hint.and(judged.hint);
                features.push(judged);
            }
        }
        let relied_on_until = hint.stale.then_some(relied_on_until);
        Ok(Decided { modules, features, hint, relied_on_until })
    }
}

/// Is everything asked for?
fn is_all(query: &SignedLeaseQuery<'_>) -> bool {
    query.modules.is_empty() && query.features.is_empty()
}

/// The modules that are asked for, each once. Of all modules, those that are allowed now.
fn codes<'a>(query: &SignedLeaseQuery<'a>, facts: &'a Facts, now: DateTime<Utc>) -> Vec<&'a str> {
    if is_all(query) {
        let rows = facts.by_module().filter_map(|rows| rows.first());
        let codes = rows.map(|row| row.module.as_str());
        let is_granted = |code: &&str| {
            query.tenant.caller.may_ask_of(code)
                && check_facts(Some(facts), code, now).is_some_and(Decision::allowed)
        };
        return codes.filter(is_granted).collect();
    }
    let mut seen = HashSet::new();
    let of_features = query.features.iter().map(|named| named.module);
    query.modules.iter().copied().chain(of_features).filter(|code| seen.insert(*code)).collect()
}

/// Which modules the lease says something about.
fn asked_for<'a>(query: &'a SignedLeaseQuery<'_>, modules: &'a [LeasedModule]) -> LeaseAsked<'a> {
    if !is_all(query) {
        return LeaseAsked::These(modules.iter().map(|module| module.code.as_str()).collect());
    }
    // Of what its caller may not ask about, it says nothing.
    query.tenant.caller.modules().map_or(LeaseAsked::All, LeaseAsked::These)
}

fn sign<'a>(
    issuer: &LeaseIssuer,
    query: &SignedLeaseQuery<'_>,
    facts: &Facts,
    decided: Decided<'a>,
    term: LeaseTerm,
) -> Result<IssuedLease<'a>, RequestError> {
    let Decided { modules, features, hint, relied_on_until: _ } = decided;
    let leased = |(code, decision)| {
        let until = term.grants_until(decision);
        LeasedModule { code, decision, until }
    };
    let modules: Vec<LeasedModule> = modules.into_iter().map(leased).collect();
    let subject = LeaseSubject {
        issuer: &issuer.name,
        tenant: facts.tenant.id,
        audience: query.audience,
        revision: facts.revision,
        as_of: facts.as_of,
    };
    let mut claims = LeaseClaims::new(subject, term, asked_for(query, &modules));
    for LeasedModule { code, until, .. } in &modules {
        if let Some(until) = until {
            claims.grant(code, *until);
        }
    }
    for FeatureJudgement { named, is_on, value, .. } in &features {
        claims.add_feature(named.module, named.key, *is_on, value.as_ref());
    }
    let token = issuer.keys().sign(&claims)?;
    Ok(IssuedLease { token, term, modules, features, hint })
}
