//! `billing_history`: invoices.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "billing_history")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub tenant_id: Option<Uuid>,
    #[sea_orm(unique)]
    pub invoice_number: String,
    pub billing_period_start: DateTimeUtc,
    pub billing_period_end: DateTimeUtc,
    pub amount: Decimal,
    pub tax_amount: Option<Decimal>,
    pub total_amount: Decimal,
    pub status: Option<String>,
    pub payment_method: Option<String>,
    pub payment_transaction_id: Option<String>,
    #[sea_orm(column_type = "JsonBinary")]
    pub invoice_data: Option<Json>,
    pub paid_at: Option<DateTimeUtc>,
    pub due_date: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
