//! `tenants`: customer organisations.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tenants")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    #[sea_orm(unique)]
    pub subdomain: String,
    pub database_schema: String,
    pub status: String,
    pub plan_id: Option<Uuid>,
    pub trial_ends_at: Option<DateTimeUtc>,
    pub onboarded_at: DateTimeUtc,
    #[sea_orm(column_type = "JsonBinary")]
    pub settings: Json,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    #[sea_orm(belongs_to, from = "plan_id", to = "id")]
    pub plan: BelongsTo<Option<super::plans::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
