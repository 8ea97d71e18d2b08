//! What exists in the database, independent of the role that asks: PostgreSQL's information schema
//! hides objects that a role has no rights on, so that "may not be read" looks like "does not
//! exist".

use std::collections::{HashMap, HashSet};

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend, Statement},
};

use crate::{required, tables};

/// The tables that matter here, with their columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Existing(HashMap<String, HashSet<String>>);

impl Existing {
    /// Reads them, all at once.
    pub(crate) async fn read(manager: &SchemaManager<'_>) -> Result<Self, DbErr> {
        let backend = manager.get_database_backend();
        let columns = Statement::from_string(backend, columns(backend));
        let rows = manager.get_connection().query_all_raw(columns).await?;
        let mut existing = Self::default();
        for row in rows {
            existing.add(row.try_get("", "a")?, row.try_get("", "b")?);
        }
        Ok(existing)
    }

    pub(crate) fn add(&mut self, table: String, column: String) {
        self.0.entry(table).or_default().insert(column);
    }

    /// Is there a table, or a view, with this name?
    pub(crate) fn has_table(&self, table: &str) -> bool {
        self.0.contains_key(table)
    }

    /// Which of these columns does the table lack?
    pub(crate) fn without(
        &self,
        table: &str,
        wanted: &'static [&'static str],
    ) -> Vec<&'static str> {
        let columns = self.0.get(table);
        let lacks = |column: &&&str| columns.is_none_or(|columns| !columns.contains(**column));
        wanted.iter().filter(lacks).copied().collect()
    }
}

/// Is there a table with this name?
pub(crate) async fn has_table(manager: &SchemaManager<'_>, table: &str) -> Result<bool, DbErr> {
    Ok(Existing::read(manager).await?.has_table(table))
}

/// A query of tables, `a`, and their columns, `b`.
pub(crate) fn columns(backend: DbBackend) -> String {
    let erps = required::tables().map(|table| format!("'{table}'")).collect::<Vec<_>>().join(", ");
    let ours = tables::OURS;
    match backend {
        DbBackend::Sqlite => "SELECT t.name AS a, c.name AS b FROM sqlite_schema t, pragma_table_info(t.name) c
             WHERE t.type IN ('table', 'view')"
            .to_owned(),
        _ => format!(
            "SELECT t.relname::text AS a, c.attname::text AS b FROM pg_attribute c JOIN pg_class t ON t.oid = c.attrelid
             WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p', 'v', 'm', 'f')
               AND (t.relname IN ({erps}) OR t.relname LIKE '{ours}%') AND c.attnum > 0 AND NOT c.attisdropped"
        ),
    }
}
