//! The double as its clients see it.

use std::sync::{Arc, atomic::Ordering};

use futures_util::{
    future::{BoxFuture, FutureExt, ready},
    stream::{StreamExt, pending},
};
use prost_types::Timestamp;
use tonic::Status;
use uuid::Uuid;

use super::{
    Known, ManualClock,
    facts::{DENIAL_MAX_AGE, Facts, MAX_AGE},
};
use crate::{
    Answer, FeatureAnswer, LimitDecision, Reason, Reconciled, Reservation, Reserve, Resolved,
    TenantSource,
    answer::Words,
    ask::{Ask, Events, Judged, JudgedFeature, Listed, OwnedCredentials},
    clock::{Clock, Micros, NEVER, micros},
    convert::absent,
    limit::Wanted,
    list::{List, Told},
    usage::{Acquire, Granted, Message, Range, Settle, UsageHistory, UsageOutcome, UsageQuery},
};

/// The double as its clients see it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) clock: ManualClock,
    pub(super) known: Arc<Known>,
}

impl Asked {
    pub(super) fn now(&self) -> Result<Micros, Status> {
        if self.known.is_dark.load(Ordering::SeqCst) {
            return Err(Status::unavailable("the double is dark"));
        }
        self.known.questions.fetch_add(1, Ordering::SeqCst);
        Ok(Clock::Manual(self.clock.clone()).now())
    }

    pub(super) fn facts(&self, tenant: Uuid, min_revision: u64) -> Result<Option<Facts>, Status> {
        let facts = self.known.tenants.lock().get(&tenant).cloned();
        match facts {
            Some(facts) if facts.revision < min_revision => {
                Err(Status::unavailable("not that fresh"))
            }
            facts => Ok(facts),
        }
    }

    fn list_now(&self, tenant: Uuid, min_revision: u64) -> Result<List, Status> {
        self.list_at(self.now()?, tenant, min_revision)
    }

    pub(super) fn list_at(
        &self,
        now: Micros,
        tenant: Uuid,
        min_revision: u64,
    ) -> Result<List, Status> {
        let enforcement = *self.known.enforcement.lock();
        let facts = self.facts(tenant, min_revision)?;
        Ok(facts.map_or_else(absent, |facts| facts.list(enforcement, now)))
    }

    fn feature_now(
        &self,
        tenant: Uuid,
        (module, key): (&str, &str),
        min_revision: u64,
    ) -> Result<JudgedFeature, Status> {
        let now = self.now()?;
        let list = self.list_at(now, tenant, min_revision)?;
        Ok(match list.feature(module, key, now) {
            Some(answer) => {
                JudgedFeature { answer, max_age: micros(MAX_AGE), catalogue_revision: 0 }
            }
            None => {
                let Judged { answer, max_age, catalogue_revision } =
                    self.check_at(now, tenant, module, min_revision)?;
                let answer = FeatureAnswer::of_denied_module(answer);
                JudgedFeature { answer, max_age, catalogue_revision }
            }
        })
    }

    fn limit_now(
        &self,
        tenant: Uuid,
        key: &str,
        wanted: Wanted,
        min_revision: u64,
    ) -> Result<LimitDecision, Status> {
        let now = self.now()?;
        let answer = self.list_at(now, tenant, min_revision)?.limit(key, now);
        let answer =
            answer.ok_or_else(|| Status::unimplemented("nobody knows what is enforced"))?;
        Ok(answer.decide(key, wanted))
    }

    fn check_now(&self, tenant: Uuid, module: &str, min_revision: u64) -> Result<Judged, Status> {
        self.check_at(self.now()?, tenant, module, min_revision)
    }

