//! Step 8: what runs with its owner's rights runs nothing of a writer's, and a number that was
//! forged harms no reading. What everybody may do is looked after on each migration.

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
