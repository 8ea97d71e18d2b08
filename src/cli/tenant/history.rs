//! `tenant history`: what was done to a tenant, as a timeline.

use serde_json::{Value, json};

use super::{
    key,
    mutate::{costs_of, differences},
    terms,
};
use crate::{
    cli::output::{CommandResult, instant, print, print_json},
    clock::Clock,
    config::{HistoryArgs, ReadArgs},
    domain::{Money, TenantId},
    escape::escape_control,
    server::database,
    store::{AuditEvent, AuditQuery, Store, StoreError, TenantKey},
};

pub(crate) async fn run(args: HistoryArgs) -> CommandResult {
    let HistoryArgs { read: ReadArgs { tenant, database, json }, limit } = args;
    let key = key(&tenant)?;
    let store = database::open_to_read(&database).await?;
    let read = read(&store, &key, limit).await;
    store.close().await;
    let Some(mut events) = read? else {
        return Err(format!("there is no tenant {:?}", escape_control(&tenant)).into());
    };
    events.reverse();
    if json { print_json(&events.iter().map(as_json).collect()) } else { print(&as_text(&events)?) }
}

/// The newest events; `None`: no tenant has this subdomain. A UUID may belong to a deleted tenant.
async fn read(
    store: &Store,
    key: &TenantKey,
    limit: u32,
) -> Result<Option<Vec<AuditEvent>>, StoreError> {
    let id = match key {
        TenantKey::Id(id) => Some(*id),
        TenantKey::Subdomain(_) => {
            let reading = store.read(key, Clock::System.now()).await?;
            reading.evidence.map(|evidence| evidence.facts.tenant.id)
        }
    };
    let Some(id) = id else { return Ok(None) };
    let query = AuditQuery { tenant: Some(id), size: limit, ..AuditQuery::default() };
    store.audit_events(&query).await.map(Some)
}

fn as_text(events: &[AuditEvent]) -> Result<String, StoreError> {
    let mut text = Vec::new();
    for event in events {
        let AuditEvent { made_at, actor, actor_kind, action, reason, .. } = event;
        text.push(format!(
            "{}  {} ({})  {action}",
            instant(*made_at),
            escape_control(actor),
            escape_control(actor_kind)
        ));
        text.extend(
            reason.as_deref().map(|reason| format!("    because {}", escape_control(reason))),
        );
        text.extend(lines(event)?.iter().map(|line| format!("    {}", escape_control(line))));
    }
    if text.is_empty() {
        text.push("nothing was done to it through entitlementd".into());
    }
    Ok(text.join("\n"))
}

/// What an event changed.
fn lines(event: &AuditEvent) -> Result<Vec<String>, StoreError> {
    if let Some(line) = terms::of_event(event) {
        return Ok(vec![line]);
    }
    let [before, after] = event.summaries()?.map(Option::unwrap_or_default);
    let mut lines = Vec::new();
    if before.status != after.status {
        lines.push(format!("status {} -> {}", or_none(&before.status), or_none(&after.status)));
    }
    if before.plan != after.plan {
        let plan = |plan: &Option<String>| plan.clone().unwrap_or_else(|| "none".into());
        lines.push(format!("plan {} -> {}", plan(&before.plan), plan(&after.plan)));
    }
    lines.extend(differences(&before, &after));
    let [monthly_before, monthly_after] = [&before, &after].map(|summary| costs_of(summary)[2]);
    if monthly_before != monthly_after {
        let amount = |amount: Option<Money>| amount.map_or("-".into(), |amount| amount.to_string());
        let (before, after) = (amount(monthly_before), amount(monthly_after));
        lines.push(format!("a month {before} -> {after}"));
    }
    lines.extend(event.applied_files().iter().map(|file| format!("applied {file}")));
    if let Some(error) = event.request["error"].as_str() {
        lines.push(format!("failed: {error}"));
    }
    if lines.is_empty() {
        lines.push("nothing changed".into());
    }
    Ok(lines)
}

fn or_none(word: &str) -> &str {
    if word.is_empty() { "none" } else { word }
}

/// JSON with the proto's names.
fn as_json(event: &AuditEvent) -> Value {
    json!({
        "id": event.id,
        "made_at": event.made_at,
        "actor": event.actor,
        "actor_kind": event.actor_kind,
        "action": event.action,
        "tenant_id": event.tenant.as_ref().map(TenantId::to_string),
        "subject": event.subject,
        "reason": event.reason,
        "request": event.request,
        "before": event.before,
        "after": event.after,
        "request_id": event.request_id,
    })
}
