//! Step 5: the codes that modules had before they were renamed.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (id, comment) = match manager.get_database_backend() {
            DbBackend::Sqlite => ("BLOB", ""),
            _ => ("uuid", COMMENT),
        };
        // No foreign key: it must not block the ERP from deleting a module.
        let sql = format!(
            "CREATE TABLE entitlement_module_aliases (alias varchar(50) PRIMARY KEY, module_id {id} NOT NULL); {comment}"
        );
        manager.get_connection().execute_unprepared(&sql).await.map(|_| ())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}

const COMMENT: &str = "COMMENT ON TABLE entitlement_module_aliases IS
    'Codes that modules had before they were renamed. Checks still honour them.';";
