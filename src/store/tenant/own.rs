//! What a tenant has of its own beside what its plan says now: flags, limits of its own, what it keeps
//! of its plan from before that was changed, and time zones.
//!
//! They travel in one more row of the statement that reads the tenant, and only where it has any: a
//! row for each flag would repeat the tenant's columns, or leave them NULL, which takes as long to
//! read as a value.

use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Utc};
use sea_orm::{
    QueryResult,
    prelude::{Json, Uuid},
};
use serde::Deserialize;

use super::evidence::{FlagEvidence, OverrideEvidence, OwnEvidence};
use crate::{
    domain::{
        FlagName, FlagRow, Flags, KeptAt, KeptFeature, KeptLimit, KeptTerms, LimitOverride,
        OwnTerms, PlanFeature, Setting,
        calendar::{Month, ZoneFrom, parse_zone},
    },
    store::{StoreError, dialect::Dialect, instant, row::ReadContext},
};

/// Maximum length of a feature's value that is read, in characters of JSON.
pub(in crate::store) const MAX_SETTING_CHARS: usize = 4_096;

/// The columns that follow all others: the flags, the limits, what is kept about either, and the time
/// zones.
const COLUMNS: [&str; 5] = ["own_flags", "own_limits", "kept_features", "kept_limits", "own_zones"];

/// The columns by their names.
pub(in crate::store) fn columns() -> String {
    COLUMNS.join(", ")
}

/// A condition: is there anything in them?
pub(in crate::store) fn any() -> String {
    COLUMNS.map(|column| format!("{column} IS NOT NULL")).join(" OR ")
}

/// The columns where there is nothing to say.
pub(in crate::store) fn none() -> String {
    COLUMNS.map(|column| format!("CAST(NULL AS text) AS {column}")).join(", ")
}

/// What is read of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::store) enum Detail {
    /// What decides.
    Terms,
    /// That, and the words as they are stored: for people who ask why.
    Words,
}

/// The columns, for the tenant that `is_tenant` is a condition on: `= $1`.
pub(in crate::store) fn of(dialect: Dialect, is_tenant: &str, detail: Detail) -> String {
    let [flags, limits, kept_features, kept_limits, zones] = COLUMNS;
    let mut flag = vec![
        // A former code counts as the module's present one.
        format!(
            "COALESCE((SELECT m.code FROM entitlement_module_aliases a JOIN modules m ON m.id = a.module_id \
          WHERE a.alias = f.module_code AND NOT EXISTS (SELECT 1 FROM modules n WHERE n.code = f.module_code)), {})",
            dialect.text("f.module_code")
        ),
        dialect.text("f.feature_key"),
        "f.is_enabled".to_owned(),
        value(dialect, "f.config"),
        dialect.micros("f.updated_at"),
        dialect.hex("f.id"),
    ];
    let mut limit = vec![dialect.text("o.key"), "o.value".to_owned(), dialect.micros("o.ends_at")];
    if detail == Detail::Words {
        flag.extend([dialect.text("f.module_code"), cut(dialect, "f.config")]);
        limit.push(dialect.text("o.reason"));
    }
    let kept_feature = [
        dialect.text("km.code"),
        dialect.text("kf.key"),
        "kf.enabled".to_owned(),
        value(dialect, "kf.value"),
        dialect.micros("kf.kept_at"),
    ];
    let kept_limit = [dialect.text("kl.key"), "kl.value".to_owned(), dialect.micros("kl.kept_at")];
    let zone = [dialect.text("z.from_month"), dialect.text("z.zone")];
    // What is kept of another plan counts for nothing.
    format!(
        "(SELECT {} FROM feature_flags f WHERE f.tenant_id {is_tenant}) AS {flags}, \
         (SELECT {} FROM entitlement_limit_overrides o WHERE o.tenant_id {is_tenant}) AS {limits}, \
         (SELECT {} FROM entitlement_kept_features kf JOIN tenants kt ON kt.id = kf.tenant_id AND kt.plan_id = kf.plan_id \
          JOIN modules km ON km.id = kf.module_id WHERE kf.tenant_id {is_tenant}) AS {kept_features}, \
         (SELECT {} FROM entitlement_kept_limits kl JOIN tenants kt ON kt.id = kl.tenant_id AND kt.plan_id = kl.plan_id \
          WHERE kl.tenant_id {is_tenant}) AS {kept_limits}, \
         (SELECT {} FROM entitlement_time_zones z WHERE z.tenant_id {is_tenant}) AS {zones}",
        dialect.json_rows(&flag.join(", ")),
        dialect.json_rows(&limit.join(", ")),
        dialect.json_rows(&kept_feature.join(", ")),
        dialect.json_rows(&kept_limit.join(", ")),
        dialect.json_rows(&zone.join(", ")),
    )
}

/// A value, as text: NULL for an empty object, which is what the ERP writes where there is none. One
/// that is too long never leaves the database, and is no JSON afterwards.
pub(in crate::store) fn value(dialect: Dialect, column: &str) -> String {
    let text = dialect.text(column);
    format!(
        "NULLIF(CASE WHEN length({text}) > {MAX_SETTING_CHARS} THEN '(too long)' ELSE {text} END, '{{}}')"
    )
}

