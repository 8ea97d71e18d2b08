//! Many tenants in one statement: for loads that wait together, and for reading again in the
//! background.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entitlementd_migration::ChangeLog;
use sea_orm::{QueryResult, QueryTrait, Statement, Value, prelude::Uuid};

use super::{
    Loaded, StoreError, TenantKey,
    dialect::Dialect,
    row::ReadContext,
    tenant::{
        Detail, IS_STANDBY, NO_REVISION, OF_SUBSCRIPTION, OF_TENANT, own, reading,
        select_subscriptions, select_tenants,
    },
};
use crate::domain::{Label, TenantId};

/// The places of columns that follow the tenant's and the subscription's: names take longer.
const KEY_ID: usize = OF_TENANT + OF_SUBSCRIPTION;
const KEY_SUBDOMAIN: usize = KEY_ID + 1;
const REVISION: usize = KEY_ID + 2;

/// The statement that reads many tenants, built once.
#[derive(Debug)]
pub(super) struct BatchStatement(String);

impl BatchStatement {
    pub(super) fn new(dialect: Dialect, log: ChangeLog) -> Self {
        Self(statement(dialect, &dialect.revision_of(log, "k.id")))
    }

    /// What reads the rows of several tenants.
    pub(super) fn of(&self, dialect: Dialect, keys: &[TenantKey]) -> Statement {
        dialect.statement(&self.0, dialect.key_lists(keys).map(Value::from))
    }
}

/// The text of a statement with two parameters, however many tenants it names: a list of ids, and a
/// list of subdomains.
///
/// The keys and their revisions are determined first, once per tenant instead of once per
/// subscription. A key without a tenant gives a row too. Then come the subscriptions, with the
/// tenant's id and none of its other columns: repeating those takes PostgreSQL half as long again.
fn statement(dialect: Dialect, revision: &str) -> String {
    let (standby, fence) = (dialect.is_standby(), dialect.fence());
    let [ids, subdomains] = dialect.key_tables();
    let tenants = select_tenants().build(dialect.backend()).sql;
    let subscriptions = select_subscriptions(dialect).build(dialect.backend()).sql;
    let of_tenants = dialect.only_keys("tenants.id");
    let of_subscriptions = dialect.only_keys("tenant_subscriptions.tenant_id");
    let nulls = |count| ["NULL"; OF_TENANT + OF_SUBSCRIPTION][..count].join(", ");
    let (no_own, own) = (own::none(), own::of(dialect, "= r.key_id", Detail::Terms));
    let (columns, any) = (own::columns(), own::any());
    let (no_more_of_tenant, no_subscription) = (nulls(OF_TENANT - 1), nulls(OF_SUBSCRIPTION));
    format!(
        "WITH k AS MATERIALIZED (SELECT i.id, CAST(NULL AS text) AS subdomain FROM {ids} \
          UNION ALL SELECT n.id, s.subdomain FROM {subdomains} LEFT JOIN tenants n ON n.subdomain = s.subdomain), \
         r AS MATERIALIZED (SELECT k.id AS key_id, k.subdomain AS key_subdomain, \
          CAST({revision} AS bigint) AS revision, {standby} AS {IS_STANDBY} FROM k) \
         SELECT t.*, {no_subscription}, r.*, {no_own} FROM r LEFT JOIN ({tenants}{of_tenants}) t ON t.\"tenants.id\" = r.key_id \
         UNION ALL SELECT r.key_id, {no_more_of_tenant}, s.*, r.key_subdomain, {NO_REVISION}, NULL, {no_own} \
          FROM r JOIN ({subscriptions}{of_subscriptions}) s ON s.tenant_id = r.key_id \
         UNION ALL SELECT own.key_id, {no_more_of_tenant}, {no_subscription}, own.key_id, own.key_subdomain, {NO_REVISION}, NULL, \
          {columns} FROM (SELECT r.key_id, r.key_subdomain, {own} FROM r {fence}) own WHERE {any}"
    )
}

/// What these rows say about each key, in the order of the keys. An unreadable row concerns only
/// its own tenant.
pub(super) fn loaded(
    rows: Vec<QueryResult>,
    keys: &[TenantKey],
    context: &ReadContext,
    now: DateTime<Utc>,
) -> Result<Vec<Result<Loaded, StoreError>>, StoreError> {
    let mut by_key: HashMap<TenantKey, Vec<QueryResult>> = HashMap::with_capacity(keys.len());
    let are_ids = keys.iter().all(|key| matches!(key, TenantKey::Id(_)));
    for row in rows {
        let Some(key) = key(&row, are_ids)? else { continue };
        let rows = by_key.entry(key).or_default();
        let is_first = row.try_get_by_index::<i64>(REVISION)? != NO_REVISION;
        rows.push(row);
        if is_first {
            let last = rows.len() - 1;
            rows.swap(0, last);
        }
    }
    let of = |key| {
        let rows = by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        reading(rows, context, now).map(|reading| Loaded::of(reading, key, now))
    };
    Ok(keys.iter().map(of).collect())
}

/// The key that a row belongs to. NULL takes as long to read as several values: it is not read where
/// all keys are ids.
fn key(row: &QueryResult, are_ids: bool) -> Result<Option<TenantKey>, StoreError> {
    if !are_ids && let Some(subdomain) = row.try_get_by_index::<Option<String>>(KEY_SUBDOMAIN)? {
        return Ok(Label::parse(&subdomain).map(TenantKey::Subdomain));
    }
    let id: Uuid = row.try_get_by_index(KEY_ID)?;
    Ok(Some(TenantKey::Id(TenantId::from(id))))
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, Database as Connection};

    use super::*;

    #[tokio::test]
    async fn sqlite_looks_up_what_is_named_and_goes_through_no_table() {
        let database = Connection::connect("sqlite::memory:").await.unwrap();
        entitlementd_migration::migrate(
            &database,
            ChangeLog::Wanted,
            entitlementd_migration::Additions::default(),
            ["", ""],
        )
        .await
        .unwrap();
        let BatchStatement(statement) = BatchStatement::new(Dialect::Sqlite, ChangeLog::Wanted);
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let explain =
            Dialect::Sqlite.statement(explain, Dialect::Sqlite.key_lists(&[]).map(Value::from));
        let rows = database.query_all_raw(explain).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        for table in [
            "tenants",
            "tenant_subscriptions",
            "n",
            "entitlement_changes",
            "c",
            "f",
            "o",
            "kf",
            "kl",
            "kt",
            "z",
        ] {
            let scan = format!("SCAN {table}");
            assert!(
                !plan.iter().any(|step| *step == scan || step.starts_with(&format!("{scan} "))),
                "{scan}: {plan:#?}"
            );
        }
        assert!(plan.iter().any(|step| step.starts_with("SEARCH tenants ")), "{plan:#?}");
    }
}
