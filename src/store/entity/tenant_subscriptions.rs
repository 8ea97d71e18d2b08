//! `tenant_subscriptions`: rights of tenants to modules. The live database has no unique key on
//! (tenant, module).

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant_subscriptions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub tenant_id: Option<Uuid>,
    pub module_id: Option<Uuid>,
    pub plan_id: Option<Uuid>,
    pub status: Option<String>,
    pub subscription_type: Option<String>,
    pub billing_cycle: Option<String>,
    pub price_paid: Option<Decimal>,
    pub starts_at: Option<DateTimeUtc>,
    pub expires_at: Option<DateTimeUtc>,
    pub is_trial: Option<bool>,
    pub trial_ends_at: Option<DateTimeUtc>,
    pub auto_renew: Option<bool>,
    #[sea_orm(column_type = "JsonBinary")]
    pub settings: Option<Json>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    #[sea_orm(belongs_to, from = "tenant_id", to = "id")]
    pub tenant: BelongsTo<Option<super::tenants::Entity>>,
    #[sea_orm(belongs_to, from = "module_id", to = "id")]
    pub module: BelongsTo<Option<super::modules::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
