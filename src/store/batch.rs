//! Many tenants in one statement: for loads that wait together, and for what is read again in the background.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, QueryResult, QueryTrait, Statement, Value, prelude::Uuid};
use serde_json::json;

use entitlementd_migration::{ChangeLog, revision_of};

use super::{
    Loaded, StoreError, TenantKey,
    database::Database,
    replica::replayed,
    tenant::{OF_SUBSCRIPTION, OF_TENANT, reading, select_subscriptions, select_tenants},
    words::Words,
};
use crate::domain::{Label, TenantId};

/// The statements that read many tenants, built once.
#[derive(Debug)]
pub(super) struct BatchStatements {
    backend: DbBackend,
    from_primary: String,
    /// The same, and whether the replica has come as far as is thought of it.
    from_replica: String,
}

impl BatchStatements {
    pub(super) fn new(backend: DbBackend, log: ChangeLog) -> Self {
        let revision = match log {
            ChangeLog::Wanted => revision_of(backend, "k.id"),
            ChangeLog::LeftOut => "0".to_owned(),
        };
        let holds = format!(", {} AS holds", replayed("$3"));
        Self {
            backend,
            from_primary: statement(backend, &revision, ""),
            from_replica: statement(backend, &revision, &holds),
        }
    }

    /// Reads the rows of several tenants.
    pub(super) async fn read(&self, database: &Database, keys: &[TenantKey]) -> Result<Vec<QueryResult>, StoreError> {
        self.query(database, &self.from_primary, lists(self.backend, keys).into_iter()).await
    }

    /// Reads them from a replica, which must have replayed its primary's log up to here: see
    /// [`holds`](super::tenant::holds).
    pub(super) async fn read_from_replica(
        &self,
        replica: &Database,
        keys: &[TenantKey],
        lsn: &str,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let values = lists(self.backend, keys).into_iter().chain([lsn.to_owned()]);
        self.query(replica, &self.from_replica, values).await
    }

    async fn query(
        &self,
        database: &Database,
        sql: &str,
        values: impl Iterator<Item = String>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        database.query(Statement::from_sql_and_values(self.backend, sql, values.map(Value::from))).await
    }
}

/// The text of a statement with two parameters, however many tenants it names: a list of ids, and one of subdomains.
///
/// The keys and their revisions are worked out first, once for each tenant and not once for each subscription. A key
/// that leads nowhere gives a row too. Then come the subscriptions, without what is their tenant's: to repeat that takes
/// PostgreSQL half as long again.
///
/// PostgreSQL is to see the lists only as it runs the statement, hence the `SELECT` around them: a plan of its own for each
/// list looks cheaper to it wherever the list is short, and making that plan takes several times as long as the rows.
fn statement(backend: DbBackend, revision: &str, more: &str) -> String {
    let [ids, subdomains] = match backend {
        DbBackend::Sqlite => {
            ["(SELECT unhex(value) AS id FROM json_each(?1)) i", "(SELECT value AS subdomain FROM json_each(?2)) s"]
        }
        _ => [
            "unnest(CAST(string_to_array((SELECT $1), ',') AS uuid[])) i (id)",
            "unnest(string_to_array((SELECT $2), ',')) s (subdomain)",
        ],
    };
    let tenants = select_tenants().build(backend).sql;
    let subscriptions = select_subscriptions(backend).build(backend).sql;
    // PostgreSQL takes the key into the joins; SQLite would put all tenants together first.
    let wanted = |column: &str| match backend {
        DbBackend::Sqlite => format!(" WHERE {column} IN (SELECT id FROM k)"),
        _ => String::new(),
    };
    let (of_tenants, of_subscriptions) = (wanted("tenants.id"), wanted("tenant_subscriptions.tenant_id"));
    let nulls = |count| ["NULL"; OF_TENANT + OF_SUBSCRIPTION][..count].join(", ");
    let (no_tenant, no_subscription) = (nulls(OF_TENANT), nulls(OF_SUBSCRIPTION));
    let no_more = if more.is_empty() { "" } else { ", NULL" };
    format!(
        "WITH k AS MATERIALIZED (SELECT i.id, CAST(NULL AS text) AS subdomain FROM {ids} \
          UNION ALL SELECT n.id, s.subdomain FROM {subdomains} LEFT JOIN tenants n ON n.subdomain = s.subdomain), \
         r AS MATERIALIZED (SELECT k.id AS key_id, k.subdomain AS key_subdomain, \
          CAST({revision} AS bigint) AS revision{more} FROM k) \
         SELECT t.*, {no_subscription}, r.* FROM r LEFT JOIN ({tenants}{of_tenants}) t ON t.\"tenants.id\" = r.key_id \
         UNION ALL SELECT {no_tenant}, s.*, r.key_subdomain, NULL{no_more} \
          FROM r JOIN ({subscriptions}{of_subscriptions}) s ON s.tenant_id = r.key_id"
    )
}

