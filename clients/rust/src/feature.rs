//! Features: what is switched on or off inside a module.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    Answer, Reason,
    answer::Words,
    clock::{ALWAYS, Micros, NEVER, date},
};

/// Why a feature is on, or why it is off: mirrors the server's `FeatureReason`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FeatureReason {
    /// Nobody knows: the server could not be asked, and the rule for outages answered. Or a newer
    /// server gave a reason that this library does not know.
    #[default]
    Unspecified,
    /// The module is denied, so that its features are off: see [`FeatureAnswer::module_reason`].
    ModuleDenied,
    /// There is no such feature.
    NotFound,
    /// A flag of the tenant says so.
    Tenant,
    /// The tenant's plan says so.
    Plan,
    /// The definition's default says so.
    Default,
    /// It would be on, but its value is not of the type that its definition names. It is off.
    ValueUnreadable,
}

impl FeatureReason {
    /// Its name in the server's API: `PLAN`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::ModuleDenied => "MODULE_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::Tenant => "TENANT",
            Self::Plan => "PLAN",
            Self::Default => "DEFAULT",
            Self::ValueUnreadable => "VALUE_UNREADABLE",
        }
    }

    /// The sentence for people, of a feature that is off: as the server puts it.
    pub(crate) fn sentence(self, module: &str, key: &str) -> String {
        match self {
            Self::NotFound => format!("There is no feature '{key}' in module '{module}'."),
            Self::Plan => format!(
                "Your plan does not include the feature '{key}' of module '{module}'. Please upgrade your plan."
            ),
            Self::ValueUnreadable => {
                format!("The feature '{key}' of module '{module}' is not set up correctly.")
            }
            Self::Unspecified | Self::ModuleDenied | Self::Tenant | Self::Default => {
                format!("The feature '{key}' of module '{module}' is switched off.")
            }
        }
    }
}

impl fmt::Display for FeatureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Is the feature on?
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct FeatureAnswer {
    pub(crate) enabled: bool,
    pub(crate) reason: FeatureReason,
    pub(crate) module_reason: Reason,
    pub(crate) stale: bool,
    pub(crate) by_outage_rule: bool,
    pub(crate) revision: u64,
    pub(crate) as_of: Micros,
    pub(crate) valid_until: Micros,
    /// Shared with what is held.
    pub(crate) value: Option<Arc<Value>>,
    /// Of one that is off. Shared with what is held, but where there is no such feature.
    pub(crate) words: Option<Arc<Words>>,
}

impl FeatureAnswer {
    /// Is it on?
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Why, or why not.
    pub fn reason(&self) -> FeatureReason {
        self.reason
    }

    /// What became of the module: on [`FeatureReason::ModuleDenied`], why it is denied.
    pub fn module_reason(&self) -> Reason {
        self.module_reason
    }

    /// What it is set to. `None`: it has no value, or is off. A whole number is one, up to 2^53.
    pub fn value(&self) -> Option<&Value> {
        self.value.as_deref()
    }

    /// Where it is off, a sentence that can be shown to a person; else empty.
    pub fn message(&self) -> &str {
        self.words.as_ref().map_or("", |words| &words.message)
    }

    /// Where the module is denied because the tenant has not subscribed to it, the slugs of the
    /// plans on sale that have the feature, cheapest first. Else empty.
    pub fn plan_slugs(&self) -> &[String] {
        self.words.as_ref().map_or(&[], |words| &words.plan_slugs)
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

    /// The instant at which the answer changes by time alone, which is the module's; `None`: never.
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

    /// The reason for programs: that of the module, where that is why it is off.
    pub(crate) fn word(&self) -> &'static str {
        match self.reason {
            FeatureReason::ModuleDenied => self.module_reason.as_str(),
            reason => reason.as_str(),
        }
    }

    /// Off, for this is what became of the module.
    pub(crate) fn of_denied_module(denial: Answer) -> Self {
        Self {
            enabled: false,
            reason: FeatureReason::ModuleDenied,
            module_reason: denial.reason,
            stale: denial.stale,
            by_outage_rule: denial.by_outage_rule,
            revision: denial.revision,
            as_of: denial.as_of,
            valid_until: denial.valid_until,
            value: None,
            words: denial.words,
        }
    }

    /// What became of the module, where that is why it is off: denials are held in this form.
    pub(crate) fn module_denial(&self) -> Option<Answer> {
        (self.reason == FeatureReason::ModuleDenied && !self.enabled).then(|| Answer {
            allowed: false,
            reason: self.module_reason,
            stale: self.stale,
            by_outage_rule: self.by_outage_rule,
            revision: self.revision,
            as_of: self.as_of,
            valid_until: self.valid_until,
            words: self.words.clone(),
        })
    }

    /// Nobody knows, and the outage rule says on, or off with this sentence.
    pub(crate) fn by_rule(off: Option<&str>) -> Self {
        Self {
            enabled: off.is_none(),
            reason: FeatureReason::Unspecified,
            module_reason: Reason::Unspecified,
            stale: true,
            by_outage_rule: true,
            revision: 0,
            as_of: ALWAYS,
            valid_until: NEVER,
            value: None,
            words: off.map(|message| Words::of(message.to_owned()).into()),
        }
    }
}
