//! The values of a feature that single tenants have.

use sea_orm::{Value, prelude::Uuid};

use super::affected::{codes_of, places};
use crate::{
    domain::TenantValue,
    store::{
        StoreError, ask::Ask, setting_json::setting_of, tenant::own, transaction::Transaction,
    },
};

/// The values in tenants' flags for a feature, and in what they keep of plans. What is no JSON at all
/// is read by no definition, and left out.
pub(super) async fn tenant_values(
    txn: &Transaction,
    module: Uuid,
    code: &str,
    key: &str,
) -> Result<Vec<TenantValue>, StoreError> {
    let codes = codes_of(txn, code).await?;
    let dialect = txn.dialect();
    let sql = format!(
        "SELECT CAST(t.subdomain AS text) AS subdomain, said.value AS value FROM tenants t JOIN (
             SELECT f.tenant_id AS tenant_id, NULL AS plan_id, {flag} AS value FROM feature_flags f
             WHERE f.feature_key = $2 AND f.module_code IN ({codes})
             UNION ALL SELECT k.tenant_id, k.plan_id, {kept} FROM entitlement_kept_features k
             WHERE k.module_id = $1 AND k.key = $2
         ) said ON said.tenant_id = t.id AND (said.plan_id IS NULL OR said.plan_id = t.plan_id)
         WHERE said.value IS NOT NULL ORDER BY t.subdomain",
        flag = own::value(dialect, "f.config"),
        kept = own::value(dialect, "k.value"),
        codes = places(&codes, 3),
    );
    let mut values: Vec<Value> = vec![module.into(), key.into()];
    values.extend(codes.into_iter().map(Value::from));
    let mut found = Vec::new();
    for row in txn.sql(sql, values).await? {
        let text: String = row.try_get("", "value")?;
        let value = serde_json::from_str(&text).ok().and_then(setting_of);
        if let Some(value) = value {
            found.push(TenantValue { tenant: row.try_get("", "subdomain")?, value });
        }
    }
    Ok(found)
}
