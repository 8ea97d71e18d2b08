//! `entitlement_audit`: the record of what administrators did. Our own table, which is append-only.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "entitlement_audit")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub made_at: DateTimeUtc,
    pub actor_kind: String,
    pub actor: String,
    pub action: String,
    pub tenant_id: Option<Uuid>,
    pub subject: String,
    pub reason: Option<String>,
    #[sea_orm(column_type = "JsonBinary")]
    pub request: Json,
    #[sea_orm(column_type = "JsonBinary")]
    pub before: Option<Json>,
    #[sea_orm(column_type = "JsonBinary")]
    pub after: Option<Json>,
    pub request_id: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
