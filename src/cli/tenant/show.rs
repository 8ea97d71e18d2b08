//! `tenant show`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::key;
use crate::{
    cli::output::{CommandResult, instant_or, print, print_json, table},
    clock::Clock,
    config::ReadArgs,
    domain::{Decision, Facts, check_facts},
    escape::escape_control,
    server::database,
    store::Evidence,
};

pub(crate) async fn run(args: ReadArgs) -> CommandResult {
    let ReadArgs { tenant, database, json } = args;
    let (key, at) = (key(&tenant)?, Clock::System.now());
    let store = database::open_to_read(&database).await?;
    let read = store.read(&key, at).await;
    store.close().await;
    let evidence = read?
        .evidence
        .ok_or_else(|| format!("there is no tenant {:?}", escape_control(&tenant)))?;
    if json { print_json(&as_json(&evidence, at)) } else { print(&as_text(&evidence, at)) }
}

/// Each module that the tenant has or had, and what a check answers about it.
fn modules(facts: &Facts, at: DateTime<Utc>) -> impl Iterator<Item = (&str, Decision)> {
    facts.by_module().filter_map(move |rows| {
        let code = rows.first()?.module.as_str();
        Some((code, check_facts(Some(facts), code, at)?))
    })
}

fn as_text(evidence: &Evidence, at: DateTime<Utc>) -> String {
    let tenant = &evidence.facts.tenant;
    let status = evidence.tenant.status.as_deref().unwrap_or("NULL");
    let head = [
        (
            "tenant",
            format!(
                "{} ({}), {}",
                escape_control(&tenant.subdomain),
                tenant.id,
                escape_control(&tenant.name)
            ),
        ),
        ("status", escape_control(status).into_owned()),
        ("plan", escape_control(tenant.plan_slug.as_deref().unwrap_or("none")).into_owned()),
        ("schema", escape_control(&tenant.database_schema).into_owned()),
    ];
    let head = head.map(|(name, value)| format!("{name:<8}{value}\n")).concat();
    let mut table = table(&["MODULE", "MAY USE IT", "REASON", "CHANGES BY ITSELF"]);
    for (code, decision) in modules(&evidence.facts, at) {
        table.add_row([
            escape_control(code).into_owned(),
            if decision.allowed() { "yes" } else { "no" }.to_owned(),
            decision.reason.word().to_owned(),
            instant_or(decision.valid_until, "-"),
        ]);
    }
    format!("{head}\n{}", table.trim_fmt())
}

fn as_json(evidence: &Evidence, at: DateTime<Utc>) -> Value {
    let tenant = &evidence.facts.tenant;
    let modules = modules(&evidence.facts, at).map(|(code, decision)| {
        json!({
            "module_code": code,
            "allowed": decision.allowed(),
            "reason": decision.reason.word(),
            "valid_until": decision.valid_until,
        })
    });
    json!({
        "id": tenant.id.to_string(),
        "name": tenant.name,
        "subdomain": tenant.subdomain,
        "database_schema": tenant.database_schema,
        "status": evidence.tenant.status,
        "plan_slug": tenant.plan_slug.as_deref(),
        "modules": modules.collect::<Vec<_>>(),
    })
}
