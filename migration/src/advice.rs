//! Indexes that an adopted database would profit from. They are listed, never made: building one is
//! the owner's decision.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend, Statement},
};

use crate::catalog;

/// The columns by which statements look rows up.
const LOOKED_UP: [(&str, &str); 5] = [
    ("tenants", "id"),
    ("tenants", "subdomain"),
    ("tenant_subscriptions", "tenant_id"),
    ("modules", "id"),
    ("plans", "id"),
];

/// Is there a whole, valid index that begins with the column?
const HAS_INDEX: &str = "SELECT EXISTS (
    SELECT FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = $1 AND a.attname = $2
      AND i.indisvalid AND i.indpred IS NULL) AS has_index";

/// The statements that make the missing indexes, for an operator to run. Empty if nothing is
/// missing, and on SQLite, where the tables are our own.
pub async fn index_advice(manager: &SchemaManager<'_>) -> Result<Vec<String>, DbErr> {
    let db = manager.get_connection();
    let mut advice = Vec::new();
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(advice);
    }
    for (table, column) in LOOKED_UP {
        if !catalog::has_table(manager, table).await? {
            continue;
        }
        let question = Statement::from_sql_and_values(
            DbBackend::Postgres,
            HAS_INDEX,
            [table.into(), column.into()],
        );
        let has_index = match db.query_one_raw(question).await? {
            Some(row) => row.try_get("", "has_index")?,
            None => false,
        };
        if !has_index {
            advice.push(format!(
                "CREATE INDEX CONCURRENTLY idx_{table}_{column} ON {table} ({column});"
            ));
        }
    }
    Ok(advice)
}
