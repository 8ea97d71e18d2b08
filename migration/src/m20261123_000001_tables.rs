//! Step 1: makes the tables that are missing, and adopts those that exist.

use sea_orm_migration::prelude::*;

use crate::{catalog, required, tables};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Columns that only administration needs are reported once everything is in place; without
        // them, serving still works.
        let missing = required::missing_in_existing_tables(manager).await?;
        required::refuse("this database cannot be adopted", &missing.for_serving)?;
        for table in tables::all(manager.get_database_backend()) {
            if !catalog::has_table(manager, table.name).await? {
                manager.create_table(table.create).await?;
                for index in table.indexes {
                    manager.create_index(index).await?;
                }
            }
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}
