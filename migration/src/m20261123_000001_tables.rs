//! Step 1: makes the tables that are missing, and adopts those that exist.

use sea_orm_migration::prelude::*;

use crate::{
    catalog::Existing,
    required::{self, MissingColumns},
    tables::{self, Variant},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration {
    /// `None`: the variant of the tables that exist.
    pub(crate) variant: Option<Variant>,
}

/// The tables that are missing.
pub(crate) async fn missing(
    manager: &SchemaManager<'_>,
    variant: Option<Variant>,
) -> Result<(Variant, Vec<tables::NewTable>), DbErr> {
    let existing = Existing::read(manager).await?;
    let variant = variant.unwrap_or_else(|| variant_of(&existing));
    let mut missing = tables::all(manager.get_database_backend(), variant);
    missing.retain(|table| !existing.has_table(table.name));
    Ok((variant, missing))
}

/// The variant of the tables that exist, so that what is added belongs to the same.
fn variant_of(existing: &Existing) -> Variant {
    let has_metadata = |table: &&str| existing.without(table, &["metadata"]).is_empty();
    match ["tenants", "usage_metrics"].iter().find(|table| existing.has_table(table)) {
        Some(table) if has_metadata(table) => Variant::Alembic,
        _ => Variant::Erp,
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Columns that only administration needs are reported once everything is in place; without
        // them, serving still works.
        let lacking = MissingColumns::of_existing_tables(&Existing::read(manager).await?);
        required::refuse("this database cannot be adopted", &lacking.for_serving)?;
        for table in missing(manager, self.variant).await?.1 {
            manager.create_table(table.create).await?;
            for index in table.indexes {
                manager.create_index(index).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}
