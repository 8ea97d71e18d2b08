//! `entitlementd feature`, and what all changes of features and limits print.

use std::collections::BTreeMap;

use comfy_table::Table;
use serde_json::{Value, json};

use super::{
    limit::limit_table,
    output::{CommandResult, print, print_json, table},
    tenant::{
        author, flag_in_words, kept_feature_in_words, kept_limit_in_words, open_to_write,
        override_in_words, refusal, time_zone_in_words,
    },
};
use crate::{
    clock::Clock,
    config::{
        FeatureArgs, FeatureCommand, FeatureDefineArgs, FeatureListArgs, JsonValue,
        PlanFeatureArgs, PlanSwitch, PreviewArgs, UnusableSetting,
    },
    domain::{
        AffectedTenants, CatalogueEdit, Edited, FeatureEntry, FeatureName, FeatureUpsert,
        PlanFeature, PlanFeatureEdit, Setting, calendar::ZoneStanding, limits::MAX_VALUE_CHARS,
    },
    escape::escape_control,
    server::database,
    store::{
        FeatureChange, FeatureChanged, NamedFlag, NamedKeptFeature, NamedKeptLimit, NamedLimit,
        OwnChanged, feature_to_json, flag_to_json, kept_feature_to_json, kept_limit_to_json,
        length_of, limit_to_json, override_to_json, setting_of, setting_to_json, time_zone_to_json,
    },
};

pub(crate) async fn run(args: FeatureArgs) -> CommandResult {
    match args.command {
        FeatureCommand::List(args) => list(args).await,
        FeatureCommand::Define(args) => define(*args).await,
    }
}

async fn list(args: FeatureListArgs) -> CommandResult {
    let store = database::open_to_read(&args.database).await?;
    let read = store.feature_entries(args.module.as_deref(), Clock::System.now()).await;
    store.close().await;
    let entries = read?;
    if args.json {
        return print_json(&entries.iter().map(feature_to_json).collect());
    }
    print(&feature_table(&entries).trim_fmt())
}

async fn define(args: FeatureDefineArgs) -> CommandResult {
    let FeatureDefineArgs {
        module,
        key,
        name,
        description,
        value_type,
        default_on,
        default_value,
        mutation,
    } = args;
    let upsert = FeatureUpsert {
        name: FeatureName { module, key },
        title: name,
        description,
        value_type,
        is_on_by_default: default_on,
        default_value: default_value.map(|value| setting("--default-value", value)).transpose()?,
    };
    change(FeatureChange::Catalogue(CatalogueEdit::Feature(upsert)), mutation).await
}

pub(crate) async fn set_in_plan(args: PlanFeatureArgs) -> CommandResult {
    let PlanFeatureArgs { plan, module, key, switch, value, existing_tenants, mutation } = args;
    let value = value.map(|value| setting("--value", value)).transpose()?.flatten();
    let says = match switch {
        PlanSwitch::Default if value.is_some() => {
            let problem = "means nothing where the plan says nothing";
            return Err(UnusableSetting::new("--value", problem).into());
        }
        PlanSwitch::Default => None,
        PlanSwitch::On | PlanSwitch::Off => {
            Some(PlanFeature { is_on: switch == PlanSwitch::On, value })
        }
    };
    let name = FeatureName { module, key };
    let edit = PlanFeatureEdit { plan, name, says, tenants: existing_tenants };
    change(FeatureChange::Catalogue(CatalogueEdit::PlanFeature(edit)), mutation).await
}

/// A feature's value; `None`: there is none.
pub(crate) fn setting(
    flag: &'static str,
    value: JsonValue,
) -> Result<Option<Setting>, UnusableSetting> {
    let JsonValue(json) = value;
    if length_of(&json) > MAX_VALUE_CHARS {
        let problem = format!("must be at most {MAX_VALUE_CHARS} characters of JSON");
        return Err(UnusableSetting::new(flag, problem));
    }
    Ok(setting_of(json))
}

/// Makes a change, or shows what it would do.
pub(crate) async fn change(change: FeatureChange, args: PreviewArgs) -> CommandResult {
    let PreviewArgs { preview, mutation: args } = args;
    let author = author(&args);
    let store = open_to_write(&args).await?;
    let done = if preview {
        store.preview_features(&change, author.at).await
    } else {
        store.change_features(&change, &author).await
    };
    store.close().await;
    match done {
        Ok(changed) if args.json => print_json(&as_json(&changed, preview)),
        Ok(changed) => print(&as_text(&changed, preview)),
        Err(error) => refusal(error),
    }
}

