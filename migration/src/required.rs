//! The columns that entitlementd names in its statements. An adopted database must have them; it may lack others.

use std::fmt;

use sea_orm_migration::prelude::*;

use crate::catalog;

/// Table by table, the columns that are read.
pub(crate) const REQUIRED: [(&str, &[&str]); 4] = [
    ("tenants", &["id", "name", "subdomain", "database_schema", "status", "plan_id"]),
    (
        "modules",
        &[
            "id",
            "code",
            "name",
            "category",
            "display_order",
            "is_base_module",
            "is_active",
            "sections",
            "frontend_routes",
            "api_endpoints",
        ],
    ),
    ("plans", &["id", "slug", "is_active", "included_modules", "price_inr"]),
    (
        "tenant_subscriptions",
        &["id", "tenant_id", "module_id", "status", "starts_at", "expires_at", "is_trial", "trial_ends_at"],
    ),
];

/// The columns of a table that are read, and so make up what answers say.
pub(crate) fn columns_of(table: &str) -> &'static [&'static str] {
    REQUIRED.iter().find(|(name, _)| *name == table).map_or(&[], |(_, columns)| columns)
}

/// A column that is needed and not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MissingColumn {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
}

impl fmt::Display for MissingColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the table {} has no column {}", self.table, self.column)
    }
}

/// The needed columns that the database lacks. A table that is not there lacks them all.
pub async fn missing_columns(manager: &SchemaManager<'_>) -> Result<Vec<MissingColumn>, DbErr> {
    let mut missing = Vec::new();
    for (table, columns) in REQUIRED {
        missing.extend(missing_columns_of(manager, table, columns).await?);
    }
    Ok(missing)
}

/// The same for the tables that exist: what stops an adoption.
pub(crate) async fn missing_in_existing_tables(manager: &SchemaManager<'_>) -> Result<Vec<MissingColumn>, DbErr> {
    let mut missing = Vec::new();
    for (table, columns) in REQUIRED {
        if catalog::has_table(manager, table).await? {
            missing.extend(missing_columns_of(manager, table, columns).await?);
        }
    }
    Ok(missing)
}

async fn missing_columns_of(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &'static [&'static str],
) -> Result<Vec<MissingColumn>, DbErr> {
    let missing = catalog::without(manager, table, columns).await?;
    Ok(missing.into_iter().map(|column| MissingColumn { table, column }).collect())
}
