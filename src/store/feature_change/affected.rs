//! The tenants of a plan for which a change of what the plan says holds.

use chrono::{DateTime, Utc};
use sea_orm::{Value, prelude::Uuid};

use crate::{
    domain::OwnFlag,
    store::{
        StoreError, ask::Ask, instant, row, setting_json::setting_to_json, tenant::own,
        transaction::Transaction,
    },
};

/// How many tenants a plan has; 0 of one that there is not.
pub(in crate::store) async fn tenants_of(
    database: &impl Ask,
    slug: &str,
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) AS tenants FROM tenants t JOIN plans p ON p.id = t.plan_id WHERE p.slug = $1";
    count(database, sql, [slug.into()]).await
}

async fn count(
    database: &impl Ask,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, StoreError> {
    let rows = database.sql(sql, values).await?;
    Ok(row::first(&rows)?.try_get::<i64>("", "tenants")?.cast_unsigned())
}

/// The codes under which flags for a module may be stored: its present one first, then former ones
/// that no other module has.
pub(super) async fn codes_of(database: &impl Ask, code: &str) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT CAST(a.alias AS text) AS alias FROM entitlement_module_aliases a JOIN modules m ON m.id = a.module_id
               WHERE m.code = $1 AND NOT EXISTS (SELECT 1 FROM modules n WHERE n.code = a.alias)";
    let rows = database.sql(sql, [code.into()]).await?;
    let mut codes = vec![code.to_owned()];
    for row in &rows {
        codes.push(row.try_get("", "alias")?);
    }
    Ok(codes)
}

/// The parameters of a statement for so many codes, from this number on: `$3, $4`.
pub(super) fn places(codes: &[String], first: usize) -> String {
    let places: Vec<String> =
        (first..).take(codes.len()).map(|place| format!("${place}")).collect();
    places.join(", ")
}

/// For how many of a plan's tenants a change of a feature holds: those without a flag that keep
/// nothing about it.
pub(super) async fn changed_by_feature(
    txn: &Transaction,
    (plan, module): (Uuid, Uuid),
    code: &str,
    key: &str,
) -> Result<u64, StoreError> {
    let codes = codes_of(txn, code).await?;
    let sql = format!(
        "SELECT count(*) AS tenants FROM tenants t WHERE t.plan_id = $1
         AND NOT EXISTS (SELECT 1 FROM entitlement_kept_features k
             WHERE k.tenant_id = t.id AND k.plan_id = $1 AND k.module_id = $2 AND k.key = $3)
         AND NOT EXISTS (SELECT 1 FROM feature_flags f
             WHERE f.tenant_id = t.id AND f.feature_key = $3 AND f.module_code IN ({}))",
        places(&codes, 4)
    );
    let mut values: Vec<Value> = vec![plan.into(), module.into(), key.into()];
    values.extend(codes.into_iter().map(Value::from));
    count(txn, sql, values).await
}

/// A flag's value, as the ERP writes it: an empty object where there is none.
pub(super) fn config(flag: &OwnFlag) -> sea_orm::prelude::Json {
    match setting_to_json(flag.value.as_ref()) {
        sea_orm::prelude::Json::Null => serde_json::json!({}),
        value => value,
    }
}

/// Does the tenant `t` of the plan `$1` keep nothing about the limit `$2`?
const KEEPS_NOTHING: &str = "NOT EXISTS (SELECT 1 FROM entitlement_kept_limits k
    WHERE k.tenant_id = t.id AND k.plan_id = $1 AND k.key = $2)";

/// For how many of a plan's tenants a change of a limit holds: those without an override that has not
/// ended that keep nothing about it.
pub(super) async fn changed_by_limit(
    txn: &Transaction,
    plan: Uuid,
    key: &str,
    at: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT count(*) AS tenants FROM tenants t WHERE t.plan_id = $1 AND {KEEPS_NOTHING}
         AND NOT EXISTS (SELECT 1 FROM entitlement_limit_overrides o WHERE o.tenant_id = t.id AND o.key = $2)"
    );
    let without = count(txn, sql, [plan.into(), key.into()]).await?;
    Ok(without + ended_overrides(txn, plan, key, at).await?)
}

/// How many of the plan's tenants that keep nothing have an override that has ended. Few have an
/// override, so that they are looked through here: SQLite keeps instants as text, in more than one
/// form.
async fn ended_overrides(
    txn: &Transaction,
    plan: Uuid,
    key: &str,
    at: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT CAST({} AS text) AS ends_at FROM tenants t JOIN entitlement_limit_overrides o ON o.tenant_id = t.id
         WHERE t.plan_id = $1 AND o.key = $2 AND o.ends_at IS NOT NULL AND {KEEPS_NOTHING}",
        txn.dialect().micros("o.ends_at")
    );
    let mut ended = 0;
    for row in txn.sql(sql, [plan.into(), key.into()]).await? {
        let text: String = row.try_get("", "ends_at")?;
        let micros = text.parse().ok().or_else(|| own::micros(&text.as_str().into()));
        let end = micros.and_then(DateTime::from_timestamp_micros);
        // One that cannot be read counts as ended.
        if end.is_none_or(|end| instant::end(Some(end)).is_some_and(|end| end <= at)) {
            ended += 1;
        }
    }
    Ok(ended)
}
