//! The decision about a request, and the headers that its upstream gets.

use std::{borrow::Cow, sync::Arc};

use super::{AuthzRequest, Obstacle, Outcome, Refusal, RefusalKind};
use crate::{
    domain::ModuleCode,
    observability::{
        log_limiter::{LogLimiter, log_limited},
        metrics::{MetricLabel, label},
    },
    routes::Rule,
    service::resolve::Resolved,
};

/// Headers that the upstream believes. What a client sends under these names never reaches it.
pub(in crate::service) const TRUSTED: [&str; 7] = [
    "x-tenant-id",
    "x-tenant-subdomain",
    "x-tenant-schema",
    "x-tenant-plan",
    "x-tenant-verified",
    "x-entitlement-revision",
    WOULD_DENY,
];

/// Why a request that passes would be refused.
const WOULD_DENY: &str = "x-entitlement-would-deny";

/// What becomes of a request.
#[derive(Debug)]
pub(in crate::service) enum Verdict {
    /// It passes: nothing is asked of it.
    Public,
    /// It passes.
    Granted,
    /// It passes, although it would be refused: nothing is enforced yet.
    WouldDeny(Refusal),
    /// It does not pass.
    Refused(Refusal),
}

label! {
    /// What a verdict is counted and logged as.
    pub(crate) enum VerdictKind {
        /// It passes: nothing is asked of it.
        Public => "public",
        /// It passes.
        Granted => "granted",
        /// It passes, although it would be refused.
        WouldDeny => "would_deny",
        /// It does not pass.
        Refused => "refused",
    }
}

/// What becomes of a request, and why.
#[derive(Debug)]
pub(in crate::service) struct AuthzDecision {
    pub(in crate::service) verdict: Verdict,
    /// The rule that is about it, if there is one.
    pub(in crate::service) rule: Option<Arc<Rule>>,
    /// There is none, and one was looked for: `--unmatched` decides.
    pub(in crate::service) is_unmapped: bool,
    /// The tenant that it belongs to, where that is known.
    pub(in crate::service) tenant: Option<Resolved>,
    /// The module that gave the word, if one did.
    pub(in crate::service) module: Option<ModuleCode>,
}

impl AuthzDecision {
    /// What it is counted as.
    pub(super) fn outcome(&self) -> Outcome {
        match &self.verdict {
            Verdict::Public => Outcome::Public,
            Verdict::Granted => Outcome::Granted,
            Verdict::WouldDeny(refusal) => Outcome::WouldDeny(refusal.kind),
            Verdict::Refused(refusal) => Outcome::Refused(refusal.kind),
        }
    }

    /// What became of it, in one word.
    pub(in crate::service) fn word(&self) -> &'static str {
        self.outcome().kind().word()
    }

    /// Why it is or would be refused.
    pub(in crate::service) fn refusal(&self) -> Option<&Refusal> {
        match &self.verdict {
            Verdict::Public | Verdict::Granted => None,
            Verdict::WouldDeny(refusal) | Verdict::Refused(refusal) => Some(refusal),
        }
    }

    /// Was it given up, since it took too long?
    pub(in crate::service) fn is_too_late(&self) -> bool {
        let too_late = RefusalKind::from(Obstacle::DeadlineExceeded);
        self.refusal().is_some_and(|refusal| refusal.kind == too_late)
    }

    /// The rule, as it is written.
    pub(in crate::service) fn route(&self) -> Option<&str> {
        self.rule.as_ref().map(|rule| rule.path.as_str())
    }

    /// The key of the feature that its module must have on, if it came to a module.
    pub(in crate::service) fn feature(&self) -> Option<&str> {
        self.module.as_ref().and(self.rule.as_ref()?.feature.as_deref())
    }

    /// Headers that the upstream gets. All other trusted headers are removed: see
    /// [`Self::headers_to_remove`].
    pub(in crate::service) fn headers_to_set<'a>(&'a self) -> Vec<(&'static str, Cow<'a, str>)> {
        let mut headers = Vec::with_capacity(TRUSTED.len());
        if let Some(resolved) = &self.tenant {
            let tenant = &resolved.facts.tenant;
            headers.push(("x-tenant-id", tenant.id.to_string().into()));
            headers.push((
                "x-tenant-verified",
                if resolved.verified() { "true" } else { "false" }.into(),
            ));
            headers.push(("x-entitlement-revision", resolved.facts.revision.to_string().into()));
            // What cannot be a header is not sent: the upstream then knows no schema, rather than
            // another one.
            let is_header =
                |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            let given = |text: &'a str| {
                Some(text).filter(|text| !text.is_empty()).filter(is_header).map(Cow::Borrowed)
            };
            headers.extend(
                given(&tenant.subdomain).map(|subdomain| ("x-tenant-subdomain", subdomain)),
            );
            headers
                .extend(given(&tenant.database_schema).map(|schema| ("x-tenant-schema", schema)));
            headers.extend(
                tenant.plan_slug.as_deref().and_then(given).map(|plan| ("x-tenant-plan", plan)),
            );
        }
        if let Verdict::WouldDeny(refusal) = &self.verdict {
            headers.push((WOULD_DENY, refusal.reason().into()));
        }
        headers
    }

    /// Trusted headers that the upstream does not get, and a client may have sent.
    pub(in crate::service) fn headers_to_remove(
        headers: &[(&'static str, Cow<'_, str>)],
    ) -> impl Iterator<Item = &'static str> {
        TRUSTED.into_iter().filter(|name| headers.iter().all(|(headers, _)| headers != name))
    }

    pub(super) fn log(&self, authz_request: AuthzRequest<'_>) {
        let Some(refusal) = self.refusal() else { return };
        let (method, reason, route) =
            (authz_request.method, refusal.reason(), self.route().unwrap_or_default());
        let tenant = self
            .tenant
            .as_ref()
            .map(|resolved| resolved.facts.tenant.id.to_string())
            .unwrap_or_default();
        let module = self.module.as_ref().map_or("", ModuleCode::as_str);
        let feature = self.feature().unwrap_or_default();
        match &self.verdict {
            Verdict::WouldDeny(_) => {
                static WOULD_DENY: LogLimiter = LogLimiter::new();
                log_limited!(
                    WOULD_DENY,
                    info,
                    method,
                    route,
                    tenant,
                    module,
                    feature,
                    reason,
                    "would deny {method} {route}: {reason}"
                );
            }
            _ => tracing::debug!(
                method,
                route,
                tenant,
                module,
                feature,
                reason,
                "refused {method} {route}: {reason}"
            ),
        }
    }
}
