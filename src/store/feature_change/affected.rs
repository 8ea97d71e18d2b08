//! The tenants of a plan that have nothing of their own in place of what the plan says.

use chrono::{DateTime, Utc};
use sea_orm::{Value, prelude::Uuid};

use crate::{
    domain::OwnFlag,
    store::{
        StoreError, ask::Ask, dialect::Dialect, instant, row, setting_json::setting_to_json,
        tenant::own, transaction::Transaction,
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

/// The plan's tenants without a flag, and the values that this takes: the plan, the key and the
/// codes.
fn without_flag(plan: Uuid, key: &str, codes: &[String]) -> (String, Vec<Value>) {
    let places: Vec<String> = (3..).take(codes.len()).map(|place| format!("${place}")).collect();
    let sql = format!(
        "FROM tenants t WHERE t.plan_id = $1 AND NOT EXISTS (
             SELECT 1 FROM feature_flags f WHERE f.tenant_id = t.id AND f.feature_key = $2 AND f.module_code IN ({}))",
        places.join(", ")
    );
    let values = [plan.into(), key.into()];
    let codes = codes.iter().map(|code| code.as_str().into());
    (sql, values.into_iter().chain(codes).collect())
}

/// For how many of a plan's tenants a change of a feature holds.
pub(super) async fn changed_by_feature(
    txn: &Transaction,
    plan: Uuid,
    code: &str,
    key: &str,
) -> Result<u64, StoreError> {
    let (from, values) = without_flag(plan, key, &codes_of(txn, code).await?);
    count(txn, format!("SELECT count(*) AS tenants {from}"), values).await
}

/// Gives the plan's tenants that have no flag one with what they had, and says how many.
pub(super) async fn keep_flag(
    txn: &Transaction,
    plan: Uuid,
    code: &str,
    key: &str,
    had: &OwnFlag,
    at: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let codes = codes_of(txn, code).await?;
    let (from, mut values) = without_flag(plan, key, &codes);
    let kept = count(txn, format!("SELECT count(*) AS tenants {from}"), values.clone()).await?;
    let place = values.len() + 1;
    values.extend([had.is_on.into(), config(had).into(), at.into()]);
    let id = match txn.dialect() {
        Dialect::Postgres => "gen_random_uuid()",
        Dialect::Sqlite => "randomblob(16)",
    };
    let sql = format!(
        "INSERT INTO feature_flags (id, tenant_id, module_code, feature_key, is_enabled, config, created_at, updated_at)
         SELECT {id}, t.id, $3, $2, ${place}, ${}, ${}, ${} {from}",
        place + 1,
        place + 2,
        place + 2,
    );
    txn.execute_with(sql, values).await?;
    Ok(kept)
}

/// A flag's value, as the ERP writes it: an empty object where there is none.
pub(super) fn config(flag: &OwnFlag) -> sea_orm::prelude::Json {
    match setting_to_json(flag.value.as_ref()) {
        sea_orm::prelude::Json::Null => serde_json::json!({}),
        value => value,
    }
}

const WITHOUT_OVERRIDE: &str = "FROM tenants t WHERE t.plan_id = $1 AND NOT EXISTS (
    SELECT 1 FROM entitlement_limit_overrides o WHERE o.tenant_id = t.id AND o.key = $2)";

/// For how many of a plan's tenants a change of a limit holds.
pub(super) async fn changed_by_limit(
    txn: &Transaction,
    plan: Uuid,
    key: &str,
    at: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let ended = ended_overrides(txn, plan, key, at).await?.len() as u64;
    let sql = format!("SELECT count(*) AS tenants {WITHOUT_OVERRIDE}");
    Ok(ended + count(txn, sql, [plan.into(), key.into()]).await?)
}

/// Gives the plan's tenants that have no override, or one that has ended, one with what they had,
/// and says how many.
pub(in crate::store) async fn keep_limit(
    txn: &Transaction,
    plan: Uuid,
    key: &str,
    had: Option<i64>,
    at: DateTime<Utc>,
) -> Result<u64, StoreError> {
    for tenant in ended_overrides(txn, plan, key, at).await? {
        let sql = "DELETE FROM entitlement_limit_overrides WHERE tenant_id = $1 AND key = $2";
        txn.execute_with(sql, [tenant.into(), key.into()]).await?;
    }
    let values: [Value; 2] = [plan.into(), key.into()];
    let counting = format!("SELECT count(*) AS tenants {WITHOUT_OVERRIDE}");
    let kept = count(txn, counting, values.clone()).await?;
    let sql = format!(
        "INSERT INTO entitlement_limit_overrides (tenant_id, key, value, ends_at, reason)
         SELECT t.id, $2, $3, NULL, $4 {WITHOUT_OVERRIDE} ON CONFLICT (tenant_id, key) DO NOTHING"
    );
    let reason = format!("kept from before {}", at.date_naive());
    txn.execute_with(sql, values.into_iter().chain([had.into(), reason.into()])).await?;
    Ok(kept)
}

/// The plan's tenants whose override has ended. Few have an override, so that they are looked
/// through here: SQLite keeps instants as text, in more than one form.
async fn ended_overrides(
    txn: &Transaction,
    plan: Uuid,
    key: &str,
    at: DateTime<Utc>,
) -> Result<Vec<Uuid>, StoreError> {
    let sql = format!(
        "SELECT t.id AS id, CAST({} AS text) AS ends_at FROM tenants t JOIN entitlement_limit_overrides o ON o.tenant_id = t.id
         WHERE t.plan_id = $1 AND o.key = $2 AND o.ends_at IS NOT NULL",
        txn.dialect().micros("o.ends_at")
    );
    let mut ended = Vec::new();
    for row in txn.sql(sql, [plan.into(), key.into()]).await? {
        let text: String = row.try_get("", "ends_at")?;
        let micros = text.parse().ok().or_else(|| own::micros(&text.as_str().into()));
        let end = micros.and_then(DateTime::from_timestamp_micros);
        // One that cannot be read counts as ended.
        if end.is_none_or(|end| instant::end(Some(end)).is_some_and(|end| end <= at)) {
            ended.push(row.try_get("", "id")?);
        }
    }
    Ok(ended)
}
