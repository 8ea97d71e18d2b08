//! `tenant set-flag`, `delete-flag`, `set-limit`, `end-limit`, `end-kept-feature`, `end-kept-limit` and
//! `set-time-zone`, and what was done in words.

use serde_json::Value;

use super::key;
use crate::{
    cli::{
        feature::{change, setting},
        output::{CommandResult, limit},
    },
    config::{DeleteFlagArgs, EndLimitArgs, SetFlagArgs, SetLimitArgs, SetTimeZoneArgs, Switch},
    domain::{FeatureName, KeptAt, OwnEdit, OwnFlag, OwnLimit, TimeZoneEdit},
    store::{AuditEvent, FeatureChange},
};

pub(crate) async fn set_flag(args: SetFlagArgs) -> CommandResult {
    let SetFlagArgs { tenant, module, key: feature, switch, value, mutation } = args;
    let value = value.map(|value| setting("--value", value)).transpose()?.flatten();
    let flag = OwnFlag { is_on: switch == Switch::On, value };
    let edit = OwnEdit::SetFlag(FeatureName { module, key: feature }, flag);
    change(FeatureChange::Own(key(&tenant)?, edit), mutation).await
}

pub(crate) async fn delete_flag(args: DeleteFlagArgs) -> CommandResult {
    let DeleteFlagArgs { tenant, module, key: feature, mutation } = args;
    let edit = OwnEdit::DeleteFlag(FeatureName { module, key: feature });
    change(FeatureChange::Own(key(&tenant)?, edit), mutation).await
}

pub(crate) async fn set_limit(args: SetLimitArgs) -> CommandResult {
    let SetLimitArgs { tenant, key: limit_key, limit, ends_at, mutation } = args;
    let why = mutation.mutation.reason.as_ref();
    let reason = why.map(ToString::to_string).unwrap_or_default();
    let edit = OwnEdit::SetLimit(limit_key, OwnLimit { limit: limit.0, ends_at, reason });
    change(FeatureChange::Own(key(&tenant)?, edit), mutation).await
}

pub(crate) async fn end_limit(args: EndLimitArgs) -> CommandResult {
    let EndLimitArgs { tenant, key: limit_key, mutation } = args;
    change(FeatureChange::Own(key(&tenant)?, OwnEdit::EndLimit(limit_key)), mutation).await
}

pub(crate) async fn end_kept_feature(args: DeleteFlagArgs) -> CommandResult {
    let DeleteFlagArgs { tenant, module, key: feature, mutation } = args;
    let edit = OwnEdit::EndKeptFeature(FeatureName { module, key: feature });
    change(FeatureChange::Own(key(&tenant)?, edit), mutation).await
}

pub(crate) async fn end_kept_limit(args: EndLimitArgs) -> CommandResult {
    let EndLimitArgs { tenant, key: limit_key, mutation } = args;
    change(FeatureChange::Own(key(&tenant)?, OwnEdit::EndKeptLimit(limit_key)), mutation).await
}

pub(crate) async fn set_time_zone(args: SetTimeZoneArgs) -> CommandResult {
    let SetTimeZoneArgs { tenant, zone, servers, mutation } = args;
    let edit = TimeZoneEdit { zone: zone.0, servers: servers.time_zone };
    change(FeatureChange::Own(key(&tenant)?, OwnEdit::SetTimeZone(edit)), mutation).await
}

