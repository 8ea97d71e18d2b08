//! Is this feature on?

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::{
    Answer, Found,
    text::{
        instant, instant_or, module_as_json, rules_as_json, tenant_as_json, write_message,
        write_module, write_rules, write_tenant, write_times, write_verdict,
    },
};
use crate::{
    domain::{FeatureDefinition, KeptFeature, PlanFeature, Setting, explain::FeatureGrounds},
    escape::escape_control,
    store::FlagEvidence,
};

/// A feature, and what decides about it.
pub(super) struct Examined {
    found: Found,
    module: String,
    key: String,
}

impl Examined {
    pub(super) fn new(found: Found, module: &str, key: &str) -> Self {
        Self { found, module: module.to_owned(), key: key.to_owned() }
    }

    fn grounds(&self) -> FeatureGrounds<'_> {
        let Found { at, catalogue, .. } = &self.found;
        FeatureGrounds::of(self.found.facts(), catalogue, &self.module, &self.key, *at)
    }

    fn plan_slugs(&self) -> Vec<String> {
        let (grounds, catalogue) = (self.grounds(), &self.found.catalogue);
        catalogue.plans_for_feature(grounds.decision, grounds.plan, &self.module, &self.key)
    }

    /// The tenant's rows with this key, each with whether it is the one that decides.
    fn flags(&self) -> Vec<(&FlagEvidence, bool)> {
        let Some(evidence) = &self.found.evidence else { return Vec::new() };
        let code = self.found.catalogue.code_of_now(&self.module);
        let (flags, is_by_flag) = (evidence.flags_of(code, &self.key), self.grounds().is_by_flag());
        (0..).zip(flags).map(|(place, flag)| (flag, place == 0 && is_by_flag)).collect()
    }
}

impl Answer for Examined {
    fn is_allowed(&self) -> bool {
        self.grounds().decision.state.is_on
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let Self { found, module, key } = self;
        let grounds = self.grounds();
        let decision = grounds.decision;
        let mut out = String::new();
        write_verdict(&mut out, decision.state.is_on, decision.state.reason.word())?;
        write_message(&mut out, &decision.message(module, key), &self.plan_slugs())?;
        if let Some(value) = decision.state.value {
            writeln!(out, "{:<13}{}", "value", escape_control(&value.json()))?;
        }
        write_times(&mut out, found.at, decision.module.valid_until)?;
        out.push('\n');
        write_tenant(&mut out, found.evidence.as_ref())?;
        write_module(&mut out, found.catalogue.module(module))?;
        let flags = self.flags();
        if flags.is_empty() {
            writeln!(out, "{:<13}none", "flag")?;
        }
        for (flag, decides) in flags {
            write_flag(&mut out, flag, decides)?;
        }
        write_plan(&mut out, grounds.plan, grounds.said.planned)?;
        if let Some(KeptFeature { says, kept_at, .. }) = grounds.said.kept {
            let says = escape_control(&said(says.as_ref())).into_owned();
            writeln!(out, "{:<13}{says}, {}", "", kept_at.words())?;
        }
        write_definition(&mut out, grounds.said.defined)?;
        out.push('\n');
        write_rules(&mut out, grounds.lines())?;
        Ok(out)
    }

    fn json(&self) -> Value {
        let Self { found, module, key } = self;
        let grounds = self.grounds();
        let decision = grounds.decision;
        let plan = grounds.plan.zip(grounds.said.planned);
        let flag = |(flag, decides): (&FlagEvidence, bool)| {
            json!({
                "id": flag.row.id.to_string(),
                "module_code": flag.module_code,
                "is_enabled": flag.is_enabled,
                "config": flag.config,
                "updated_at": flag.updated_at.map(instant),
                "decides": decides,
            })
        };
        json!({
            "enabled": decision.state.is_on,
            "reason": decision.state.reason.word(),
            "message": decision.message(module, key),
            "value": decision.state.value.map(Setting::json),
            "plan_slugs": self.plan_slugs(),
            "module_code": module,
            "feature_key": key,
            "module_reason": decision.module.reason.word(),
            "at": instant(found.at),
            "valid_until": decision.module.valid_until.map(instant),
            "tenant": found.evidence.as_ref().map(tenant_as_json),
            "module": found.catalogue.module(module).map(module_as_json),
            "flags": self.flags().into_iter().map(flag).collect::<Vec<_>>(),
            "plan": plan.map(|(slug, planned)| json!({
                "plan_slug": slug,
                "enabled": planned.is_on,
                "value": planned.value.as_ref().map(Setting::json),
            })),
            "kept": grounds.said.kept.map(|kept| json!({
                "enabled": kept.says.as_ref().map(|says| says.is_on),
                "value": kept.says.as_ref().and_then(|says| says.value.as_ref()).map(Setting::json),
                "kept_at": kept.kept_at.0.map(instant),
            })),
            "definition": grounds.said.defined.map(|defined| json!({
                "name": defined.name,
                "description": defined.description,
                "value_type": defined.value_type.word(),
                "is_on_by_default": defined.is_on_by_default,
                "default_value": defined.default_value.as_ref().map(Setting::json),
            })),
            "rules": rules_as_json(grounds.lines()),
        })
    }
}

fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

fn write_flag(out: &mut String, flag: &FlagEvidence, decides: bool) -> fmt::Result {
    let decides = if decides { ", decides" } else { "" };
    let stored = flag.is_enabled.map_or("NULL", |is_on| if is_on { "true" } else { "false" });
    writeln!(out, "{:<13}{}: {}{decides}", "flag", flag.row.id, on_or_off(flag.row.is_on))?;
    let config = escape_control(flag.config.as_deref().unwrap_or("NULL"));
    let updated = instant_or(flag.updated_at, "nobody knows when");
    writeln!(
        out,
        "{:<13}module {:?}, is_enabled {stored}, config {config}, updated {updated}",
        "", flag.module_code
    )
}

fn write_plan(out: &mut String, plan: Option<&str>, planned: Option<&PlanFeature>) -> fmt::Result {
    let Some(slug) = plan else { return writeln!(out, "{:<13}none", "plan") };
    let says = said(planned);
    writeln!(out, "{:<13}{}: {}", "plan", escape_control(slug), escape_control(&says))
}

/// What a plan says about a feature, or said.
fn said(planned: Option<&PlanFeature>) -> String {
    let Some(planned) = planned else { return "says nothing".to_owned() };
    let value = planned.value.as_ref().map(|value| format!(", value {}", value.json()));
    format!("{}{}", on_or_off(planned.is_on), value.unwrap_or_default())
}

fn write_definition(out: &mut String, defined: Option<&FeatureDefinition>) -> fmt::Result {
    let Some(defined) = defined else { return writeln!(out, "{:<13}none", "definition") };
    let value = defined.default_value.as_ref().map(|value| format!(", value {}", value.json()));
    writeln!(
        out,
        "{:<13}{}, {} by default{}",
        "definition",
        defined.value_type.word(),
        on_or_off(defined.is_on_by_default),
        escape_control(&value.unwrap_or_default())
    )
}
