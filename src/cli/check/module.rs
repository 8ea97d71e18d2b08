//! May this tenant use this module?

use std::fmt::{self, Write};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    Answer, Found,
    text::{
        instant, instant_or, module_as_json, tenant_as_json, write_message, write_module,
        write_rules, write_tenant, write_times, write_verdict,
    },
};
use crate::{
    domain::{Decision, HeldSubscription, check, decision::deciding_subscription, explain::rules},
    store::SubscriptionEvidence,
};

/// A decision about a module, and what it rests on.
pub(super) struct Examined {
    module: String,
    found: Found,
    decision: Decision,
}

impl Examined {
    pub(super) fn of(found: Found, module: &str) -> Self {
        let decision = check(found.facts(), &found.catalogue, module, found.at);
        Self { module: module.to_owned(), found, decision }
    }

    fn plan_slugs(&self) -> Vec<String> {
        self.found.catalogue.plans_against(self.decision.reason, &self.module)
    }

    /// The subscriptions to the module, each with whether it is the one that decides.
    fn subscriptions(&self) -> Vec<(&HeldSubscription, &SubscriptionEvidence, bool)> {
        let Found { at, evidence, catalogue } = &self.found;
        let Some(evidence) = evidence else { return Vec::new() };
        let code = catalogue.code_of_now(&self.module);
        let deciding = deciding_subscription(&evidence.facts, code, self.decision, *at);
        let rows = evidence.rows_of(code).enumerate();
        rows.map(|(place, (row, words))| (row, words, deciding == Some(place))).collect()
    }
}

impl Answer for Examined {
    fn is_allowed(&self) -> bool {
        self.decision.allowed()
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let Self { module, found, decision } = self;
        let Found { at, evidence, catalogue } = found;
        let mut out = String::new();
        write_verdict(&mut out, decision.allowed(), decision.reason.word())?;
        write_message(&mut out, &decision.reason.message(module), &self.plan_slugs())?;
        write_times(&mut out, *at, decision.valid_until)?;
        out.push('\n');
        write_tenant(&mut out, evidence.as_ref())?;
        write_module(&mut out, catalogue.module(module))?;
        for (row, words, decides) in self.subscriptions() {
            write_subscription(&mut out, row, words, decides, *at)?;
        }
        out.push('\n');
        write_rules(&mut out, rules(*decision))?;
        Ok(out)
    }

    fn json(&self) -> Value {
        let Self { module, found, decision } = self;
        let Found { at, evidence, catalogue } = found;
        let subscription =
            |(row, words, decides): (&HeldSubscription, &SubscriptionEvidence, bool)| {
                json!({
                    "id": words.id,
                    "status": words.status,
                    "starts_at": row.starts_at.map(instant),
                    "expires_at": row.expires_at.map(instant),
                    "is_trial": row.is_trial,
                    "trial_ends_at": row.trial_ends_at.map(instant),
                    "reason": row.reason(*at).word(),
                    "decides": decides,
                })
            };
        json!({
            "allowed": decision.allowed(),
            "reason": decision.reason.word(),
            "message": decision.reason.message(module),
            "plan_slugs": self.plan_slugs(),
            "at": instant(*at),
            "valid_until": decision.valid_until.map(instant),
            "tenant": evidence.as_ref().map(tenant_as_json),
            "module": catalogue.module(module).map(module_as_json),
            "subscriptions": self.subscriptions().into_iter().map(subscription).collect::<Vec<_>>(),
            "rules": rules(*decision).map(|rule| json!({
                "order": rule.order,
                "condition": rule.condition,
                "outcome": rule.outcome.word(),
            })).collect::<Vec<_>>(),
        })
    }
}

fn write_subscription(
    out: &mut String,
    row: &HeldSubscription,
    words: &SubscriptionEvidence,
    decides: bool,
    at: DateTime<Utc>,
) -> fmt::Result {
    let decides = if decides { ", decides" } else { "" };
    let status = words.status.as_deref().unwrap_or("NULL");
    writeln!(out, "{:<13}{}: {}{decides}", "subscription", words.id, row.reason(at).word())?;
    write!(out, "{:<13}status {status:?}", "")?;
    write!(out, ", starts {}", instant_or(row.starts_at, "always"))?;
    write!(out, ", expires {}", instant_or(row.expires_at, "never"))?;
    if row.is_trial {
        write!(out, ", trial ends {}", instant_or(row.trial_ends_at, "never"))?;
    }
    out.push('\n');
    Ok(())
}
