//! What a plan said before it was changed, written down for the tenants that keep it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{
    QueryResult, Value,
    prelude::{Json, Uuid},
};

use super::{
    StoreError,
    ask::Ask,
    record::{self, Entry},
    transaction::Transaction,
};
use crate::domain::{Author, FeatureEntry, LimitEntry, TenantId};

/// A tenant that keeps something from now on.
struct Keeper {
    id: TenantId,
    subdomain: String,
}

/// How many rows of the record are written in one statement: each takes eleven of its parameters.
const RECORDED_AT_ONCE: usize = 1_000;
/// How many tenants' terms are written in one statement. Triggers make a row take some 20 µs, and a
/// statement has a second and a half.
const KEPT_AT_ONCE: usize = 5_000;

/// Who keeps something from now on. Those that keep it from an earlier change are not among them.
pub(super) struct Keepers(Vec<Keeper>);

const WHO: &str = "RETURNING tenant_id,
    (SELECT CAST(who.subdomain AS text) FROM tenants who WHERE who.id = tenant_id) AS subdomain";

/// The plan's tenants keep what it says about a feature, word for word. Who keeps something from
/// before an earlier change goes on with that.
pub(super) async fn keep_feature(
    txn: &Transaction,
    plan: Uuid,
    (module, key): (Uuid, &str),
    at: DateTime<Utc>,
) -> Result<Keepers, StoreError> {
    let sql = format!(
        "INSERT INTO entitlement_kept_features (tenant_id, plan_id, module_id, key, enabled, value, kept_at)
         SELECT t.id, $1, $2, $3, said.enabled, said.value, $4 FROM tenants t
         LEFT JOIN entitlement_plan_features said ON said.plan_id = $1 AND said.module_id = $2 AND said.key = $3
         WHERE t.plan_id = $1 AND t.id BETWEEN $5 AND $6
         ON CONFLICT (tenant_id, plan_id, module_id, key) DO NOTHING {WHO}"
    );
    keepers(txn, plan, &sql, &[plan.into(), module.into(), key.into(), at.into()]).await
}

/// The plan's tenants keep the limit that they had from it. Who keeps one from before an earlier
/// change goes on with that.
pub(super) async fn keep_limit(
    txn: &Transaction,
    plan: Uuid,
    key: &str,
    had: Option<i64>,
    at: DateTime<Utc>,
) -> Result<Keepers, StoreError> {
    let sql = format!(
        "INSERT INTO entitlement_kept_limits (tenant_id, plan_id, key, value, kept_at)
         SELECT t.id, $1, $2, $3, $4 FROM tenants t
         WHERE t.plan_id = $1 AND t.id BETWEEN $5 AND $6
         ON CONFLICT (tenant_id, plan_id, key) DO NOTHING {WHO}"
    );
    keepers(txn, plan, &sql, &[plan.into(), key.into(), had.into(), at.into()]).await
}

/// Runs a statement with these values and the first and the last of some of the plan's tenants, until
/// it was run for all of them.
async fn keepers(
    txn: &Transaction,
    plan: Uuid,
    sql: &str,
    values: &[Value],
) -> Result<Keepers, StoreError> {
    let keeper = |row: &QueryResult| {
        let id: Uuid = row.try_get("", "tenant_id")?;
        let subdomain: Option<String> = row.try_get("", "subdomain")?;
        Ok::<_, StoreError>(Keeper { id: id.into(), subdomain: subdomain.unwrap_or_default() })
    };
    let ids = "SELECT id FROM tenants WHERE plan_id = $1 ORDER BY id";
    let ids = txn.sql(ids, [plan.into()]).await?;
    let id = |row: &QueryResult| row.try_get("", "id");
    let ids = ids.iter().map(id).collect::<Result<Vec<Uuid>, _>>()?;
    let mut keepers = Vec::new();
    for some in ids.chunks(KEPT_AT_ONCE) {
        let (Some(first), Some(last)) = (some.first(), some.last()) else { continue };
        let range = [(*first).into(), (*last).into()];
        let kept = txn.sql(sql, values.iter().cloned().chain(range)).await?;
        for row in &kept {
            keepers.push(keeper(row)?);
        }
    }
    Ok(Keepers(keepers))
}

