//! `tenant show`.

use chrono::{DateTime, Utc};
use comfy_table::Table;
use serde_json::{Value, json};

use super::{key, terms::time_zone_in_words};
use crate::{
    cli::output::{CommandResult, instant_or, limit, print, print_json, table},
    clock::Clock,
    config::{ReadArgs, ShowTenantArgs, TimeZoneArgs},
    domain::{
        Cost, Decision, Facts, LimitInForce, LimitSource, Money, calendar::ZoneStanding,
        check_facts,
    },
    escape::escape_control,
    server::database,
    store::{
        NamedFlag, NamedKeptFeature, NamedLimit, Overview, flag_to_json, kept_feature_to_json,
        kept_limit_to_json, override_to_json, setting_to_json, summary_to_json, time_zone_to_json,
    },
};

pub(crate) async fn run(args: ShowTenantArgs) -> CommandResult {
    let ShowTenantArgs { read: ReadArgs { tenant, database, json }, zone } = args;
    let (key, at) = (key(&tenant)?, Clock::System.now());
    let store = database::open_to_read(&database).await?;
    let read = store.overview(&key, at).await;
    store.close().await;
    let overview =
        read?.ok_or_else(|| format!("there is no tenant {:?}", escape_control(&tenant)))?;
    let TimeZoneArgs { time_zone } = zone;
    let zone = overview.evidence.facts.tenant.zones(time_zone).standing(at);
    if json {
        print_json(&as_json(&overview, &zone, at))
    } else {
        print(&as_text(&overview, &zone, at))
    }
}

/// Each module that the tenant has or had, and what a check answers about it.
fn modules(facts: &Facts, at: DateTime<Utc>) -> impl Iterator<Item = (&str, Decision)> {
    facts.by_module().filter_map(move |rows| {
        let code = rows.first()?.module.as_str();
        Some((code, check_facts(Some(facts), code, at)?))
    })
}

fn as_text(overview: &Overview, zone: &ZoneStanding, at: DateTime<Utc>) -> String {
    let tenant = &overview.evidence.facts.tenant;
    let status = overview.evidence.tenant.status.as_deref().unwrap_or("NULL");
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
        ("costs", costs(overview)),
        ("schema", escape_control(&tenant.database_schema).into_owned()),
        ("months", time_zone_in_words(Some(&time_zone_to_json(zone)))),
    ];
    let head = head.map(|(name, value)| format!("{name:<8}{value}\n")).concat();
    let mut tables = vec![module_table(&overview.evidence.facts, at)];
    if !overview.flags.is_empty() {
        tables.push(flag_table(&overview.flags));
    }
    if !overview.kept_features.is_empty() {
        tables.push(kept_table(&overview.kept_features));
    }
    tables.push(limit_table(overview));
    let tables: Vec<String> = tables.iter().map(Table::trim_fmt).collect();
    format!("{head}\n{}", tables.join("\n\n"))
}

/// What it costs by the catalogue.
fn costs(overview: &Overview) -> String {
    let summary = match &overview.summary {
        Ok(summary) => summary,
        Err(error) => return format!("unknown: {}", escape_control(&error.to_string())),
    };
    let Cost { plan, beside_monthly, monthly, yearly, .. } =
        summary.cost.clone().unwrap_or_default();
    let known = [(monthly, "month"), (yearly, "year")]
        .into_iter()
        .filter_map(|(total, span)| Some(format!("{} a {span}", total?)));
    let known = known.collect::<Vec<_>>().join(", ");
    let known = if known.is_empty() { "unknown" } else { &known };
    let plan = plan.map_or("-".to_owned(), |plan: Money| plan.to_string());
    format!("{known}: the plan {plan}, beside it {beside_monthly} a month")
}

fn module_table(facts: &Facts, at: DateTime<Utc>) -> Table {
    let mut table = table(&["MODULE", "MAY USE IT", "REASON", "CHANGES BY ITSELF"]);
    for (code, decision) in modules(facts, at) {
        table.add_row([
            escape_control(code).into_owned(),
            if decision.allowed() { "yes" } else { "no" }.to_owned(),
            decision.reason.word().to_owned(),
            instant_or(decision.valid_until, "-"),
        ]);
    }
    table
}

