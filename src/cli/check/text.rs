//! What the answers of `check` have in common.

use std::fmt::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::{
    domain::{Module, explain::TableLine},
    escape::escape_control,
    store::Evidence,
};

pub(super) fn write_verdict(out: &mut String, is_allowed: bool, reason: &str) -> fmt::Result {
    let verdict = if is_allowed { "ALLOWED" } else { "DENIED" };
    writeln!(out, "{:<13}{verdict}  {reason}", "decision")
}

/// The sentence for people, if there is one, and the plans that would do.
pub(super) fn write_message(out: &mut String, message: &str, plan_slugs: &[String]) -> fmt::Result {
    if !message.is_empty() {
        writeln!(out, "{:<13}{}", "message", escape_control(message))?;
    }
    if !plan_slugs.is_empty() {
        writeln!(out, "{:<13}{}", "plans", escape_control(&plan_slugs.join(", ")))?;
    }
    Ok(())
}

/// The instant that was judged, and the next at which time changes the answer.
pub(super) fn write_times(
    out: &mut String,
    at: DateTime<Utc>,
    valid_until: Option<DateTime<Utc>>,
) -> fmt::Result {
    let until = instant_or(valid_until, "time alone changes nothing");
    writeln!(out, "{:<13}{}\n{:<13}{until}", "at", instant(at), "valid until")
}

pub(super) fn write_tenant(out: &mut String, evidence: Option<&Evidence>) -> fmt::Result {
    let Some(evidence) = evidence else { return writeln!(out, "{:<13}none", "tenant") };
    let tenant = &evidence.facts.tenant;
    let status = evidence.tenant.status.as_deref().unwrap_or("NULL");
    let plan = escape_control(
        tenant.plan_slug.as_deref().filter(|slug| !slug.is_empty()).unwrap_or("none"),
    );
    let [subdomain, name, schema] =
        [&tenant.subdomain, &tenant.name, &tenant.database_schema].map(|text| escape_control(text));
    writeln!(out, "{:<13}{subdomain} ({}), {name}", "tenant", tenant.id)?;
    writeln!(out, "{:<13}status {status:?}, plan {plan}, schema {schema}", "")
}

pub(super) fn write_module(out: &mut String, module: Option<&Module>) -> fmt::Result {
    let Some(module) = module else { return writeln!(out, "{:<13}none", "module") };
    let sold = if module.is_active { "sold" } else { "no longer sold" };
    let [code, name] = [module.code.as_str(), &module.name].map(escape_control);
    writeln!(out, "{:<13}{code}, {name}, {sold}", "module")
}

/// Lines of a table, each with what was found, if anything was.
pub(super) fn write_rules(
    out: &mut String,
    rules: impl IntoIterator<Item = TableLine>,
) -> fmt::Result {
    let rules: Vec<TableLine> = rules.into_iter().collect();
    let width = if rules.iter().any(|rule| !rule.found.is_empty()) { 46 } else { 36 };
    for TableLine { order, condition, outcome, found } in rules {
        let outcome = outcome.word();
        let line =
            format!("{order:>4}  {condition:<width$}{outcome:<13}{}", escape_control(&found));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

pub(super) fn rules_as_json(rules: Vec<TableLine>) -> Value {
    let rule = |rule: TableLine| {
        json!({
            "order": rule.order,
            "condition": rule.condition,
            "outcome": rule.outcome.word(),
            "found": rule.found,
        })
    };
    rules.into_iter().map(rule).collect()
}

pub(super) fn tenant_as_json(evidence: &Evidence) -> Value {
    let tenant = &evidence.facts.tenant;
    json!({
        "id": tenant.id.to_string(),
        "name": &*tenant.name,
        "subdomain": &*tenant.subdomain,
        "database_schema": &*tenant.database_schema,
        "status": evidence.tenant.status,
        "plan_slug": tenant.plan_slug.as_deref().unwrap_or_default(),
    })
}

pub(super) fn module_as_json(module: &Module) -> Value {
    json!({
        "code": module.code.as_str(),
        "name": module.name,
        "is_active": module.is_active,
    })
}

/// An instant as stored: a subscription may end within a second.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

pub(super) fn instant_or(at: Option<DateTime<Utc>>, absent: &str) -> String {
    at.map_or_else(|| absent.to_owned(), instant)
}
