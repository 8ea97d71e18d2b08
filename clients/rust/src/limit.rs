//! Limits: how much of something a tenant may have.

mod words;

use std::cmp::Ordering;

use chrono::{DateTime, Utc};

pub use self::words::{LimitEnforcement, LimitKind, LimitReason, LimitSource};
use crate::{
    Reason,
    clock::{ALWAYS, Micros, NEVER, date},
};

/// How much there is, and how much more is wanted: neither is negative.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) observed: i64,
    pub(crate) amount: i64,
}

/// What a tenant's limit is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct LimitAnswer {
    pub(crate) limit: Option<i64>,
    pub(crate) source: LimitSource,
    pub(crate) kind: LimitKind,
    pub(crate) enforcement: LimitEnforcement,
    pub(crate) reason: LimitReason,
    pub(crate) tenant_reason: Reason,
    pub(crate) stale: bool,
    pub(crate) by_outage_rule: bool,
    pub(crate) revision: u64,
    pub(crate) as_of: Micros,
    pub(crate) valid_until: Micros,
}

impl LimitAnswer {
    /// The limit. `None`: there is none, and [`reason`](Self::reason) says why, which need not mean
    /// that everything is allowed.
    pub fn limit(&self) -> Option<i64> {
        self.limit
    }

    /// Who says so.
    pub fn source(&self) -> LimitSource {
        self.source
    }

    /// What it counts.
    pub fn kind(&self) -> LimitKind {
        self.kind
    }

    /// Does the server enforce limits?
    pub fn enforcement(&self) -> LimitEnforcement {
        self.enforcement
    }

    /// [`LimitReason::Within`] where there is a limit; else why there is none.
    pub fn reason(&self) -> LimitReason {
        self.reason
    }

    /// Why the tenant is denied, on [`LimitReason::TenantDenied`].
    pub fn tenant_reason(&self) -> Reason {
        self.tenant_reason
    }

    /// The revision of the facts that this answer rests on; 0: none, or the server does not count
    /// revisions.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When those facts were read. `None` if the answer rests on none.
    pub fn as_of(&self) -> Option<DateTime<Utc>> {
        date(self.as_of)
    }

    /// When the tenant's override ends; `None`: time alone changes nothing.
    pub fn valid_until(&self) -> Option<DateTime<Utc>> {
        date(self.valid_until)
    }

    /// Was it given without asking whether it still holds, because the server or its database was
    /// unreachable?
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Was it given by the outage rule, because the server was unreachable?
    pub fn by_outage_rule(&self) -> bool {
        self.by_outage_rule
    }

    /// Is that much within it? By docs/features-and-limits.md.
    pub(crate) fn decide(self, key: &str, Wanted { observed, amount }: Wanted) -> LimitDecision {
        let reason = match self.limit {
            // It says why there is none.
            None => self.reason,
            Some(limit) => match observed.cmp(&limit) {
                Ordering::Greater => LimitReason::OverLimit,
                // Not added to what there is: that could be more than there are numbers.
                _ if amount > limit - observed => LimitReason::Exceeded,
                _ => LimitReason::Within,
            },
        };
        let holds = self.enforcement == LimitEnforcement::On || reason == LimitReason::TenantDenied;
        LimitDecision {
            allowed: reason.is_within() || !holds,
            message: reason.sentence(key, self.limit.unwrap_or_default(), self.tenant_reason),
            used: observed,
            plan_slugs: Vec::new(),
            in_force: Self { reason, ..self },
        }
    }

    /// Nobody knows.
    fn unknown() -> Self {
        Self {
            limit: None,
            source: LimitSource::Unspecified,
            kind: LimitKind::Unspecified,
            enforcement: LimitEnforcement::Unspecified,
            reason: LimitReason::Unspecified,
            tenant_reason: Reason::Unspecified,
            stale: true,
            by_outage_rule: true,
            revision: 0,
            as_of: ALWAYS,
            valid_until: NEVER,
        }
    }
}

/// Is so much more within a limit?
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct LimitDecision {
    pub(crate) allowed: bool,
    pub(crate) message: String,
    pub(crate) used: i64,
    pub(crate) plan_slugs: Vec<String>,
    pub(crate) in_force: LimitAnswer,
}

impl LimitDecision {
    /// The answer: always true where [`enforcement`](Self::enforcement) is not
    /// [`On`](LimitEnforcement::On), unless the tenant itself is denied.
    pub fn allowed(&self) -> bool {
        self.allowed
    }

    /// Why, or why not, or why it would not be if limits were enforced.
    pub fn reason(&self) -> LimitReason {
        self.in_force.reason
    }

    /// Where it is not within the limit, a sentence that can be shown to a person; else empty.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The limit; `None`: there is none.
    pub fn limit(&self) -> Option<i64> {
        self.in_force.limit
    }

    /// How much there is: what was observed.
    pub fn used(&self) -> i64 {
        self.used
    }

    /// How much is left beside that. `None`: there is no limit. Negative: there is more than it
    /// allows.
    pub fn remaining(&self) -> Option<i64> {
        self.in_force.limit.map(|limit| limit.saturating_sub(self.used))
    }

    /// Does the server enforce limits?
    pub fn enforcement(&self) -> LimitEnforcement {
        self.in_force.enforcement
    }

    /// The slugs of the plans on sale whose limit would do, cheapest first. Empty where this was
    /// decided in this process, as it usually is.
    pub fn plan_slugs(&self) -> &[String] {
        &self.plan_slugs
    }

    /// The limit that this rests on: who says so, what it counts, and how far it can be trusted.
    pub fn in_force(&self) -> &LimitAnswer {
        &self.in_force
    }

    /// Was it given without asking whether it still holds?
    pub fn is_stale(&self) -> bool {
        self.in_force.stale
    }

    /// Was it given by the outage rule, because the server was unreachable?
    pub fn by_outage_rule(&self) -> bool {
        self.in_force.by_outage_rule
    }

    /// The reason for programs: that of the tenant, where it is denied.
    pub(crate) fn word(&self) -> &'static str {
        match self.in_force.reason {
            LimitReason::TenantDenied => self.in_force.tenant_reason.as_str(),
            reason => reason.as_str(),
        }
    }

    /// Nobody knows, and the outage rule allows it, or refuses it with this sentence. `enforcement`: as
    /// it was last heard of.
    pub(crate) fn by_rule(
        refused: Option<&str>,
        enforcement: LimitEnforcement,
        wanted: Wanted,
    ) -> Self {
        Self {
            allowed: refused.is_none(),
            message: refused.unwrap_or_default().to_owned(),
            used: wanted.observed,
            plan_slugs: Vec::new(),
            in_force: LimitAnswer { enforcement, ..LimitAnswer::unknown() },
        }
    }
}
