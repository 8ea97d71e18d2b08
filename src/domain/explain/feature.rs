//! Why a feature is on or off.

use chrono::{DateTime, Utc};

use super::{TableLine, lines};
use crate::domain::{
    Catalogue, Facts, FeatureDecision, FeatureReason, ValueType, check_feature, feature::Said,
};

/// What decides about a feature, and what it comes to.
#[derive(Clone, Copy, Debug)]
pub struct FeatureGrounds<'a> {
    /// What flag, plan, what is kept of that, and definition say.
    pub said: Said<'a>,
    /// The slug of the tenant's plan.
    pub plan: Option<&'a str>,
    /// What that comes to.
    pub decision: FeatureDecision<'a>,
}

impl<'a> FeatureGrounds<'a> {
    /// What decides about a feature at one instant. `facts` is `None` if the tenant does not exist.
    pub fn of(
        facts: Option<&'a Facts>,
        catalogue: &'a Catalogue,
        module: &str,
        key: &str,
        at: DateTime<Utc>,
    ) -> Self {
        let code = catalogue.code_of_now(module);
        let nobody =
            || Said { defined: catalogue.definitions().feature(code, key), ..Said::default() };
        Self {
            said: facts.map_or_else(nobody, |facts| Said::of(facts, catalogue, code, key)),
            plan: facts.and_then(|facts| facts.tenant.plan_slug.as_deref()),
            decision: check_feature(facts, catalogue, module, key, at),
        }
    }

    /// Is it the tenant's flag that gave the answer its reason?
    pub fn is_by_flag(&self) -> bool {
        match self.decision.state.reason {
            FeatureReason::Tenant => true,
            FeatureReason::ValueUnreadable => {
                self.said.flag.is_some_and(|flag| flag.value.is_some())
            }
            _ => false,
        }
    }

    /// What is tried, in order: the first that applies decides.
    pub fn lines(&self) -> Vec<TableLine> {
        let Said { flag, defined, .. } = self.said;
        let on_or = |is_on: Option<bool>, absent: &str| match is_on {
            Some(true) => "on".to_owned(),
            Some(false) => "off".to_owned(),
            None => absent.to_owned(),
        };
        let planned = on_or(self.said.of_plan().map(|planned| planned.is_on), "nothing");
        let kept = self.said.kept.map(|kept| format!(", {}", kept.kept_at.words()));
        let kept = kept.unwrap_or_default();
        let all = [
            ("the module is denied", self.decision.module.reason.word().to_owned()),
            ("it is on, with a value of another type", self.value()),
            ("a flag of the tenant", on_or(flag.map(|flag| flag.is_on), "none")),
            (
                "the tenant's plan",
                self.plan.map_or("no plan".to_owned(), |plan| format!("{plan}: {planned}{kept}")),
            ),
            (
                "the definition's default",
                on_or(defined.map(|defined| defined.is_on_by_default), "not defined"),
            ),
            ("otherwise: there is no such feature", String::new()),
        ];
        let decides = match self.decision.state.reason {
            FeatureReason::ModuleDenied => 1,
            FeatureReason::ValueUnreadable => 2,
            FeatureReason::Tenant => 3,
            FeatureReason::Plan => 4,
            FeatureReason::Default => 5,
            FeatureReason::NotFound => 6,
        };
        lines(all, decides)
    }

    fn value(&self) -> String {
        let Some(value) = self.said.value() else { return "no value".to_owned() };
        let takes = self.said.defined.map_or_else(ValueType::default, |it| it.value_type);
        let (value, word) = (value.json(), takes.word());
        match self.said.value() {
            Some(setting) if takes.takes(setting) => format!("{value}, as {word}"),
            _ => format!("{value}, which is not {word}"),
        }
    }
}
