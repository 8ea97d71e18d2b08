//! What a tenant's own tables say that there is.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use super::{LOCK_WAIT, ReconcileRequest};
use crate::{
    domain::{LimitKind, MeterId, TenantId, UsageKey, calendar::Day, limits::MAX_RECONCILED},
    store::{Store, StoreError, TenantKey, ask::Ask, provision::quoted, row},
};

/// How long a tenant's statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Things of one tenant at most.
const MAX_THINGS: usize = 1_000_000;

/// What servers count while a tenant's table is read, and how far their clocks may be from ours: what
/// is younger is left as it is.
const YOUNG: TimeDelta = TimeDelta::seconds(30);

/// What stands for the name of the tenant's schema in an operator's SQL.
const SCHEMA: &str = "{schema}";

/// What a tenant's own tables have put right.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ByQuery {
    /// How many things there are.
    pub things: usize,
    /// How many were not counted, and are now.
    pub counted: i64,
    /// How many were counted, and are not there any more.
    pub released: i64,
}

impl Store {
    /// Puts a level of a tenant right by what an operator's query gives, or only counts that. `None`:
    /// there is no such tenant.
    ///
    /// # Errors
    ///
    /// Those of [`things_of_tenant`](Self::things_of_tenant), and of the database.
    pub async fn reconcile_by_query(
        &self,
        tenant: &TenantKey,
        meter: &str,
        sql: &str,
        is_preview: bool,
        now: DateTime<Utc>,
    ) -> Result<Option<ByQuery>, StoreError> {
        let found = self.things_of_tenant(tenant, sql, MAX_THINGS, now).await?;
        let Some((id, mut things)) = found else { return Ok(None) };
        things.sort_unstable();
        things.dedup();
        let mut done = ByQuery { things: things.len(), counted: 0, released: 0 };
        if is_preview {
            return Ok(Some(done));
        }
        let meter = MeterId { tenant: id, meter: meter.into() };
        for (after, up_to, keys) in ranges(&things) {
            let (meter, as_of) = (meter.clone(), now - YOUNG);
            let request = ReconcileRequest { meter, keys, as_of, after, up_to };
            let Some(reconciled) = self.reconcile(&request, now).await? else { continue };
            done.counted += reconciled.counted;
            done.released += reconciled.released;
        }
        Ok(Some(done))
    }

    /// What a limit counts, as the database has it now; `None`: there is none.
    pub async fn limit_kind(
        &self,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<LimitKind>, StoreError> {
        let catalogue = self.present_catalogue(now).await?;
        Ok(catalogue.definitions().limit(key).map(|defined| defined.kind))
    }

    /// Is it for this server to put a level right in this night? One does so for all.
    pub async fn claim_night(&self, meter: &str, day: Day) -> Result<bool, StoreError> {
        let sql = "INSERT INTO entitlement_usage_nights AS n (meter, day) VALUES ($1, $2) \
                   ON CONFLICT (meter) DO UPDATE SET day = excluded.day WHERE n.day < excluded.day RETURNING day";
        let values = [meter.into(), day.to_string().into()];
        let claim = self.writing.dialect().statement(sql, values);
        Ok(!self.writing.run_at_once(LOCK_WAIT, claim).await?.is_empty())
    }

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

/// The things in ranges that cover everything: each begins after the one before ends.
fn ranges(things: &[UsageKey]) -> Vec<(String, String, Vec<UsageKey>)> {
    let mut chunks: Vec<&[UsageKey]> = things.chunks(MAX_RECONCILED).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let count = chunks.len();
    let mut after = String::new();
    let range = |(place, keys): (usize, &[UsageKey])| {
        let last = keys.last().filter(|_| place + 1 < count);
        let up_to = last.map(|key| key.as_str().to_owned()).unwrap_or_default();
        (std::mem::replace(&mut after, up_to.clone()), up_to, keys.to_vec())
    };
    chunks.into_iter().enumerate().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_and_touch() {
        let keys = |count: usize| -> Vec<UsageKey> {
            (0..count).map(|number| UsageKey::parse(&format!("{number:05}")).unwrap()).collect()
        };
        for count in [0, 1, MAX_RECONCILED, MAX_RECONCILED + 1, 3 * MAX_RECONCILED] {
            let ranges = ranges(&keys(count));
            assert_eq!(ranges.iter().map(|(.., keys)| keys.len()).sum::<usize>(), count);
            assert_eq!((ranges[0].0.as_str(), ranges.last().unwrap().1.as_str()), ("", ""));
            for pair in ranges.windows(2) {
                assert!(pair[0].1 == pair[1].0 && !pair[0].1.is_empty(), "{count}");
            }
            for (after, up_to, keys) in ranges {
                let is_in = |key: &UsageKey| {
                    key.as_str() > &*after && (up_to.is_empty() || key.as_str() <= &*up_to)
                };
                assert!(keys.iter().all(is_in));
            }
        }
    }
}