/// What a recorded change of flags or limits did, or of a plan out of which the tenant keeps what it
/// had; `None`: it was another change.
pub(super) fn of_event(event: &AuditEvent) -> Option<String> {
    let [before, after] = [event.before.as_ref(), event.after.as_ref()];
    let named = |name: &str| event.request[name].as_str().unwrap_or("-");
    match event.action.as_str() {
        "SetTenantFlag" | "DeleteTenantFlag" => Some(format!(
            "flag {}/{} {} -> {}",
            named("module_code"),
            named("feature_key"),
            flag_in_words(before),
            flag_in_words(after)
        )),
        "SetLimitOverride" | "EndLimitOverride" => Some(format!(
            "limit {} {} -> {}",
            named("limit_key"),
            override_in_words(before),
            override_in_words(after)
        )),
        "EndKeptFeature" => Some(format!(
            "feature {}/{} {} -> {}",
            named("module_code"),
            named("feature_key"),
            kept_feature_in_words(before),
            kept_feature_in_words(after)
        )),
        "EndKeptLimit" => Some(format!(
            "limit {} {} -> {}",
            named("limit_key"),
            kept_limit_in_words(before),
            kept_limit_in_words(after)
        )),
        "SetTimeZone" => Some(format!(
            "time zone {} -> {}",
            time_zone_in_words(before),
            time_zone_in_words(after)
        )),
        "SetPlanFeature" | "SetPlanLimit" | "UpsertPlan" => after.map(kept_of_plan),
        _ => None,
    }
}

/// What a tenant keeps of a plan that was changed.
fn kept_of_plan(kept: &Value) -> String {
    match kept["limit_key"].as_str() {
        Some(key) => format!("limit {key} stays {}", kept_limit_in_words(Some(kept))),
        None => {
            let named = |name: &str| kept[name].as_str().unwrap_or("-").to_owned();
            let [module, key] = ["module_code", "feature_key"].map(named);
            let words = kept_feature_in_words(Some(kept));
            format!("feature {module}/{key} stays {words}")
        }
    }
}

/// What is kept about a feature: `on, 7, kept from before 2026-11-29`; `none`: nothing is.
pub(crate) fn kept_feature_in_words(kept: Option<&Value>) -> String {
    let Some(kept) = kept else { return "none".to_owned() };
    let says = match kept["enabled"] {
        Value::Null => "the default".to_owned(),
        _ => flag_in_words(Some(kept)),
    };
    format!("{says}, {}", since(kept))
}

/// What is kept about a limit: `5, kept from before 2026-11-29`; `none`: nothing is.
pub(crate) fn kept_limit_in_words(kept: Option<&Value>) -> String {
    let Some(kept) = kept else { return "none".to_owned() };
    format!("{}, {}", limit(kept["limit"].as_i64()), since(kept))
}

fn since(kept: &Value) -> String {
    let at = kept["kept_at"].as_str().and_then(|at| at.parse().ok());
    KeptAt(at).words()
}

/// A flag: `on, 7`; `none`: there is none.
pub(crate) fn flag_in_words(flag: Option<&Value>) -> String {
    let Some(flag) = flag else { return "none".to_owned() };
    let word = if flag["enabled"] == true { "on" } else { "off" };
    match &flag["value"] {
        Value::Null => word.to_owned(),
        value => format!("{word}, {value}"),
    }
}

/// An override: `20 until 2026-12-31T00:00:00Z`; `none`: there is none.
pub(crate) fn override_in_words(own: Option<&Value>) -> String {
    let Some(own) = own else { return "none".to_owned() };
    let words = limit(own["limit"].as_i64());
    match own["ends_at"].as_str() {
        None => words,
        Some(end) => format!("{words} until {end}"),
    }
}

/// A time zone: `UTC (of the servers), from 2026-12 on (2026-11-30T18:30:00Z) Asia/Kolkata`.
pub(crate) fn time_zone_in_words(standing: Option<&Value>) -> String {
    let Some(standing) = standing else { return "none".to_owned() };
    let text = |month: &Value, name: &str| month[name].as_str().unwrap_or("-").to_owned();
    let zone = |month: &Value| {
        let whose = if month["is_own"] == true { "" } else { " (of the servers)" };
        format!("{}{whose}", text(month, "time_zone"))
    };
    let (present, next) = (zone(&standing["present"]), &standing["next"]);
    if next.is_null() {
        return present;
    }
    let [month, start] = ["month", "starts_at"].map(|name| text(next, name));
    format!("{present}, from {month} on ({start}) {}", zone(next))
}