/// A value word for word, or its beginning.
fn cut(dialect: Dialect, column: &str) -> String {
    let text = dialect.text(column);
    format!(
        "CASE WHEN length({text}) > {MAX_SETTING_CHARS} THEN substr({text}, 1, {MAX_SETTING_CHARS}) || '\u{2026}' ELSE {text} END"
    )
}

/// A flag, as [`of`] writes it.
#[derive(Deserialize)]
struct FlagText(
    String,
    String,
    Json,
    Option<String>,
    Json,
    String,
    /// The module's code as stored, if the words were asked for, and the value.
    #[serde(default)]
    Option<String>,
    #[serde(default)] Option<String>,
);

/// A limit.
#[derive(Deserialize)]
struct LimitText(
    String,
    Option<i64>,
    Json,
    /// The reason as stored, if the words were asked for.
    #[serde(default)]
    Option<String>,
);

/// What is kept about a feature.
#[derive(Deserialize)]
struct KeptFeatureText(String, String, Json, Option<String>, Json);

/// What is kept about a limit.
#[derive(Deserialize)]
struct KeptLimitText(String, Option<i64>, Json);

/// From which month on, and the name of the zone.
#[derive(Deserialize)]
struct ZoneText(String, String);

/// What this row says of it, if anything, and in which words, where these were asked for.
pub(super) fn read(
    row: &QueryResult,
    context: &ReadContext,
) -> Result<Option<(Box<OwnTerms>, OwnEvidence)>, StoreError> {
    let mut texts: [Option<String>; COLUMNS.len()] = Default::default();
    for (text, column) in texts.iter_mut().zip(COLUMNS) {
        *text = row.try_get("", column)?;
    }
    if texts.iter().all(Option::is_none) {
        return Ok(None);
    }
    let [flags, limits, kept_features, kept_limits, own_zones] =
        texts.each_ref().map(Option::as_deref);
    let flags: Vec<FlagText> = rows(flags, "feature_flags", context)?;
    let limits: Vec<LimitText> = rows(limits, "entitlement_limit_overrides", context)?;
    let mut evidence = OwnEvidence {
        flags: flags.iter().filter_map(|text| words_of_flag(text, context)).collect(),
        overrides: limits.iter().filter_map(words_of_limit).collect(),
    };
    evidence.flags.sort_by(|one, other| one.row.order(&other.row));
    let flags = flags.into_iter().map(|text| flag(&text, context)).collect();
    let mut overrides: Vec<_> = limits.into_iter().map(|text| limit(&text, context)).collect();
    overrides.sort_by(|one, other| one.key.cmp(&other.key));
    let terms = OwnTerms {
        flags: Flags::of(flags),
        overrides: overrides.into(),
        kept: kept(kept_features, kept_limits, context)?,
        zones: zones(own_zones, context)?,
    };
    Ok(Some((Box::new(terms), evidence)))
}

/// What is kept, if anything.
fn kept(
    features: Option<&str>,
    limits: Option<&str>,
    context: &ReadContext,
) -> Result<Option<Box<KeptTerms>>, StoreError> {
    if features.is_none() && limits.is_none() {
        return Ok(None);
    }
    let features: Vec<KeptFeatureText> = rows(features, "entitlement_kept_features", context)?;
    let limits: Vec<KeptLimitText> = rows(limits, "entitlement_kept_limits", context)?;
    let features = features.iter().map(|text| kept_feature(text, context)).collect();
    let limits = limits.iter().map(|text| kept_limit(text, context)).collect();
    Ok(Some(Box::new(KeptTerms::new(features, limits))))
}

/// The time zones, by month. A name that is none is left out: the zone before it holds on.
fn zones(text: Option<&str>, context: &ReadContext) -> Result<Arc<[ZoneFrom]>, StoreError> {
    let rows: Vec<ZoneText> = rows(text, "entitlement_time_zones", context)?;
    let mut zones: Vec<ZoneFrom> =
        rows.iter().filter_map(|ZoneText(from, zone)| zone_from(from, zone, context)).collect();
    zones.sort_unstable_by_key(|zone| zone.from);
    Ok(zones.into())
}

/// A row of `entitlement_time_zones`; `None`: it cannot be read.
pub(in crate::store) fn zone_from(
    from: &str,
    zone: &str,
    context: &ReadContext,
) -> Option<ZoneFrom> {
    let read = Month::parse(from).zip(parse_zone(zone).ok());
    if read.is_none() {
        context.warnings.warn("entitlement_time_zones.zone", zone, "the row is left out");
    }
    read.map(|(from, zone)| ZoneFrom { from, zone })
}

