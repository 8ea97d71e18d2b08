//! What exists in the database, independent of the role that asks: PostgreSQL's information schema
//! hides objects that a role has no rights on, so that "may not be read" looks like "does not
//! exist".

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend, Statement},
};

const COLUMNS: &str = "SELECT a.attname::text AS name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = $1 AND a.attnum > 0 AND NOT a.attisdropped";

/// Is there a table with this name?
pub(crate) async fn has_table(manager: &SchemaManager<'_>, table: &str) -> Result<bool, DbErr> {
    match manager.get_database_backend() {
        DbBackend::Postgres => Ok(!columns(manager, table).await?.is_empty()),
        _ => manager.has_table(table).await,
    }
}

/// Which of these columns does the table lack?
pub(crate) async fn without(
    manager: &SchemaManager<'_>,
    table: &str,
    wanted: &'static [&'static str],
) -> Result<Vec<&'static str>, DbErr> {
    let mut missing = Vec::new();
    if manager.get_database_backend() == DbBackend::Postgres {
        let there = columns(manager, table).await?;
        missing.extend(wanted.iter().filter(|column| !there.iter().any(|one| one == *column)));
        return Ok(missing);
    }
    for column in wanted {
        if !manager.has_column(table, *column).await? {
            missing.push(*column);
        }
    }
    Ok(missing)
}

async fn columns(manager: &SchemaManager<'_>, table: &str) -> Result<Vec<String>, DbErr> {
    let columns = Statement::from_sql_and_values(DbBackend::Postgres, COLUMNS, [table.into()]);
    let rows = manager.get_connection().query_all_raw(columns).await?;
    rows.iter().map(|row| row.try_get("", "name")).collect()
}
