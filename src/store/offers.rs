//! The catalogue with prices, for those who sell it; no other answer needs prices.

use sea_orm::{
    ColumnTrait, IntoSimpleExpr, Order, QueryOrder, QueryResult, QuerySelect,
    sea_query::{ExprTrait, NullOrdering},
};

use super::{
    StoreError,
    ask::Ask,
    catalogue::{list, module, plan, select_modules, select_plans, with_keys},
    entity::{modules, plans},
    row::{ReadContext, Row},
};
use crate::domain::{ModuleOffer, Money, Offers, PlanOffer};

/// A function that reads a price.
type ReadPrice = fn(&Row<'_>, &'static str, &ReadContext) -> Result<Option<Money>, StoreError>;

/// All modules and plans, in two statements, for changes of what a tenant has: an unreadable price
/// is an error only for those who look at prices.
pub(super) async fn read_all(
    database: &impl Ask,
    context: &ReadContext,
) -> Result<Offers, StoreError> {
    Ok(Offers {
        modules: modules(database, context, price).await?,
        plans: plans(database, context, price).await?,
    })
}

/// All modules, in the order of the menu.
pub(super) async fn modules(
    database: &impl Ask,
    context: &ReadContext,
    price: ReadPrice,
) -> Result<Vec<ModuleOffer>, StoreError> {
    use modules::Column as M;
    let select = select_modules()
        .column_as(text(M::Description), "modules.description")
        .column_as(list(M::Dependencies), "modules.dependencies")
        .column_as(text(M::PriceMonthly), "modules.price_monthly")
        .column_as(text(M::PriceYearly), "modules.price_yearly")
        .order_by_with_nulls(M::DisplayOrder, Order::Asc, NullOrdering::Last)
        .order_by(M::Code, Order::Asc);
    read(&database.select(select).await?, "modules.code", context, |row| {
        Ok(ModuleOffer {
            module: module(row, context)?,
            description: row.text("modules.description")?,
            dependencies: row.list("modules.dependencies", context, |item| {
                item.as_str().map(|code| context.codes.code(code))
            }),
            price_monthly: price(row, "modules.price_monthly", context)?,
            price_yearly: price(row, "modules.price_yearly", context)?,
        })
    })
}

/// All plans, in the order in which they are shown.
pub(super) async fn plans(
    database: &impl Ask,
    context: &ReadContext,
    price: ReadPrice,
) -> Result<Vec<PlanOffer>, StoreError> {
    use plans::Column as P;
    let select = select_plans()
        .column_as(text(P::Name), "plans.name")
        .column_as(text(P::PriceInr), "plans.price_inr")
        .column_as(text(P::BillingCycle), "plans.billing_cycle")
        .order_by_with_nulls(P::DisplayOrder, Order::Asc, NullOrdering::Last)
        .order_by(P::Slug, Order::Asc);
    read(&database.select(select).await?, "plans.slug", context, |row| {
        Ok(PlanOffer {
            plan: plan(row, context)?,
            name: row.text("plans.name")?,
            price: price(row, "plans.price_inr", context)?,
            billing_cycle: row.text("plans.billing_cycle")?,
            max_users: number(row, "plans.max_users")?,
            max_transactions_monthly: number(row, "plans.max_transactions_monthly")?,
        })
    })
}

/// A limit, as the ERP's columns have it.
fn number(row: &Row<'_>, column: &'static str) -> Result<Option<i32>, StoreError> {
    let number = row.get::<Option<i64>>(column)?;
    Ok(number.map(|number| i32::try_from(number).unwrap_or(i32::MAX)))
}

fn read<T>(
    rows: &[QueryResult],
    key: &'static str,
    context: &ReadContext,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    with_keys(rows, key, context)?.iter().map(read).collect()
}

/// Read as text: SQLite would convert a price to a float.
pub(super) fn text(column: impl ColumnTrait) -> sea_orm::sea_query::Expr {
    column.into_simple_expr().cast_as("text")
}

/// A price that is shown: an invalid amount, for example NaN, must not be shown as another one.
pub(super) fn shown_price(
    row: &Row<'_>,
    column: &'static str,
    _context: &ReadContext,
) -> Result<Option<Money>, StoreError> {
    let Some(text) = row.get::<Option<String>>(column)? else { return Ok(None) };
    Money::parse(&text)
        .map(Some)
        .ok_or_else(|| row.unreadable(column, "is no amount to the hundredth"))
}

/// A price that is only passed on. An invalid amount counts as no price, which is logged.
pub(super) fn price(
    row: &Row<'_>,
    column: &'static str,
    context: &ReadContext,
) -> Result<Option<Money>, StoreError> {
    let Some(text) = row.get::<Option<String>>(column)? else { return Ok(None) };
    let price = Money::parse(&text);
    if price.is_none() {
        context.warnings.warn(column, &text, "taken for no price");
    }
    Ok(price)
}
