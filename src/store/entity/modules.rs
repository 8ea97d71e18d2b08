//! `modules`: the sellable parts of the ERP.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "modules")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    #[sea_orm(unique)]
    pub code: String,
    pub name: String,
    pub description: Option<String>,
    pub category: Option<String>,
    pub icon: Option<String>,
    pub color: Option<String>,
    pub display_order: Option<i32>,
    pub price_monthly: Option<Decimal>,
    pub price_yearly: Option<Decimal>,
    pub is_base_module: Option<bool>,
    #[sea_orm(column_type = "JsonBinary")]
    pub dependencies: Option<Json>,
    #[sea_orm(column_type = "JsonBinary")]
    pub sections: Option<Json>,
    #[sea_orm(column_type = "JsonBinary")]
    pub database_tables: Option<Json>,
    #[sea_orm(column_type = "JsonBinary")]
    pub api_endpoints: Option<Json>,
    #[sea_orm(column_type = "JsonBinary")]
    pub frontend_routes: Option<Json>,
    #[sea_orm(column_type = "JsonBinary")]
    pub features: Option<Json>,
    pub is_active: Option<bool>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
