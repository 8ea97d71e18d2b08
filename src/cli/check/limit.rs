//! Is so much within this limit?

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::{
    Answer, Found,
    text::{
        instant, instant_or, rules_as_json, tenant_as_json, write_message, write_rules,
        write_tenant, write_times, write_verdict,
    },
};
use crate::{
    domain::{KeptLimit, LimitDefinition, LimitSource, Reason, Wanted, explain::LimitGrounds},
    escape::escape_control,
};

/// A limit, and what decides about it.
pub(super) struct Examined {
    found: Found,
    key: String,
    wanted: Wanted,
}

impl Examined {
    pub(super) fn new(found: Found, key: &str, wanted: Wanted) -> Self {
        Self { found, key: key.to_owned(), wanted }
    }

    fn grounds(&self) -> LimitGrounds<'_> {
        let Found { at, catalogue, .. } = &self.found;
        LimitGrounds::of(self.found.facts(), catalogue, &self.key, self.wanted, *at)
    }

    fn plan_slugs(&self, grounds: &LimitGrounds<'_>) -> Vec<String> {
        let catalogue = &self.found.catalogue;
        catalogue.plans_for_limit(&grounds.decision, grounds.plan, &self.key, self.wanted)
    }

    /// Why the tenant has an override, in the words of who made it.
    fn reason(&self) -> &str {
        let evidence = self.found.evidence.as_ref();
        evidence.map_or("", |evidence| evidence.reason_of_override(&self.key))
    }

    fn write_override(&self, out: &mut String, grounds: &LimitGrounds<'_>) -> fmt::Result {
        let Some(own) = grounds.own else { return writeln!(out, "{:<13}none", "override") };
        let over = if grounds.is_over() { ", which has passed" } else { "" };
        let ends = instant_or(grounds.ends_at(), "never");
        let value = number_or(own.value, "unlimited");
        writeln!(out, "{:<13}{value}, ends {ends}{over}", "override")?;
        match self.reason() {
            "" => Ok(()),
            reason => writeln!(out, "{:<13}reason {:?}", "", escape_control(reason)),
        }
    }
}

impl Answer for Examined {
    fn is_allowed(&self) -> bool {
        self.grounds().decision.reason.allows()
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let grounds = self.grounds();
        let decision = &grounds.decision;
        let in_force = decision.in_force.as_ref();
        let mut out = String::new();
        write_verdict(&mut out, decision.reason.allows(), decision.reason.word())?;
        write_message(&mut out, &decision.message(&self.key), &self.plan_slugs(&grounds))?;
        if let Some(limit) = in_force {
            let Wanted { observed, amount } = self.wanted;
            let value = number_or(limit.limit, "unlimited");
            writeln!(out, "{:<13}{value}: {observed} used, {amount} more wanted", "limit")?;
        }
        write_times(&mut out, self.found.at, in_force.and_then(|limit| limit.valid_until))?;
        out.push('\n');
        write_tenant(&mut out, self.found.evidence.as_ref())?;
        self.write_override(&mut out, &grounds)?;
        match grounds.plan {
            None => writeln!(out, "{:<13}none", "plan")?,
            Some(slug) => {
                let value = number_or(grounds.planned, "unlimited");
                writeln!(out, "{:<13}{}: {value}", "plan", escape_control(slug))?;
            }
        }
        if let Some(KeptLimit { value, kept_at, .. }) = grounds.kept {
            let value = number_or(*value, "unlimited");
            writeln!(out, "{:<13}{value}, {}", "", kept_at.words())?;
        }
        write_definition(&mut out, grounds.defined)?;
        out.push('\n');
        write_rules(&mut out, grounds.lines())?;
        Ok(out)
    }

    fn json(&self) -> Value {
        let grounds = self.grounds();
        let decision = &grounds.decision;
        let in_force = decision.in_force.as_ref();
        let Wanted { observed, amount } = self.wanted;
        json!({
            "allowed": decision.reason.allows(),
            "reason": decision.reason.word(),
            "message": decision.message(&self.key),
            "plan_slugs": self.plan_slugs(&grounds),
            "limit_key": self.key,
            "limit": in_force.and_then(|limit| limit.limit),
            "used": observed,
            "amount": amount,
            "remaining": in_force.and_then(|limit| limit.remaining(observed)),
            "source": source(in_force.map_or(LimitSource::None, |limit| limit.source)),
            "tenant_reason": decision.tenant.map(Reason::word),
            "at": instant(self.found.at),
            "valid_until": in_force.and_then(|limit| limit.valid_until).map(instant),
            "tenant": self.found.evidence.as_ref().map(tenant_as_json),
            "limit_override": grounds.own.map(|own| json!({
                "value": own.value,
                "ends_at": grounds.ends_at().map(instant),
                "reason": self.reason(),
                "is_over": grounds.is_over(),
            })),
            "plan": grounds.plan.map(|slug| json!({
                "plan_slug": slug,
                "limit": grounds.planned,
            })),
            "kept": grounds.kept.map(|kept| json!({
                "limit": kept.value,
                "kept_at": kept.kept_at.0.map(instant),
            })),
            "definition": grounds.defined.map(|defined| json!({
                "name": defined.name,
                "unit": defined.unit,
                "kind": defined.kind.word(),
                "is_column_of_plans": LimitDefinition::is_built_in(&defined.key),
            })),
            "rules": rules_as_json(grounds.lines()),
        })
    }
}

fn number_or(value: Option<i64>, absent: &str) -> String {
    value.map_or_else(|| absent.to_owned(), |value| value.to_string())
}

fn source(source: LimitSource) -> &'static str {
    match source {
        LimitSource::Override => "OVERRIDE",
        LimitSource::Plan => "PLAN",
        LimitSource::None => "NONE",
    }
}

fn write_definition(out: &mut String, defined: Option<&LimitDefinition>) -> fmt::Result {
    let Some(defined) = defined else { return writeln!(out, "{:<13}none", "definition") };
    let unit = if defined.unit.is_empty() { String::new() } else { format!(" ({})", defined.unit) };
    writeln!(out, "{:<13}{}{}", "definition", defined.kind.word(), escape_control(&unit))
}
