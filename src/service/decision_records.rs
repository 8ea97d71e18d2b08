//! The decisions that go to the decision log.

use chrono::SecondsFormat;

use super::{
    Api,
    caller::CallerIdentity,
    check::{Judgement, TenantQuery},
    feature::FeatureJudgement,
    gateway::{AuthzDecision, AuthzRequest, Refusal, Verdict},
    limit::LimitJudgement,
    signed_lease::{IssuedLease, LeasedModule},
    trace::{current_trace_id, record_decision, record_words},
    usage::UsageState,
};
use crate::{
    domain::{LimitEnforcement, ModuleCode, Reason, TenantId},
    observability::decision_log::DecisionRecord,
};

/// The words for decisions about modules.
pub(super) const GRANTED: &str = "granted";
pub(super) const DENIED: &str = "denied";

/// What passes although it would be refused.
pub(super) const WOULD_DENY: &str = "would_deny";

const ISSUE_LEASE: &str = "IssueLease";

fn word(judgement: &Judgement<'_>) -> &'static str {
    word_of(judgement.decision.allowed())
}

fn word_of(is_granted: bool) -> &'static str {
    if is_granted { GRANTED } else { DENIED }
}

impl Api {
    /// Adds a decision to the request's span, and to the decision log.
    pub(super) fn record_decision(
        &self,
        asked: &'static str,
        caller: CallerIdentity<'_>,
        tenant: TenantId,
        judgement: &Judgement<'_>,
    ) {
        record_decision(word(judgement), judgement.decision.reason.word(), None);
        self.log_decision(asked, caller, tenant, judgement);
    }

    /// Adds a decision to the decision log.
    pub(super) fn log_decision(
        &self,
        asked: &'static str,
        caller: CallerIdentity<'_>,
        tenant: TenantId,
        judgement: &Judgement<'_>,
    ) {
        let granted = judgement.decision.allowed();
        let Some(log) = self.decision_log.as_ref().filter(|log| log.wants(granted)) else { return };
        log.add(DecisionRecord {
            decision: word(judgement).to_owned(),
            module: judgement.module.to_owned(),
            reason: judgement.decision.reason.word().to_owned(),
            revision: judgement.hint.revision,
            ..self.record_of(asked, caller, tenant)
        });
    }

    /// Adds a decision about a feature to the request's span, and to the decision log.
    pub(super) fn record_feature(
        &self,
        asked: &'static str,
        tenant: TenantQuery<'_>,
        judgement: &FeatureJudgement<'_>,
    ) {
        record_decision(word_of(judgement.is_on), judgement.reason.word(), None);
        self.log_feature(asked, tenant, judgement);
    }

    /// Adds a decision about a feature to the decision log.
    pub(super) fn log_feature(
        &self,
        asked: &'static str,
        tenant: TenantQuery<'_>,
        judgement: &FeatureJudgement<'_>,
    ) {
        let Some(log) = self.decision_log.as_ref().filter(|log| log.wants(judgement.is_on)) else {
            return;
        };
        log.add(DecisionRecord {
            decision: word_of(judgement.is_on).to_owned(),
            module: judgement.named.module.to_owned(),
            feature: judgement.named.key.to_owned(),
            reason: judgement.reason.word().to_owned(),
            revision: judgement.hint.revision,
            ..self.record_of(asked, tenant.caller, tenant.tenant)
        });
    }

    /// Adds a decision about a limit to the request's span, and to the decision log.
    pub(super) fn record_limit(&self, tenant: TenantQuery<'_>, judgement: &LimitJudgement<'_>) {
        let reason = judgement.decision.reason;
        let decision = match (judgement.is_allowed(), judgement.enforcement) {
            (true, LimitEnforcement::Shadow) if !reason.allows() => WOULD_DENY,
            (is_allowed, _) => word_of(is_allowed),
        };
        record_decision(decision, reason.word(), None);
        let granted = decision == GRANTED;
        let Some(log) = self.decision_log.as_ref().filter(|log| log.wants(granted)) else { return };
        log.add(DecisionRecord {
            decision: decision.to_owned(),
            limit: judgement.key.to_owned(),
            reason: reason.word().to_owned(),
            revision: judgement.hint.revision,
            ..self.record_of("CheckLimit", tenant.caller, tenant.tenant)
        });
    }

    /// Adds a request to reserve to its span, and to the decision log.
    pub(super) fn record_reservation(
        &self,
        tenant: TenantQuery<'_>,
        is_granted: bool,
        is_repeated: bool,
        state: &UsageState<'_>,
    ) {
        let decision = match state.enforcement {
            LimitEnforcement::Shadow if is_granted && !is_repeated && !state.reason.allows() => {
                WOULD_DENY
            }
            _ => word_of(is_granted),
        };
        record_decision(decision, state.reason.word(), None);
        let granted = decision == GRANTED;
        let Some(log) = self.decision_log.as_ref().filter(|log| log.wants(granted)) else { return };
        log.add(DecisionRecord {
            decision: decision.to_owned(),
            limit: state.meter.to_owned(),
            reason: state.reason.word().to_owned(),
            ..self.record_of("ReserveUsage", tenant.caller, tenant.tenant)
        });
    }