    pub(super) fn check_at(
        &self,
        now: Micros,
        tenant: Uuid,
        module: &str,
        min_revision: u64,
    ) -> Result<Judged, Status> {
        let facts = self.facts(tenant, min_revision)?;
        let (reason, valid_until) = facts
            .as_ref()
            .map_or((Reason::TenantNotFound, NEVER), |facts| facts.judge(module, now));
        let allowed = reason == Reason::Enabled;
        let answer = Answer {
            allowed,
            reason,
            stale: false,
            by_outage_rule: false,
            revision: facts.map_or(0, |facts| facts.revision),
            as_of: now,
            valid_until,
            words: (!allowed).then(|| {
                Words { message: sentence(reason, module), plan_slugs: Vec::new() }.into()
            }),
        };
        let max_age = micros(if allowed { MAX_AGE } else { DENIAL_MAX_AGE });
        Ok(Judged { answer, max_age, catalogue_revision: 0 })
    }

    fn resolve_now(&self, credentials: &OwnedCredentials) -> Result<(Resolved, Told), Status> {
        let now = self.now()?;
        let [by_token, by_id, by_host] = self.named(credentials, now)?;
        let (id, source) = by_token
            .map(|id| (id, TenantSource::BearerToken))
            .or(by_id.map(|id| (id, TenantSource::TenantId)))
            .or(by_host.map(|id| (id, TenantSource::Host)))
            .ok_or_else(|| Status::not_found("nothing names a tenant"))?;
        if [by_token, by_id, by_host].into_iter().flatten().any(|other| other != id) {
            return Err(Status::permission_denied(
                "token, id and host do not name the same tenant",
            ));
        }
        let facts =
            self.facts(id, 0)?.ok_or_else(|| Status::not_found("there is no such tenant"))?;
        if let Some(reason) = facts.denial() {
            return Err(Status::permission_denied(sentence(reason, "")));
        }
        let token = self.known.tokens.lock().get(bare(&credentials.bearer_token)).copied();
        let told = facts.told(MAX_AGE, token.map_or(NEVER, |token| token.expires_at), now);
        let (tenant, verified) = (facts.tenant, by_token.is_some());
        Ok((Resolved { tenant, source, verified, stale: false, by_outage_rule: false }, told))
    }

    /// Whom the token, the id and the host name.
    fn named(
        &self,
        credentials: &OwnedCredentials,
        now: Micros,
    ) -> Result<[Option<Uuid>; 3], Status> {
        let OwnedCredentials { tenant_id, host, bearer_token } = credentials;
        if tenant_id.is_empty() && host.is_empty() && bearer_token.is_empty() {
            return Err(Status::invalid_argument("tenant_id, host and bearer_token are all empty"));
        }
        let by_id = match tenant_id.as_str() {
            "" => None,
            text => Some(
                text.parse().map_err(|_| Status::invalid_argument("tenant_id is not a UUID"))?,
            ),
        };
        let by_token = match bare(bearer_token) {
            "" => None,
            token => {
                let known = self.known.tokens.lock().get(token).copied();
                let valid = known.filter(|token| now < token.expires_at);
                Some(valid.ok_or_else(|| Status::unauthenticated("the token is not valid"))?.tenant)
            }
        };
        let label = host.split('.').next().filter(|_| host.contains('.'));
        let tenants = self.known.tenants.lock();
        let by_host =
            label.and_then(|label| tenants.values().find(|facts| facts.tenant.subdomain == label));
        Ok([by_token, by_id, by_host.map(|facts| facts.tenant.id)])
    }

    fn authorize_now(
        &self,
        credentials: &OwnedCredentials,
        modules: &[String],
    ) -> Result<(Resolved, Told, Judged), Status> {
        let (resolved, told) = self.resolve_now(credentials)?;
        let mut judged = modules.iter().map(|module| self.check_now(resolved.tenant.id, module, 0));
        let first =
            judged.next().unwrap_or_else(|| Err(Status::invalid_argument("no module is named")))?;
        if first.answer.allowed {
            return Ok((resolved, told, first));
        }
        let allowed = judged.find_map(|judged| judged.ok().filter(|judged| judged.answer.allowed));
        Ok((resolved, told, allowed.unwrap_or(first)))
    }
}

