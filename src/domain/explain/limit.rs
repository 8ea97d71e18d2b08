//! Where a tenant's limit comes from.

use chrono::{DateTime, SecondsFormat, Utc};

use super::{TableLine, lines};
use crate::domain::{
    Catalogue, Facts, KeptLimit, LimitDecision, LimitDefinition, LimitOverride, LimitReason,
    LimitSource, Wanted, check_limit,
};

/// What decides about a limit, and what it comes to.
#[derive(Clone, Debug)]
pub struct LimitGrounds<'a> {
    /// The tenant's override, over or not.
    pub own: Option<&'a LimitOverride>,
    /// The slug of the tenant's plan.
    pub plan: Option<&'a str>,
    /// What the tenant keeps of its plan: it stands in the place of the plan's limit.
    pub kept: Option<&'a KeptLimit>,
    /// The limit of the plan, now; `None`: it has none.
    pub planned: Option<i64>,
    /// The definition.
    pub defined: Option<&'a LimitDefinition>,
    /// What that comes to.
    pub decision: LimitDecision,
    /// The instant that is judged.
    pub at: DateTime<Utc>,
}

impl<'a> LimitGrounds<'a> {
    /// What decides about a limit at one instant. `facts` is `None` if the tenant does not exist.
    pub fn of(
        facts: Option<&'a Facts>,
        catalogue: &'a Catalogue,
        key: &str,
        wanted: Wanted,
        at: DateTime<Utc>,
    ) -> Self {
        let definitions = catalogue.definitions();
        let tenant = facts.map(|facts| &facts.tenant);
        let plan = tenant.and_then(|tenant| tenant.plan_slug.as_deref());
        Self {
            own: tenant.and_then(|tenant| tenant.own.as_ref()?.override_of(key)),
            plan,
            kept: tenant.and_then(|tenant| tenant.kept_limit(key)),
            planned: plan.and_then(|slug| definitions.plan_limit(slug, key)),
            defined: definitions.limit(key),
            decision: check_limit(facts, catalogue, key, wanted, at),
            at,
        }
    }

    /// Is the override over, if there is one?
    pub fn is_over(&self) -> bool {
        self.own.and_then(|own| own.ends_at).is_some_and(|end| end <= self.at)
    }

    /// When the override ends; `None`: never, or what is stored cannot be read.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        let end = self.own.and_then(|own| own.ends_at);
        // What cannot be read ended before there were instants.
        end.filter(|end| *end != DateTime::<Utc>::MIN_UTC)
    }

    /// Where the limit is looked for, in order: the first that applies says what it is.
    pub fn lines(&self) -> Vec<TableLine> {
        let denial = self.decision.tenant.map_or("served", |reason| reason.word());
        let defined = self.defined.map_or("not defined".to_owned(), |defined| {
            format!("defined, {}", defined.kind.word())
        });
        let all = [
            ("the tenant does not exist, or is not served", denial.to_owned()),
            ("an override of the tenant that has not ended", self.found_override()),
            ("neither a definition nor an override", defined),
            ("the tenant has no plan: no limit", self.plan.unwrap_or("none").to_owned()),
            ("the limit of the tenant's plan", self.found_in_plan()),
            ("otherwise: no limit", String::new()),
        ];
        lines(all, self.deciding_line())
    }

    fn deciding_line(&self) -> u8 {
        match (self.decision.reason, &self.decision.in_force) {
            (LimitReason::TenantDenied, _) => 1,
            (_, None) => 3,
            (_, Some(limit)) if limit.source == LimitSource::Override => 2,
            (_, Some(limit)) if limit.has_no_plan => 4,
            (_, Some(limit)) if limit.limit.is_some() => 5,
            _ => 6,
        }
    }

    fn found_in_plan(&self) -> String {
        match (self.plan, self.kept) {
            (None, _) => String::new(),
            (Some(_), None) => number(self.planned),
            (Some(_), Some(kept)) => format!("{}, {}", number(kept.value), kept.kept_at.words()),
        }
    }

    fn found_override(&self) -> String {
        let Some(own) = self.own else { return "none".to_owned() };
        let value = number(own.value);
        let word = if self.is_over() { "ended" } else { "until" };
        match self.ends_at() {
            None if self.is_over() => format!("{value}, over"),
            None => value,
            Some(end) => {
                format!("{value}, {word} {}", end.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
        }
    }
}

fn number(limit: Option<i64>) -> String {
    limit.map_or("unlimited".to_owned(), |limit| limit.to_string())
}
