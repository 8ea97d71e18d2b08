//! Requests that a proxy asks about: Envoy's external authorization, and forward auth over HTTP.
//!
//! Both come to an inquiry, and both answer with a ruling: what a request may do does not depend on
//! who asks.

mod decision;
mod live;
mod refusal;
mod refusal_kind;
mod tally;
mod unmapped;

use std::{borrow::Cow, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Api,
    cache_hint::AskedTime,
    caller::CallerIdentity,
    resolve::{Carried, Resolved},
    trace::trace_id,
};
use crate::{
    domain::{ModuleCode, TenantId},
    routes::{Access, Rule, TokenUse, check_method},
    security::bearer::bearer,
};
pub(super) use decision::{AuthzDecision, TRUSTED, Verdict, VerdictKind};
pub(crate) use live::LiveRoutes;
pub(super) use refusal::Refusal;
use refusal_kind::{Obstacle, RefusalKind};
use tally::Outcome;
pub(super) use tally::{GatewayTally, ProxyProtocol};
pub(crate) use unmapped::UnmappedPaths;

/// What becomes of a request that no rule is about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Unmatched {
    /// It is refused.
    #[default]
    Deny,
    /// It needs a tenant that is served.
    Tenant,
    /// It passes.
    Allow,
}

/// How proxies are answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatewaySettings {
    /// What becomes of a request that no rule is about.
    pub unmatched: Unmatched,
    /// Only what is vouched for names a tenant, except where a rule ignores the token.
    pub require_verified: bool,
    /// False: what would be refused passes, and says so.
    pub enforce: bool,
    /// The header by which a client names its tenant, in small letters, as Envoy passes it on.
    pub tenant_header: String,
}

/// What requests need, and how proxies are answered. By default nothing passes.
#[derive(Debug, Default)]
pub(crate) struct Gateway {
    /// The route map.
    pub routes: LiveRoutes,
    /// The paths that it lacks, for the decision log.
    pub unmapped: UnmappedPaths,
    /// The rest.
    pub settings: GatewaySettings,
}

/// A request that a proxy asks about, with the headers that matter. A header that is empty is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AuthzRequest<'a> {
    /// The proxy.
    pub(super) caller: CallerIdentity<'a>,
    /// The tenant that the client's certificate names.
    pub(super) by_certificate: Option<TenantId>,
    pub(super) method: &'a str,
    /// Path and query, as sent.
    pub(super) target: &'a str,
    pub(super) host: Option<&'a str>,
    /// The header in which the proxy passes on what the client says of its tenant.
    pub(super) tenant_header: &'a str,
    /// That header. What came in several is one list (RFC 9110, section 5.3).
    pub(super) tenant_id: Option<&'a str>,
    /// A list too, where several came.
    pub(super) authorization: Option<&'a str>,
    /// Its id, if the proxy reports one that is suitable for a log. Otherwise the proxy's own
    /// request has one.
    pub(super) request_id: Option<&'a str>,
    /// Its trace, as the proxy reports it.
    pub(super) traceparent: Option<&'a str>,
    /// A browser asks whether it may send a request: it has `origin` and
    /// `access-control-request-method`.
    pub(super) is_preflight: bool,
    /// Why there is nothing to judge: the proxy may not ask, or does not say what about.
    pub(super) obstacle: Option<&'a Refusal>,
}

/// What is known of a request while it is judged.
#[derive(Default)]
struct Judged {
    rule: Option<Arc<Rule>>,
    is_unmapped: bool,
    tenant: Option<Resolved>,
    module: Option<ModuleCode>,
}

impl Api {
    /// Rules on a request, and counts it. What takes longer than `limit` is given up.
    pub(super) async fn decide_http(
        &self,
        proxy: ProxyProtocol,
        authz_request: AuthzRequest<'_>,
        limit: Option<Duration>,
    ) -> AuthzDecision {
        let mut judged = Judged::default();
        let evaluating = self.evaluate(authz_request, &mut judged);
        let verdict = match limit {
            None => evaluating.await,
            Some(limit) => {
                timeout(limit, evaluating).await.unwrap_or_else(|_| Err(Refusal::too_late()))
            }
        };
        let Judged { rule, is_unmapped, tenant, module } = judged;
        let enforce =
            self.gateway.settings.enforce && rule.as_ref().is_none_or(|rule| rule.enforce);
        let refuse = if enforce { Verdict::Refused } else { Verdict::WouldDeny };
        let verdict = verdict.unwrap_or_else(refuse);
        let authz_decision = AuthzDecision { verdict, rule, is_unmapped, tenant, module };
        self.metrics.gateway_requests.add(proxy, authz_decision.outcome());
        authz_decision.log(authz_request);
        self.record_authz_decision(authz_request, &authz_decision);
        authz_decision
    }

