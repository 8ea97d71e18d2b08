//! Step 7: cheaper functions for the log's triggers, for the ERP's writers.

use sea_orm_migration::prelude::*;

use crate::changes;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        changes::replace_functions(manager).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}