    /// Counts the decisions that a lease was signed for, and adds them to the decision log.
    pub(super) fn record_lease(&self, tenant: TenantQuery<'_>, issued: &IssuedLease<'_>) {
        let revision = issued.hint.revision;
        let words = issued
            .modules
            .iter()
            .map(|module| (module.until.is_some(), module.decision.reason.word()));
        record_words(words);
        for LeasedModule { code, decision, until } in &issued.modules {
            self.metrics.decisions.add(decision.reason);
            self.log_leased(tenant, code, until.is_some(), decision.reason, revision);
        }
        for feature in &issued.features {
            self.metrics.feature_decisions.add(feature.reason);
            self.log_feature(ISSUE_LEASE, tenant, feature);
        }
    }

    /// Counts a lease that was refused because its tenant is not served, and adds that to the request's
    /// span and to the decision log.
    pub(super) fn record_lease_refusal(
        &self,
        tenant: TenantQuery<'_>,
        reason: Reason,
        revision: u64,
    ) {
        self.metrics.decisions.add(reason);
        record_decision(DENIED, reason.word(), None);
        self.log_leased(tenant, "", false, reason, revision);
    }

    fn log_leased(
        &self,
        tenant: TenantQuery<'_>,
        module: &str,
        is_granted: bool,
        reason: Reason,
        revision: u64,
    ) {
        let Some(log) = self.decision_log.as_ref().filter(|log| log.wants(is_granted)) else {
            return;
        };
        log.add(DecisionRecord {
            decision: word_of(is_granted).to_owned(),
            module: module.to_owned(),
            reason: reason.word().to_owned(),
            revision,
            ..self.record_of(ISSUE_LEASE, tenant.caller, tenant.tenant)
        });
    }

    /// What is recorded of every question about a tenant.
    fn record_of(
        &self,
        asked: &'static str,
        caller: CallerIdentity<'_>,
        tenant: TenantId,
    ) -> DecisionRecord {
        DecisionRecord {
            time: self.time(),
            asked: asked.to_owned(),
            caller: caller.name().to_owned(),
            tenant_id: tenant.to_string(),
            request_id: caller.request_id().unwrap_or_default().to_owned(),
            trace_id: trace_id_or_own(caller.trace_id()),
            ..DecisionRecord::default()
        }
    }

    /// Adds the decision about an HTTP request to its span, and to the decision log. There, what a
    /// rule makes public is no decision; what is public for lack of a rule is.
    pub(super) fn record_authz_decision(
        &self,
        authz_request: AuthzRequest<'_>,
        authz_decision: &AuthzDecision,
    ) {
        let reason = authz_decision.refusal().map_or("ENABLED", Refusal::reason);
        record_decision(authz_decision.word(), reason, authz_decision.route());
        let Some(log) = &self.decision_log else { return };
        let is_public = matches!(authz_decision.verdict, Verdict::Public);
        if is_public && !authz_decision.is_unmapped
            || !log.wants(authz_decision.refusal().is_none())
        {
            return;
        }
        let unmapped = || self.gateway.unmapped.name(authz_request.target, self.clock.now());
        let facts = authz_decision.tenant.as_ref().map(|resolved| &resolved.facts);
        log.add(DecisionRecord {
            time: self.time(),
            asked: "gateway".to_owned(),
            caller: authz_request.caller.name().to_owned(),
            decision: authz_decision.word().to_owned(),
            tenant_id: facts.map(|facts| facts.tenant.id.to_string()).unwrap_or_default(),
            module: authz_decision.module.as_ref().map(ModuleCode::to_string).unwrap_or_default(),
            feature: authz_decision.feature().unwrap_or_default().to_owned(),
            reason: reason.to_owned(),
            revision: facts.map(|facts| facts.revision).unwrap_or_default(),
            // The client chose it, so it may have any length.
            method: authz_request.method.chars().take(32).collect(),
            route: authz_decision.route().unwrap_or_default().to_owned(),
            path: authz_decision.is_unmapped.then(unmapped).unwrap_or_default(),
            request_id: authz_request.request_id().unwrap_or_default().to_owned(),
            trace_id: trace_id_or_own(authz_request.trace_id()),
            ..DecisionRecord::default()
        });
    }

    fn time(&self) -> String {
        self.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

/// The id of a trace: the caller's, or the one that began here, if there is one.
fn trace_id_or_own(callers: Option<&str>) -> String {
    callers.map(str::to_owned).or_else(current_trace_id).unwrap_or_default()
}
