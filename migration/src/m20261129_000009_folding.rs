//! Step 9: folding keeps up with any writer, goes on beside a transaction that never ends, and says
//! how far it has come.

use sea_orm_migration::prelude::*;

use crate::changes;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        changes::remember_folding(manager).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}
