//! `plans`: bundles of modules with a price and limits.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "plans")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    #[sea_orm(unique)]
    pub slug: String,
    pub r#type: String,
    pub billing_cycle: Option<String>,
    pub price_inr: Option<Decimal>,
    pub original_price_inr: Option<Decimal>,
    pub discount_percent: Option<i32>,
    #[sea_orm(column_type = "JsonBinary")]
    pub included_modules: Option<Json>,
    pub max_users: Option<i32>,
    pub max_transactions_monthly: Option<i32>,
    #[sea_orm(column_type = "JsonBinary")]
    pub features: Option<Json>,
    pub is_active: Option<bool>,
    pub is_popular: Option<bool>,
    pub display_order: Option<i32>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
