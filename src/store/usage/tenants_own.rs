//! What a tenant's own tables say that there is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use crate::{
    domain::{TenantId, UsageKey},
    store::{Store, StoreError, TenantKey, ask::Ask, provision::quoted, row},
};

/// How long a tenant's statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// What stands for the name of the tenant's schema in an operator's SQL.
const SCHEMA: &str = "{schema}";

impl Store {
    /// Runs an operator's query for a tenant, in a transaction that may only read, and gives its first
    /// column. `None`: there is no such tenant.
    ///
    /// # Errors
    ///
    /// If the query fails, takes longer than half a minute, gives more than `most` rows, or a value
    /// that is no key.
    pub async fn things_of_tenant(
        &self,
        tenant: &TenantKey,
        sql: &str,
        most: usize,
        now: DateTime<Utc>,
    ) -> Result<Option<(TenantId, Vec<UsageKey>)>, StoreError> {
        let Some(evidence) = self.read(tenant, now).await?.evidence else { return Ok(None) };
        let schema = quoted(&evidence.facts.tenant.database_schema);
        let visit = self.primary.visit().await?;
        let dialect = visit.dialect();
        if dialect.has_schemas() {
            let seconds = STATEMENT_TIMEOUT.as_secs();
            visit
                .execute(&format!(
                    "SET TRANSACTION READ ONLY; SET LOCAL search_path = {schema}; SET LOCAL statement_timeout = '{seconds}s'"
                ))
                .await?;
            let is_there = "SELECT to_regnamespace($1) IS NOT NULL AS is_there";
            let rows = visit.sql(is_there, [schema.as_str().into()]).await?;
            if !row::first(&rows)?.try_get::<bool>("", "is_there")? {
                return Err(DbErr::Custom(format!("there is no schema {schema}")).into());
            }
        }
        let asked = sql.trim().trim_end_matches(';').replace(SCHEMA, &schema);
        let limited = format!(
            "WITH things (thing) AS ({asked}) SELECT CAST(thing AS text) AS thing FROM things LIMIT {}",
            most + 1
        );
        let rows = visit.inner.query_all_raw(dialect.statement(limited, [])).await?;
        visit.roll_back().await?;
        if rows.len() > most {
            return Err(DbErr::Custom(format!("the query gives more than {most} rows")).into());
        }
        let key = |row: &sea_orm::QueryResult| {
            let text: Option<String> = row.try_get("", "thing")?;
            let text = text.ok_or_else(|| DbErr::Custom("the query gives NULL".to_owned()))?;
            UsageKey::parse(&text).map_err(|error| DbErr::Custom(format!("{text:?} {error}")))
        };
        let things = rows.iter().map(key).collect::<Result<_, _>>()?;
        Ok(Some((evidence.facts.tenant.id, things)))
    }
}
