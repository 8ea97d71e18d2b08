//! What features and limits there are, and what plans say about them.

use std::collections::HashMap;

use sea_orm::{DbErr, QueryResult};

use crate::{
    domain::{
        Definitions, FeatureDefinition, FlagName, LimitDefinition, LimitKind, ModuleCode,
        PlanFeature, PlanTerms, Setting, ValueType,
        usage_limit::{TRANSACTIONS_MONTHLY, USERS},
    },
    store::{
        StoreError,
        dialect::Dialect,
        row::{ReadContext, Row},
        tenant::own,
    },
};

/// The statements, in the order in which [`of`] takes their rows. What belongs to no module or plan
/// is left out.
pub(super) fn statements(dialect: Dialect) -> Vec<String> {
    let [default_value, plan_value] =
        ["f.default_value", "f.value"].map(|column| own::value(dialect, column));
    vec![
        format!(
            "SELECT CAST(m.code AS text) AS code, CAST(f.key AS text) AS key, CAST(f.name AS text) AS name, f.description, \
             CAST(f.value_type AS text) AS value_type, f.default_enabled, {default_value} AS value \
             FROM entitlement_features f JOIN modules m ON m.id = f.module_id WHERE m.code IS NOT NULL"
        ),
        format!(
            "SELECT CAST(p.slug AS text) AS slug, CAST(m.code AS text) AS code, CAST(f.key AS text) AS key, f.enabled, {plan_value} AS value \
             FROM entitlement_plan_features f JOIN plans p ON p.id = f.plan_id JOIN modules m ON m.id = f.module_id \
             WHERE p.slug IS NOT NULL AND m.code IS NOT NULL"
        ),
        "SELECT CAST(key AS text) AS key, CAST(name AS text) AS name, CAST(unit AS text) AS unit, CAST(kind AS text) AS kind \
         FROM entitlement_limits"
            .to_owned(),
        "SELECT CAST(p.slug AS text) AS slug, CAST(l.key AS text) AS key, l.value \
         FROM entitlement_plan_limits l JOIN plans p ON p.id = l.plan_id WHERE p.slug IS NOT NULL"
            .to_owned(),
    ]
}

/// What these rows come to. `plans` are those of the ERP's table; a database that was never migrated
/// has no others.
pub(super) fn of(
    plans: &[Row<'_>],
    rows: &[Vec<QueryResult>],
    context: &ReadContext,
) -> Result<Definitions, StoreError> {
    let mut terms = HashMap::new();
    for plan in plans {
        terms.insert(plan.get::<String>("plans.slug")?.into_boxed_str(), columns(plan, context));
    }
    let [features, plan_features, limits, plan_limits] = rows else {
        return Ok(Definitions::new([], [], terms));
    };
    for row in plan_features {
        let name = FlagName::text(&text(row, "code")?, &text(row, "key")?);
        let value = setting(row, "entitlement_plan_features.value", context)?;
        let planned = PlanFeature { is_on: switch(row, "enabled", context), value };
        terms_of(&mut terms, row)?.features.insert(context.codes.flag(&name), planned);
    }
    for row in plan_limits {
        let key = text(row, "key")?;
        if let Some(limit) = number(row.try_get("", "value"), "entitlement_plan_limits", context) {
            terms_of(&mut terms, row)?.limits.insert(key.into(), limit.max(0));
        }
    }
    let features =
        features.iter().map(|row| feature(row, context)).collect::<Result<Vec<_>, _>>()?;
    let limits = limits.iter().map(|row| limit(row, context)).collect::<Result<Vec<_>, _>>()?;
    Ok(Definitions::new(features, limits.into_iter().flatten(), terms))
}

/// The limits that are columns of a plan.
fn columns(plan: &Row<'_>, context: &ReadContext) -> PlanTerms {
    let read = |column: &'static str| {
        let limit: Option<i64> = number(plan.get(column), column, context);
        if limit.is_some_and(|limit| limit < 0) {
            let stored = limit.unwrap_or_default().to_string();
            context.warnings.warn(column, &stored, "it counts as 0");
        }
        limit
    };
    PlanTerms::of_columns([
        (USERS, read("plans.max_users")),
        (TRANSACTIONS_MONTHLY, read("plans.max_transactions_monthly")),
    ])
}

/// A limit. One that cannot be read is none, and keeps nobody from reading the others.
fn number<E: std::fmt::Display>(
    stored: Result<Option<i64>, E>,
    column: &'static str,
    context: &ReadContext,
) -> Option<i64> {
    stored.unwrap_or_else(|error| {
        context.warnings.warn(column, &error.to_string(), "it is unlimited");
        None
    })
}

/// Is something on? What cannot be read is off.
fn switch(row: &QueryResult, column: &'static str, context: &ReadContext) -> bool {
    let stored = row.try_get::<Option<bool>>("", column).unwrap_or_else(|error| {
        context.warnings.warn(column, &error.to_string(), "the feature is off");
        None
    });
    stored.unwrap_or_default()
}

fn terms_of<'a>(
    terms: &'a mut HashMap<Box<str>, PlanTerms>,
    row: &QueryResult,
) -> Result<&'a mut PlanTerms, DbErr> {
    Ok(terms.entry(text(row, "slug")?.into()).or_default())
}

fn feature(
    row: &QueryResult,
    context: &ReadContext,
) -> Result<(ModuleCode, FeatureDefinition), DbErr> {
    let word = text(row, "value_type")?;
    let value_type = ValueType::parse(&word).unwrap_or_else(|| {
        context.warnings.warn("entitlement_features.value_type", &word, "any value is taken");
        ValueType::default()
    });
    let defined = FeatureDefinition {
        key: text(row, "key")?.into(),
        name: text(row, "name")?,
        description: text(row, "description")?,
        value_type,
        is_on_by_default: switch(row, "default_enabled", context),
        default_value: setting(row, "entitlement_features.default_value", context)?,
    };
    Ok((context.codes.code(&text(row, "code")?), defined))
}

fn limit(row: &QueryResult, context: &ReadContext) -> Result<Option<LimitDefinition>, DbErr> {
    let word = text(row, "kind")?;
    let Some(kind) = LimitKind::parse(&word) else {
        context.warnings.warn("entitlement_limits.kind", &word, "the limit is left out");
        return Ok(None);
    };
    Ok(Some(LimitDefinition {
        key: context.codes.slug(&text(row, "key")?),
        name: text(row, "name")?,
        unit: text(row, "unit")?,
        kind,
    }))
}

fn text(row: &QueryResult, column: &str) -> Result<String, DbErr> {
    row.try_get("", column)
}

fn setting(
    row: &QueryResult,
    column: &'static str,
    context: &ReadContext,
) -> Result<Option<Setting>, DbErr> {
    let text: Option<String> = row.try_get("", "value")?;
    Ok(text.and_then(|text| own::setting(&text, column, context)))
}
