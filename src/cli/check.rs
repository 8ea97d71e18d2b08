//! `entitlementd check`: why is this customer locked out?

use std::{error::Error, fmt::Write, sync::Arc};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use prost_types::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tonic::Request;

use super::{DENIED, GOOD};
use crate::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    config::CheckArgs,
    domain::BaseDomains,
    escape::{shown, shown_json},
    proto::v1::{
        ExplainModuleRequest, ExplainModuleResponse, ModuleDecision, Rule, SubscriptionFacts,
        entitlement_service_server::EntitlementService,
    },
    security::token::{TokenRules, Tokens},
    server::database::{self, Opening},
    service::{self, Ages, Api, CallerGate, Tracer, WatcherPlaces},
    store::{ChangeLog, Durations, Store},
};

const ONE_SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// Asks the database what a server would, and prints the answer with all that it rests on.
pub(crate) async fn run(args: CheckArgs) -> Result<u8, Box<dyn Error>> {
    let durations = Durations { acquire: ONE_SECOND, statement: Some(ONE_SECOND) };
    // What is not asked for need not be there: this is the tool for a database in trouble.
    let opening = Opening { durations, log: ChangeLog::LeftOut, create: false, ..database::PATIENT };
    let store = Arc::new(database::open_store(&args.database, &opening).await?);
    let api = api_without_memory(Arc::clone(&store));
    let at = args.at.map(|at| Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos().cast_signed() });
    let request = ExplainModuleRequest { tenant: args.tenant, module_code: args.module, at };
    let explained = api.explain_module(Request::new(request)).await;
    store.close().await;
    let explained = explained.map_err(|status| status.message().to_owned())?.into_inner();

    let decision = explained.decision.clone().unwrap_or_default();
    if args.json {
        println!("{}", shown_json(&format!("{:#}", as_json(&explained, &decision))));
    } else {
        print!("{}", as_text(&explained, &decision)?);
    }
    Ok(if decision.allowed { GOOD } else { DENIED })
}

fn api_without_memory(store: Arc<Store>) -> Api {
    let zero = TimeDelta::zero();
    let settings = CacheSettings {
        ttl: zero,
        negative_ttl: zero,
        max_stale: zero,
        capacity: 1,
        max_loads: 1,
        // A person waits longer than a service does, and the pool's own error says more.
        max_past: 1,
        reload_changed: false,
        load_timeout: std::time::Duration::from_secs(10),
    };
    Api {
        cache: Cache::new(Arc::clone(&store), settings, Handle::current()),
        store,
        tokens: Arc::new(Tokens::new(TokenRules::default())),
        hosts: Arc::new(BaseDomains::default()),
        callers: CallerGate::default(),
        watchers: WatcherPlaces::new(0),
        ages: Ages { grant: zero, denial: zero },
        clock: Clock::System,
        gateway: Arc::default(),
        decision_log: None,
        tracer: Tracer::default(),
        metrics: Arc::new(service::metrics()),
    }
}

fn as_text(explained: &ExplainModuleResponse, decision: &ModuleDecision) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let verdict = if decision.allowed { "ALLOWED" } else { "DENIED" };
    let reason = word(decision.reason().as_str_name(), "DECISION_REASON_");
    writeln!(out, "{:<13}{verdict}  {reason}", "decision")?;
    if !decision.message.is_empty() {
        writeln!(out, "{:<13}{}", "message", shown(&decision.message))?;
    }
    if !decision.plan_slugs.is_empty() {
        writeln!(out, "{:<13}{}", "plans", shown(&decision.plan_slugs.join(", ")))?;
    }
    writeln!(out, "{:<13}{}", "at", instant_or(explained.at.as_ref(), "-"))?;
    writeln!(out, "{:<13}{}", "valid until", instant_or(decision.valid_until.as_ref(), "time alone changes nothing"))?;

    match &explained.tenant {
        Some(tenant) => {
            let status = tenant.status.as_deref().unwrap_or("NULL");
            let plan = if tenant.plan_slug.is_empty() { "none".into() } else { shown(&tenant.plan_slug) };
            let [subdomain, name, schema] =
                [&tenant.subdomain, &tenant.name, &tenant.database_schema].map(|text| shown(text));
            writeln!(out, "\n{:<13}{subdomain} ({}), {name}", "tenant", tenant.id)?;
            writeln!(out, "{:<13}status {status:?}, plan {plan}, schema {schema}", "")?;
        }
        None => writeln!(out, "\n{:<13}none", "tenant")?,
    }
    match &explained.module {
        Some(module) => {
            let sold = if module.is_active { "sold" } else { "no longer sold" };
            writeln!(out, "{:<13}{}, {}, {sold}", "module", shown(&module.code), shown(&module.name))?;
        }
        None => writeln!(out, "{:<13}none", "module")?,
    }
    for row in &explained.subscriptions {
        write_subscription(&mut out, row)?;
    }
    writeln!(out)?;
    for rule in &explained.rules {
        writeln!(out, "{:>4}  {:<36}{}", rule.order, rule.condition, outcome(rule))?;
    }
    Ok(out)
}