fn kept_feature(
    KeptFeatureText(module, key, is_on, value, kept_at): &KeptFeatureText,
    context: &ReadContext,
) -> KeptFeature {
    let column = "entitlement_kept_features.value";
    let value = value.as_ref().and_then(|text| setting(text, column, context));
    let is_on = if is_on.is_null() { None } else { Some(read_flag(is_on).unwrap_or_default()) };
    KeptFeature {
        name: context.codes.flag(&FlagName::text(module, key)),
        says: is_on.map(|is_on| PlanFeature { is_on, value }),
        kept_at: KeptAt(micros(kept_at).and_then(DateTime::from_timestamp_micros)),
    }
}

fn kept_limit(
    KeptLimitText(key, value, kept_at): &KeptLimitText,
    context: &ReadContext,
) -> KeptLimit {
    KeptLimit {
        key: context.codes.slug(key),
        value: value.map(|value| value.max(0)),
        kept_at: KeptAt(micros(kept_at).and_then(DateTime::from_timestamp_micros)),
    }
}

fn words_of_flag(text: &FlagText, context: &ReadContext) -> Option<FlagEvidence> {
    let FlagText(_, _, is_on, _, updated_at, _, module_code, config) = text;
    Some(FlagEvidence {
        module_code: module_code.clone()?,
        row: flag(text, context),
        is_enabled: read_flag(is_on),
        updated_at: micros(updated_at).and_then(DateTime::from_timestamp_micros),
        config: config.clone(),
    })
}

fn words_of_limit(LimitText(key, .., reason): &LimitText) -> Option<OverrideEvidence> {
    Some(OverrideEvidence { key: key.clone(), reason: reason.clone()? })
}

/// The rows that can be read. One that cannot be concerns itself alone, and not the tenant's others.
fn rows<T: serde::de::DeserializeOwned>(
    text: Option<&str>,
    table: &'static str,
    context: &ReadContext,
) -> Result<Vec<T>, StoreError> {
    let all: Option<Vec<Json>> = text.map(serde_json::from_str).transpose().map_err(|error| {
        sea_orm::DbErr::Custom(format!("the rows of {table} are not JSON: {error}"))
    })?;
    let row = |row: &Json| {
        let read = T::deserialize(row);
        if read.is_err() {
            context.warnings.warn(table, &row.to_string(), "the row is left out");
        }
        read.ok()
    };
    Ok(all.iter().flatten().filter_map(row).collect())
}

fn flag(
    FlagText(module, key, is_on, value, updated_at, id, ..): &FlagText,
    context: &ReadContext,
) -> FlagRow {
    FlagRow {
        name: context.codes.flag(&FlagName::text(module, key)),
        is_on: read_flag(is_on).unwrap_or_default(),
        value: value.as_ref().and_then(|text| setting(text, "feature_flags.config", context)),
        updated_at: micros(updated_at).unwrap_or(i64::MIN),
        id: Uuid::try_parse(id).unwrap_or_default(),
    }
}

/// SQLite has numbers for these.
fn read_flag(stored: &Json) -> Option<bool> {
    stored.as_bool().or(stored.as_i64().map(|number| number != 0))
}

fn limit(LimitText(key, value, ends_at, ..): &LimitText, context: &ReadContext) -> LimitOverride {
    let key: Arc<str> = context.codes.slug(key);
    let ends_at = match ends_at {
        Json::Null => None,
        stored => match micros(stored).and_then(DateTime::from_timestamp_micros) {
            Some(at) => instant::end(Some(at)),
            None => {
                let column = "entitlement_limit_overrides.ends_at";
                context.warnings.warn(column, &stored.to_string(), "the override has ended");
                Some(DateTime::<Utc>::MIN_UTC)
            }
        },
    };
    LimitOverride { key, value: value.map(|value| value.max(0)), ends_at }
}

/// An instant in microseconds since 1970: PostgreSQL gives the number, SQLite the text that is
/// stored.
pub(in crate::store) fn micros(stored: &Json) -> Option<i64> {
    stored
        .as_i64()
        .or_else(|| parsed(stored.as_str()?))
        .or_else(|| in_sqlites_form(stored.as_str()?))
}

fn parsed(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_micros())
}

/// What SQLite's own functions make: `datetime('now')`, in UTC. The columns that are read as instants
/// take it too.
fn in_sqlites_form(text: &str) -> Option<i64> {
    let forms = ["%F %T%.f", "%FT%T%.f", "%F %R", "%FT%R"];
    let at = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
    Some(at.and_utc().timestamp_micros())
}

/// Reads a value; `None`: there is none.
pub(in crate::store) fn setting(
    text: &str,
    column: &'static str,
    context: &ReadContext,
) -> Option<Setting> {
    let value = match serde_json::from_str(text) {
        Ok(Json::Null) => return None,
        Ok(Json::Object(fields)) if fields.is_empty() => return None,
        Ok(Json::Bool(value)) => Setting::Bool(value),
        Ok(Json::String(value)) => Setting::String(value.into()),
        Ok(Json::Number(number)) => {
            number.as_i64().map_or_else(|| Setting::Json(text.into()), Setting::Int64)
        }
        Ok(Json::Array(_) | Json::Object(_)) => Setting::Json(text.into()),
        Err(_) => {
            context.warnings.warn(column, text, "the feature is off");
            Setting::Unreadable
        }
    };
    Some(value)
}