    async fn evaluate(
        &self,
        authz_request: AuthzRequest<'_>,
        judged: &mut Judged,
    ) -> Result<Verdict, Refusal> {
        if let Some(refusal) = authz_request.obstacle {
            return Err(refusal.clone());
        }
        // Even where nothing is enforced: which rule it would be about is anybody's guess.
        if let Err(refused) = check_method(authz_request.method) {
            return Ok(Verdict::Refused(Refusal::method(refused)));
        }
        let asked = self.asked(None);
        // Without the catalogue, what needs a module could pass for public.
        let catalogue = self.cache.catalogue(asked.now).await.map_err(Refusal::load)?;
        let routes = self.gateway.routes.current(&catalogue);
        let rule =
            routes.find(authz_request.method, authz_request.target).map_err(Refusal::path)?;
        judged.rule.clone_from(&rule);
        let rule = rule.as_ref();
        if authz_request.is_preflight_of(rule) {
            return Ok(Verdict::Public);
        }
        judged.is_unmapped = rule.is_none();
        let access = match (rule, self.gateway.settings.unmatched) {
            (Some(rule), _) => &rule.access,
            (None, Unmatched::Deny) => return Err(Refusal::not_mapped()),
            (None, Unmatched::Tenant) => &Access::Tenant,
            (None, Unmatched::Allow) => &Access::Public,
        };
        match access {
            Access::Public => Ok(Verdict::Public),
            // Whoever is not named, or not served, or cannot be looked up, is as nobody here.
            Access::PublicWithTenant => {
                judged.tenant = self.identify(authz_request, rule, asked).await.ok();
                Ok(Verdict::Public)
            }
            Access::Callers(callers) => {
                let caller = authz_request.caller.name();
                let is_one = !caller.is_empty() && callers.iter().any(|name| name == caller);
                if is_one { Ok(Verdict::Granted) } else { Err(Refusal::closed()) }
            }
            Access::Tenant => {
                judged.tenant = Some(self.identify(authz_request, rule, asked).await?);
                Ok(Verdict::Granted)
            }
            Access::AnyOf(modules) => {
                let codes = modules.iter().map(ModuleCode::as_str);
                let permitted = self.permit_modules(authz_request.caller, codes);
                permitted.map_err(Refusal::not_admitted)?;
                let resolved = self.identify(authz_request, rule, asked).await?;
                let resolved = judged.tenant.insert(resolved);
                match rule.and_then(|rule| rule.feature.as_deref()) {
                    None => self.evaluate_modules(resolved, modules, &mut judged.module).await,
                    Some(key) => {
                        // Boxed, so that routes without a feature do not carry its future.
                        let decided = &mut judged.module;
                        Box::pin(self.evaluate_feature(resolved, modules, key, decided)).await
                    }
                }
            }
        }
    }

    /// The tenant of a request.
    async fn identify(
        &self,
        authz_request: AuthzRequest<'_>,
        rule: Option<&Arc<Rule>>,
        asked: AskedTime,
    ) -> Result<Resolved, Refusal> {
        let ignores_token = rule.is_some_and(|rule| rule.token == TokenUse::Ignore);
        let carried = authz_request.carried(ignores_token)?;
        let vouched = self
            .vouched(carried, asked.now)
            .await
            .map_err(|error| Refusal::unidentified(error.into()))?;
        // Who logs in has no token yet: a rule that ignores tokens makes an exception of itself.
        let must_be_verified = self.gateway.settings.require_verified && !ignores_token
            || rule.is_some_and(|rule| rule.verified);
        let by_token = vouched.and_then(|vouched| vouched.tenant);
        if must_be_verified && by_token.or(carried.by_certificate).is_none() {
            return Err(Refusal::not_verified());
        }
        self.resolve_vouched(carried, vouched, asked).await.map_err(Refusal::unidentified)
    }