fn as_text(changed: &FeatureChanged, preview: bool) -> String {
    let mut lines = match changed {
        FeatureChanged::Feature(Edited { after, tenants, .. }) => {
            let table = feature_table(std::slice::from_ref(after));
            [vec![table.trim_fmt()], affected(*tenants)].concat()
        }
        FeatureChanged::Limit(Edited { after, tenants, .. }) => {
            let table = limit_table(std::slice::from_ref(after));
            [vec![table.trim_fmt()], affected(*tenants)].concat()
        }
        FeatureChanged::Flag(OwnChanged { before, after, revision, .. }) => {
            let words =
                |flag: &Option<NamedFlag>| flag_in_words(flag.as_ref().map(flag_to_json).as_ref());
            own(&words(before), &words(after), *revision, preview)
        }
        FeatureChanged::Override(OwnChanged { before, after, revision, .. }) => {
            let words = |limit: &Option<NamedLimit>| {
                override_in_words(limit.as_ref().map(override_to_json).as_ref())
            };
            own(&words(before), &words(after), *revision, preview)
        }
        FeatureChanged::KeptFeature(OwnChanged { before, after, revision, .. }) => {
            let words = |kept: &Option<NamedKeptFeature>| {
                kept_feature_in_words(kept.as_ref().map(kept_feature_to_json).as_ref())
            };
            own(&words(before), &words(after), *revision, preview)
        }
        FeatureChanged::KeptLimit(OwnChanged { before, after, revision, .. }) => {
            let words = |kept: &Option<NamedKeptLimit>| {
                kept_limit_in_words(kept.as_ref().map(kept_limit_to_json).as_ref())
            };
            own(&words(before), &words(after), *revision, preview)
        }
        FeatureChanged::TimeZone(OwnChanged { before, after, revision, .. }) => {
            let words = |zone: &Option<ZoneStanding>| {
                time_zone_in_words(zone.as_ref().map(time_zone_to_json).as_ref())
            };
            own(&words(before), &words(after), *revision, preview)
        }
    };
    if preview {
        lines.push("a preview: nothing was changed".into());
    }
    lines.join("\n")
}

fn own(before: &str, after: &str, revision: u64, preview: bool) -> Vec<String> {
    let change = escape_control(&format!("{before} -> {after}")).into_owned();
    if preview { vec![change] } else { vec![change, format!("revision {revision}")] }
}

/// What became of a plan's tenants.
fn affected(tenants: AffectedTenants) -> Vec<String> {
    let AffectedTenants { kept, changed } = tenants;
    let lines = [("tenants that keep what they had", kept), ("tenants it is changed for", changed)];
    let lines = lines.into_iter().filter(|(_, count)| *count > 0);
    lines.map(|(words, count)| format!("{words}: {count}")).collect()
}

fn as_json(changed: &FeatureChanged, preview: bool) -> Value {
    let edited = |before: Option<Value>, after: Value, tenants: AffectedTenants| {
        json!({
            "before": before,
            "after": after,
            "kept_tenants": tenants.kept,
            "changed_tenants": tenants.changed,
            "preview": preview,
        })
    };
    let own = |tenant: String, [before, after]: [Option<Value>; 2], revision: u64| {
        json!({
            "tenant_id": tenant,
            "before": before,
            "after": after,
            "revision": revision,
            "preview": preview,
        })
    };
    match changed {
        FeatureChanged::Feature(Edited { before, after, tenants }) => {
            edited(before.as_ref().map(feature_to_json), feature_to_json(after), *tenants)
        }
        FeatureChanged::Limit(Edited { before, after, tenants }) => {
            edited(before.as_ref().map(limit_to_json), limit_to_json(after), *tenants)
        }
        FeatureChanged::Flag(OwnChanged { tenant, before, after, revision }) => {
            let states = [before, after].map(|flag| flag.as_ref().map(flag_to_json));
            own(tenant.to_string(), states, *revision)
        }
        FeatureChanged::Override(OwnChanged { tenant, before, after, revision }) => {
            let states = [before, after].map(|limit| limit.as_ref().map(override_to_json));
            own(tenant.to_string(), states, *revision)
        }
        FeatureChanged::KeptFeature(OwnChanged { tenant, before, after, revision }) => {
            let states = [before, after].map(|kept| kept.as_ref().map(kept_feature_to_json));
            own(tenant.to_string(), states, *revision)
        }
        FeatureChanged::KeptLimit(OwnChanged { tenant, before, after, revision }) => {
            let states = [before, after].map(|kept| kept.as_ref().map(kept_limit_to_json));
            own(tenant.to_string(), states, *revision)
        }
        FeatureChanged::TimeZone(OwnChanged { tenant, before, after, revision }) => {
            let states = [before, after].map(|zone| zone.as_ref().map(time_zone_to_json));
            own(tenant.to_string(), states, *revision)
        }
    }
}

fn feature_table(entries: &[FeatureEntry]) -> Table {
    let mut table = table(&["FEATURE", "TYPE", "DEFAULT", "PLANS", "NAME"]);
    for FeatureEntry { module, defined, plans, keeping: tenants } in entries {
        let plans: Vec<String> = plans
            .iter()
            .map(|(slug, says)| format!("{slug}: {}", state(says.is_on, says.value.as_ref())))
            .chain(keeping(tenants))
            .collect();
        let default = state(defined.is_on_by_default, defined.default_value.as_ref());
        let cells = [
            format!("{module}/{}", defined.key),
            defined.value_type.word().to_owned(),
            default,
            if plans.is_empty() { "-".to_owned() } else { plans.join("; ") },
            defined.name.clone(),
        ];
        table.add_row(cells.map(|cell| escape_control(&cell).into_owned()));
    }
    table
}

/// How many tenants of each plan keep what it said before.
pub(super) fn keeping(tenants: &BTreeMap<String, u64>) -> impl Iterator<Item = String> {
    tenants.iter().map(|(slug, tenants)| format!("{slug}: {tenants} keep what it was"))
}

fn state(is_on: bool, value: Option<&Setting>) -> String {
    let word = if is_on { "on" } else { "off" };
    match value {
        None => word.to_owned(),
        value => format!("{word}, {}", setting_to_json(value)),
    }
}
