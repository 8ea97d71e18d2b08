//! Step 1: makes the tables that are missing, and adopts those that exist.

use sea_orm_migration::prelude::*;

use crate::{
    catalog, required,
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
    let variant = match variant {
        Some(variant) => variant,
        None => existing(manager).await?.unwrap_or(Variant::Erp),
    };
    let mut missing = Vec::new();
    for table in tables::all(manager.get_database_backend(), variant) {
        if !catalog::has_table(manager, table.name).await? {
            missing.push(table);
        }
    }
    Ok((variant, missing))
}

/// The variant of the tables that exist, so that what is added belongs to the same.
async fn existing(manager: &SchemaManager<'_>) -> Result<Option<Variant>, DbErr> {
    for table in ["tenants", "usage_metrics"] {
        if catalog::has_table(manager, table).await? {
            let is_alembic = catalog::without(manager, table, &["metadata"]).await?.is_empty();
            return Ok(Some(if is_alembic { Variant::Alembic } else { Variant::Erp }));
        }
    }
    Ok(None)
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Columns that only administration needs are reported once everything is in place; without
        // them, serving still works.
        let lacking = required::missing_in_existing_tables(manager).await?;
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
