//! Step 8: functions that run with their owner's rights execute nothing that a writer supplies, and
//! a forged number does not break reading. Public rights are checked on each migration.

use sea_orm_migration::prelude::*;

use crate::changes;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        changes::replace_functions(manager).await?;
        changes::replace_view(manager).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}