fn flag_table(flags: &[NamedFlag]) -> Table {
    let mut table = table(&["FLAG", "SAYS", "VALUE"]);
    for NamedFlag { module, key, flag } in flags {
        let value = flag.value.as_ref().map(|value| setting_to_json(Some(value)).to_string());
        table.add_row([
            escape_control(&format!("{module}/{key}")).into_owned(),
            if flag.is_on { "on" } else { "off" }.to_owned(),
            escape_control(value.as_deref().unwrap_or("-")).into_owned(),
        ]);
    }
    table
}

fn kept_table(kept: &[NamedKeptFeature]) -> Table {
    let mut table = table(&["KEPT OF THE PLAN", "SAYS", "VALUE", "REASON"]);
    for NamedKeptFeature { module, key, says, kept_at } in kept {
        let value = says.as_ref().and_then(|says| says.value.as_ref());
        let value = value.map(|value| setting_to_json(Some(value)).to_string());
        table.add_row([
            escape_control(&format!("{module}/{key}")).into_owned(),
            match says.as_ref().map(|says| says.is_on) {
                Some(true) => "on",
                Some(false) => "off",
                None => "nothing",
            }
            .to_owned(),
            escape_control(value.as_deref().unwrap_or("-")).into_owned(),
            kept_at.words(),
        ]);
    }
    table
}

fn limit_table(overview: &Overview) -> Table {
    let mut table = table(&["LIMIT", "VALUE", "SOURCE", "UNTIL", "REASON"]);
    for in_force in &overview.limits {
        let reason = reason(overview, in_force);
        table.add_row([
            escape_control(&in_force.key).into_owned(),
            limit(in_force.limit),
            by(in_force).to_owned(),
            instant_or(in_force.valid_until, "-"),
            escape_control(&reason).into_owned(),
        ]);
    }
    table
}

/// Why a tenant has this limit: in the words of who made its override, or since when it keeps it.
fn reason(overview: &Overview, in_force: &LimitInForce) -> String {
    let Overview { overrides, kept_limits, .. } = overview;
    if in_force.source == LimitSource::Override {
        let own = overrides.iter().find(|own| *own.key == *in_force.key);
        return own.map_or(String::new(), |NamedLimit { own, .. }| own.reason.clone());
    }
    let kept = kept_limits.iter().find(|kept| *kept.key == *in_force.key);
    kept.map_or(String::new(), |kept| kept.kept_at.words())
}

fn by(limit: &LimitInForce) -> &'static str {
    match limit.source {
        LimitSource::Override => "override",
        LimitSource::Plan => "plan",
        LimitSource::None if limit.has_no_plan => "no plan",
        LimitSource::None => "-",
    }
}

fn as_json(overview: &Overview, zone: &ZoneStanding, at: DateTime<Utc>) -> Value {
    let tenant = &overview.evidence.facts.tenant;
    let modules = modules(&overview.evidence.facts, at).map(|(code, decision)| {
        json!({
            "module_code": code,
            "allowed": decision.allowed(),
            "reason": decision.reason.word(),
            "valid_until": decision.valid_until,
        })
    });
    let limits = overview.limits.iter().map(|limit| {
        json!({
            "key": &*limit.key,
            "limit": limit.limit,
            "source": by(limit),
            "kind": limit.kind.word(),
            "valid_until": limit.valid_until,
        })
    });
    json!({
        "id": tenant.id.to_string(),
        "name": tenant.name,
        "subdomain": tenant.subdomain,
        "database_schema": tenant.database_schema,
        "status": overview.evidence.tenant.status,
        "plan_slug": tenant.plan_slug.as_deref(),
        "modules": modules.collect::<Vec<_>>(),
        "flags": overview.flags.iter().map(flag_to_json).collect::<Vec<_>>(),
        "limit_overrides": overview.overrides.iter().map(override_to_json).collect::<Vec<_>>(),
        "kept_features": overview.kept_features.iter().map(kept_feature_to_json).collect::<Vec<_>>(),
        "kept_limits": overview.kept_limits.iter().map(kept_limit_to_json).collect::<Vec<_>>(),
        "limits": limits.collect::<Vec<_>>(),
        "time_zone": time_zone_to_json(zone),
        "entitlements": overview.summary.as_ref().ok().map(summary_to_json),
    })
}
