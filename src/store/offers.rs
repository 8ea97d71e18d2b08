//! The catalogue for those who sell it: with prices, which no other answer needs.

use sea_orm::{
    ColumnTrait, IntoSimpleExpr, Order, QueryOrder, QueryResult, QuerySelect, QueryTrait,
    sea_query::{ExprTrait, NullOrdering},
};

use super::{
    StoreError,
    catalogue::{module, plan, select_modules, select_plans, with_keys},
    entity::{modules, plans},
    row::Row,
    transaction::Ask,
    words::Words,
};
use crate::domain::{ModuleOffer, Money, Offers, PlanOffer};

/// All modules and plans, in two statements.
pub(super) async fn read_all(database: &impl Ask, words: &Words) -> Result<Offers, StoreError> {
    Ok(Offers { modules: modules(database, words).await?, plans: plans(database, words).await? })
}

/// All modules, in the order of the menu.
pub(super) async fn modules(database: &impl Ask, words: &Words) -> Result<Vec<ModuleOffer>, StoreError> {
    use modules::Column as M;
    let select = select_modules()
        .column_as(text(M::Description), "modules.description")
        .column_as(M::Dependencies, "modules.dependencies")
        .column_as(text(M::PriceMonthly), "modules.price_monthly")
        .column_as(text(M::PriceYearly), "modules.price_yearly")
        .order_by_with_nulls(M::DisplayOrder, Order::Asc, NullOrdering::Last)
        .order_by(M::Code, Order::Asc);
    read(&database.ask(select.build(database.backend())).await?, "modules.code", words, |row| {
        Ok(ModuleOffer {
            module: module(row, words)?,
            description: row.text("modules.description")?,
            dependencies: row.list("modules.dependencies", words, |item| item.as_str().map(|code| words.code(code))),
            price_monthly: price(row, "modules.price_monthly")?,
            price_yearly: price(row, "modules.price_yearly")?,
        })
    })
}

/// All plans, in the order in which they are shown.
pub(super) async fn plans(database: &impl Ask, words: &Words) -> Result<Vec<PlanOffer>, StoreError> {
    use plans::Column as P;
    let select = select_plans()
        .column_as(text(P::Name), "plans.name")
        .column_as(text(P::PriceInr), "plans.price_inr")
        .column_as(text(P::BillingCycle), "plans.billing_cycle")
        .column_as(P::MaxUsers, "plans.max_users")
        .column_as(P::MaxTransactionsMonthly, "plans.max_transactions_monthly")
        .order_by_with_nulls(P::DisplayOrder, Order::Asc, NullOrdering::Last)
        .order_by(P::Slug, Order::Asc);
    read(&database.ask(select.build(database.backend())).await?, "plans.slug", words, |row| {
        Ok(PlanOffer {
            plan: plan(row, words)?,
            name: row.text("plans.name")?,
            price: price(row, "plans.price_inr")?,
            billing_cycle: row.text("plans.billing_cycle")?,
            max_users: row.get("plans.max_users")?,
            max_transactions_monthly: row.get("plans.max_transactions_monthly")?,
        })
    })
}

fn read<T>(
    rows: &[QueryResult],
    key: &'static str,
    words: &Words,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    with_keys(rows, key, words)?.iter().map(read).collect()
}

/// As text: SQLite would make a float of a price on its way here.
pub(super) fn text(column: impl ColumnTrait) -> sea_orm::sea_query::Expr {
    column.into_simple_expr().cast_as("text")
}

pub(super) fn price(row: &Row<'_>, column: &'static str) -> Result<Option<Money>, StoreError> {
    let Some(text) = row.get::<Option<String>>(column)? else { return Ok(None) };
    Money::parse(&text).map(Some).ok_or_else(|| row.unreadable(column, "is no amount to the hundredth"))
}