fn write_subscription(out: &mut String, row: &SubscriptionFacts) -> std::fmt::Result {
    let decides = if row.decides { ", decides" } else { "" };
    let status = row.status.as_deref().unwrap_or("NULL");
    let reason = word(row.reason().as_str_name(), "DECISION_REASON_");
    writeln!(out, "{:<13}{}: {reason}{decides}", "subscription", row.id)?;
    write!(out, "{:<13}status {status:?}", "")?;
    write!(out, ", starts {}", instant_or(row.starts_at.as_ref(), "always"))?;
    write!(out, ", expires {}", instant_or(row.expires_at.as_ref(), "never"))?;
    if row.is_trial {
        write!(out, ", trial ends {}", instant_or(row.trial_ends_at.as_ref(), "never"))?;
    }
    writeln!(out)
}

/// JSON in the names of the proto. Instants are RFC 3339; what is absent is null.
fn as_json(explained: &ExplainModuleResponse, decision: &ModuleDecision) -> Value {
    let instant = |at: Option<&Timestamp>| at.map(|at| instant_or(Some(at), ""));
    let subscription = |row: &SubscriptionFacts| {
        json!({
            "id": row.id,
            "status": row.status,
            "starts_at": instant(row.starts_at.as_ref()),
            "expires_at": instant(row.expires_at.as_ref()),
            "is_trial": row.is_trial,
            "trial_ends_at": instant(row.trial_ends_at.as_ref()),
            "reason": word(row.reason().as_str_name(), "DECISION_REASON_"),
            "decides": row.decides,
        })
    };
    json!({
        "allowed": decision.allowed,
        "reason": word(decision.reason().as_str_name(), "DECISION_REASON_"),
        "message": decision.message,
        "plan_slugs": decision.plan_slugs,
        "at": instant(explained.at.as_ref()),
        "valid_until": instant(decision.valid_until.as_ref()),
        "tenant": explained.tenant.as_ref().map(|tenant| json!({
            "id": tenant.id,
            "name": tenant.name,
            "subdomain": tenant.subdomain,
            "database_schema": tenant.database_schema,
            "status": tenant.status,
            "plan_slug": tenant.plan_slug,
        })),
        "module": explained.module.as_ref().map(|module| json!({
            "code": module.code,
            "name": module.name,
            "is_active": module.is_active,
        })),
        "subscriptions": explained.subscriptions.iter().map(subscription).collect::<Vec<_>>(),
        "rules": explained.rules.iter().map(|rule| json!({
            "order": rule.order,
            "condition": rule.condition,
            "outcome": outcome(rule),
        })).collect::<Vec<_>>(),
    })
}

fn outcome(rule: &Rule) -> &'static str {
    word(rule.outcome().as_str_name(), "RULE_OUTCOME_")
}

fn word(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

fn instant_or(at: Option<&Timestamp>, absent: &str) -> String {
    let read = |at: &Timestamp| DateTime::<Utc>::from_timestamp(at.seconds, at.nanos.cast_unsigned());
    at.and_then(read).map_or_else(|| absent.to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