impl Keepers {
    /// Records for each of them that it keeps `terms`, beside the row about the change of its plan.
    pub(super) async fn record(
        &self,
        txn: &Transaction,
        author: &Author,
        (action, request): (&'static str, &Json),
        terms: &Json,
    ) -> Result<(), StoreError> {
        for some in self.0.chunks(RECORDED_AT_ONCE) {
            let entry = |keeper| Self::entry(keeper, author, (action, request), terms);
            record::add_for_keepers(txn, some.iter().map(entry).collect()).await?;
        }
        Ok(())
    }

    fn entry<'a>(
        Keeper { id, subdomain }: &'a Keeper,
        author: &'a Author,
        (action, request): (&'static str, &Json),
        terms: &Json,
    ) -> Entry<'a> {
        Entry {
            author,
            action,
            tenant: Some(*id),
            subject: subdomain,
            request: request.clone(),
            before: None,
            after: Some(terms.clone()),
        }
    }
}

/// A tenant keeps nothing any longer, of whichever plan: it leaves its plan, and returns to what that
/// says by then.
pub(super) async fn forget(txn: &Transaction, tenant: TenantId) -> Result<(), StoreError> {
    for table in ["entitlement_kept_features", "entitlement_kept_limits"] {
        let sql = format!("DELETE FROM {table} WHERE tenant_id = $1");
        txn.execute_with(sql, [tenant.uuid().into()]).await?;
    }
    Ok(())
}

/// A tenant has what its plan says about a feature now. What it kept of a plan that it has left goes as
/// well.
pub(super) async fn end_feature(
    txn: &Transaction,
    tenant: TenantId,
    code: &str,
    key: &str,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM entitlement_kept_features WHERE tenant_id = $1 AND key = $2
               AND module_id IN (SELECT id FROM modules WHERE code = $3)";
    txn.execute_with(sql, [tenant.uuid().into(), key.into(), code.into()]).await
}

/// A tenant has the limit that its plan has now, and keeps none of a plan that it has left.
pub(super) async fn end_limit(
    txn: &Transaction,
    tenant: TenantId,
    key: &str,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM entitlement_kept_limits WHERE tenant_id = $1 AND key = $2";
    txn.execute_with(sql, [tenant.uuid().into(), key.into()]).await
}

/// Counts, for each of these features, how many tenants of which plan keep what that said before.
pub(super) async fn count_features(
    database: &impl Ask,
    entries: &mut [FeatureEntry],
) -> Result<(), StoreError> {
    let sql = "SELECT CAST(p.slug AS text) AS slug, CAST(m.code AS text) AS code, CAST(k.key AS text) AS key, count(*) AS tenants
               FROM entitlement_kept_features k JOIN tenants t ON t.id = k.tenant_id AND t.plan_id = k.plan_id
               JOIN plans p ON p.id = k.plan_id JOIN modules m ON m.id = k.module_id
               WHERE p.slug IS NOT NULL AND m.code IS NOT NULL GROUP BY p.slug, m.code, k.key";
    let mut counts: BTreeMap<(String, String), BTreeMap<String, u64>> = BTreeMap::new();
    for row in &database.sql(sql, []).await? {
        let about = (row.try_get("", "code")?, row.try_get("", "key")?);
        counts.entry(about).or_default().extend([counted(row)?]);
    }
    for entry in entries {
        let about = (entry.module.to_string(), entry.defined.key.to_string());
        entry.keeping = counts.remove(&about).unwrap_or_default();
    }
    Ok(())
}

/// The same for limits.
pub(super) async fn count_limits(
    database: &impl Ask,
    entries: &mut [LimitEntry],
) -> Result<(), StoreError> {
    let sql = "SELECT CAST(p.slug AS text) AS slug, CAST(k.key AS text) AS key, count(*) AS tenants
               FROM entitlement_kept_limits k JOIN tenants t ON t.id = k.tenant_id AND t.plan_id = k.plan_id
               JOIN plans p ON p.id = k.plan_id WHERE p.slug IS NOT NULL GROUP BY p.slug, k.key";
    let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for row in &database.sql(sql, []).await? {
        counts.entry(row.try_get("", "key")?).or_default().extend([counted(row)?]);
    }
    for entry in entries {
        entry.keeping = counts.remove(&*entry.defined.key).unwrap_or_default();
    }
    Ok(())
}

fn counted(row: &QueryResult) -> Result<(String, u64), StoreError> {
    let tenants: i64 = row.try_get("", "tenants")?;
    Ok((row.try_get("", "slug")?, tenants.cast_unsigned()))
}