    /// May this tenant use one of these modules? `decided` becomes the one that gave the word.
    async fn evaluate_modules(
        &self,
        resolved: &Resolved,
        modules: &[ModuleCode],
        decided: &mut Option<ModuleCode>,
    ) -> Result<Verdict, Refusal> {
        let codes = modules.iter().map(ModuleCode::as_str);
        let (judgement, _) = self.judge_any(resolved, codes).await.map_err(Refusal::load)?.unzip();
        let Some(judgement) = judgement else { return Err(Refusal::not_mapped()) };
        *decided = modules.iter().find(|module| module.as_str() == judgement.module).cloned();
        if judgement.decision.allowed() {
            Ok(Verdict::Granted)
        } else {
            Err(Refusal::denied(judgement))
        }
    }

    /// The same, where one of these modules must have a feature on as well.
    async fn evaluate_feature(
        &self,
        resolved: &Resolved,
        modules: &[ModuleCode],
        key: &str,
        decided: &mut Option<ModuleCode>,
    ) -> Result<Verdict, Refusal> {
        let codes = modules.iter().map(ModuleCode::as_str);
        let judged = self.judge_any_with(resolved, codes, key).await.map_err(Refusal::load)?;
        let Some((_, feature, _)) = judged else { return Err(Refusal::not_mapped()) };
        *decided = modules.iter().find(|module| module.as_str() == feature.named.module).cloned();
        if feature.is_on { Ok(Verdict::Granted) } else { Err(Refusal::feature_off(feature)) }
    }
}

impl<'a> AuthzRequest<'a> {
    /// Browsers send no credentials with it, and whoever answers it tells nothing. A rule that
    /// names OPTIONS is about more.
    fn is_preflight_of(&self, rule: Option<&Arc<Rule>>) -> bool {
        let is_meant =
            rule.is_some_and(|rule| rule.methods.iter().any(|method| method == "OPTIONS"));
        self.is_preflight && self.method == "OPTIONS" && !is_meant
    }

    /// The id by which it is found again in other logs.
    pub(super) fn request_id(&self) -> Option<&'a str> {
        self.request_id.or_else(|| self.caller.request_id())
    }

    /// The id of the trace that it belongs to.
    pub(super) fn trace_id(&self) -> Option<&'a str> {
        let reported = self.traceparent.and_then(|parent| trace_id(parent.as_bytes()));
        reported.or_else(|| self.caller.trace_id())
    }

    fn carried(&self, ignores_token: bool) -> Result<Carried<'a>, Refusal> {
        let tenant_id = self.tenant_id.map(|id| self.tenant_of(id)).transpose()?;
        let authorization = self.authorization.filter(|_| !ignores_token);
        if authorization.is_some_and(has_several_tokens) {
            return Err(Refusal::repeated("authorization"));
        }
        Ok(Carried {
            caller: self.caller,
            by_certificate: self.by_certificate,
            tenant_id,
            host: self.host,
            bearer_token: authorization.and_then(bearer),
        })
    }

    fn tenant_of(&self, id: &str) -> Result<TenantId, Refusal> {
        TenantId::parse(id).map_err(|error| {
            let header = clients_name_of(self.tenant_header);
            if id.contains(',') {
                Refusal::repeated(&header)
            } else {
                Refusal::unreadable(&header, &error.to_string())
            }
        })
    }
}

/// Does a request with this `content-type` speak gRPC? Then so does its answer. gRPC-Web does not: its
/// clients read the status of HTTP.
pub(super) fn speaks_grpc(content_type: &str) -> bool {
    content_type
        .strip_prefix("application/grpc")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
}

/// Is it a list of credentials with a bearer token among them? Which of them counts would be a guess. No
/// token has a comma (RFC 6750, section 2.1).
fn has_several_tokens(authorization: &str) -> bool {
    authorization.contains(',') && authorization.split(',').any(|part| bearer(part).is_some())
}

/// A proxy that keeps a client's `x-NAME` under another name calls it `x-claimed-NAME`: its client
/// knows only the former.
fn clients_name_of(header: &str) -> Cow<'_, str> {
    match header.strip_prefix("x-claimed-") {
        Some(name) => format!("x-{name}").into(),
        None => header.into(),
    }
}