impl Ask for Asked {
    fn list(&self, tenant: Uuid, min_revision: u64) -> BoxFuture<'static, Result<Listed, Status>> {
        ready(self.list_now(tenant, min_revision).map(Listed::from)).boxed()
    }

    fn check(
        &self,
        tenant: Uuid,
        module: &str,
        min_revision: u64,
    ) -> BoxFuture<'static, Result<Judged, Status>> {
        ready(self.check_now(tenant, module, min_revision)).boxed()
    }

    fn feature(
        &self,
        tenant: Uuid,
        names: (&str, &str),
        min_revision: u64,
    ) -> BoxFuture<'static, Result<JudgedFeature, Status>> {
        ready(self.feature_now(tenant, names, min_revision)).boxed()
    }

    fn limit(
        &self,
        tenant: Uuid,
        key: &str,
        wanted: Wanted,
        min_revision: u64,
    ) -> BoxFuture<'static, Result<LimitDecision, Status>> {
        ready(self.limit_now(tenant, key, wanted, min_revision)).boxed()
    }

    fn resolve(
        &self,
        credentials: OwnedCredentials,
    ) -> BoxFuture<'static, Result<(Resolved, Told), Status>> {
        ready(self.resolve_now(&credentials)).boxed()
    }

    fn authorize(
        &self,
        credentials: OwnedCredentials,
        modules: Vec<String>,
    ) -> BoxFuture<'static, Result<(Resolved, Told, Judged), Status>> {
        ready(self.authorize_now(&credentials, &modules)).boxed()
    }

    fn reserve(
        &self,
        tenant: Uuid,
        wanted: Reserve,
    ) -> BoxFuture<'static, Result<Reservation, Status>> {
        ready(self.reserve_now(tenant, &wanted)).boxed()
    }

    fn release(
        &self,
        tenant: Uuid,
        meter: &str,
        key: &str,
        only_held: bool,
    ) -> BoxFuture<'static, Result<i64, Status>> {
        ready(self.release_now(tenant, meter, key, only_held)).boxed()
    }

    fn reconcile(
        &self,
        tenant: Uuid,
        meter: &str,
        range: Range,
        as_of: Timestamp,
    ) -> BoxFuture<'static, Result<Reconciled, Status>> {
        ready(self.reconcile_now(tenant, meter, &range, as_of)).boxed()
    }

    fn record(&self, message: Message) -> BoxFuture<'static, Result<Vec<UsageOutcome>, Status>> {
        ready(self.record_now(&message)).boxed()
    }

    fn query_usage(
        &self,
        tenant: Uuid,
        query: UsageQuery,
    ) -> BoxFuture<'static, Result<UsageHistory, Status>> {
        ready(self.query_now(tenant, &query)).boxed()
    }

    fn acquire(&self, asked: Acquire) -> BoxFuture<'static, Result<Granted, Status>> {
        ready(self.acquire_now(&asked)).boxed()
    }

    fn settle(&self, settled: Settle) -> BoxFuture<'static, Result<(), Status>> {
        ready(self.settle_now(&settled)).boxed()
    }

    fn endpoint(&self) -> String {
        "the double".to_owned()
    }

    fn watch(&self) -> BoxFuture<'static, Result<Events, Status>> {
        ready(Ok(pending().boxed())).boxed()
    }
}

fn bare(token: &str) -> &str {
    token.strip_prefix("Bearer ").unwrap_or(token)
}

/// As the real server puts it.
fn sentence(reason: Reason, module: &str) -> String {
    match reason {
        Reason::NotSubscribed => {
            format!(
                "Module '{module}' is not enabled for your account. Please upgrade your subscription."
            )
        }
        Reason::SubscriptionExpired => {
            format!(
                "Your subscription to module '{module}' has expired. Please renew your subscription."
            )
        }
        Reason::TenantSuspended => "Your account is suspended. Please contact support.".to_owned(),
        other => format!("Module '{module}' may not be used: {other}."),
    }
}