/// The two lists, as one parameter each. Neither a UUID nor a label holds a comma.
fn lists(backend: DbBackend, keys: &[TenantKey]) -> [String; 2] {
    let (mut ids, mut subdomains) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            TenantKey::Id(id) if backend == DbBackend::Sqlite => ids.push(id.uuid().simple().to_string()),
            TenantKey::Id(id) => ids.push(id.uuid().to_string()),
            TenantKey::Subdomain(label) => subdomains.push(label.as_str().to_owned()),
        }
    }
    match backend {
        DbBackend::Sqlite => [json!(ids).to_string(), json!(subdomains).to_string()],
        _ => [ids.join(","), subdomains.join(",")],
    }
}

/// What these rows say of each key, in the order of the keys. A row that cannot be read concerns its own tenant only.
pub(super) fn loaded(
    rows: Vec<QueryResult>,
    keys: &[TenantKey],
    words: &Words,
    now: DateTime<Utc>,
) -> Result<Vec<Result<Loaded, StoreError>>, StoreError> {
    let mut by_key: HashMap<TenantKey, Vec<QueryResult>> = HashMap::with_capacity(keys.len());
    for row in rows {
        let Some(key) = key(&row)? else { continue };
        let rows = by_key.entry(key).or_default();
        // Only the tenant's own row has a revision.
        let is_first = row.try_get::<Option<i64>>("", "revision")?.is_some();
        rows.push(row);
        if is_first {
            let last = rows.len() - 1;
            rows.swap(0, last);
        }
    }
    let of = |key| {
        let rows = by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        reading(rows, words, now).map(|reading| Loaded::of(reading, key))
    };
    Ok(keys.iter().map(of).collect())
}

fn key(row: &QueryResult) -> Result<Option<TenantKey>, StoreError> {
    if let Some(subdomain) = row.try_get::<Option<String>>("", "key_subdomain")? {
        return Ok(Label::parse(&subdomain).map(TenantKey::Subdomain));
    }
    let id: Uuid = row.try_get("", "key_id")?;
    Ok(Some(TenantKey::Id(TenantId::from(id))))
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, Database as Connection};

    use super::*;

    #[tokio::test]
    async fn sqlite_looks_up_what_is_named_and_goes_through_no_table() {
        let database = Connection::connect("sqlite::memory:").await.unwrap();
        entitlementd_migration::migrate(&database, ChangeLog::Wanted, ["", ""]).await.unwrap();
        let BatchStatements { from_primary, .. } = BatchStatements::new(DbBackend::Sqlite, ChangeLog::Wanted);
        let explain = format!("EXPLAIN QUERY PLAN {from_primary}");
        let values = lists(DbBackend::Sqlite, &[]).map(Value::from);
        let explain = Statement::from_sql_and_values(DbBackend::Sqlite, explain, values);
        let rows = database.query_all_raw(explain).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        for table in ["tenants", "tenant_subscriptions", "n", "entitlement_changes", "c", "f"] {
            let scan = format!("SCAN {table}");
            assert!(
                !plan.iter().any(|step| *step == scan || step.starts_with(&format!("{scan} "))),
                "{scan}: {plan:#?}"
            );
        }
        assert!(plan.iter().any(|step| step.starts_with("SEARCH tenants ")), "{plan:#?}");
    }
}
