//! Step 2: puts the ten modules in place where there are none, and with them the four plans that
//! name them.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend, JsonValue},
};

use crate::{
    catalog::Existing,
    required::{self, MissingColumn},
    tables,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration {
    /// False: nothing is put in place.
    pub(crate) is_wanted: bool,
}

/// A module's row. Prices are whole rupees.
struct Module(
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    [i64; 2],
    Option<&'static str>,
    &'static [i32],
);

#[rustfmt::skip]
const MODULES: [Module; 10] = [
    Module("oms_fulfillment", "OMS, WMS & Fulfillment", "core", "📦", "blue", [12_999, 139_990], None, &[3, 8, 9, 10]),
    Module("procurement", "Procurement (P2P)", "operations", "🛒", "blue", [6_999, 75_990], None, &[7]),
    Module("finance", "Finance & Accounting", "finance", "💰", "green", [9_999, 107_990], None, &[12, 13, 14]),
    Module("crm_service", "CRM & Service Management", "people", "👥", "orange", [6_999, 75_990], None, &[16, 15]),
    Module("sales_distribution", "Multi-Channel Sales & Distribution", "commerce", "🌐", "purple", [7_999, 86_390], OMS, &[4, 5, 6]),
    Module("hrms", "HRMS", "people", "👔", "teal", [4_999, 53_990], None, &[18]),
    Module("d2c_storefront", "D2C E-Commerce Storefront", "commerce", "🛍️", "purple", [3_999, 43_190], OMS, &[19, 20]),
    Module("scm_ai", "Supply Chain & AI Insights", "advanced", "🤖", "darkblue", [8_999, 97_190], OMS, &[2, 11]),
    Module("marketing", "Marketing & Promotions", "marketing", "📢", "pink", [3_999, 43_190], None, &[17]),
    Module(BASE_MODULE, "System Administration", "core", "⚙️", "gray", [2_999, 32_390], None, &[1, 21, 22]),
];

const OMS: Option<&str> = Some("oms_fulfillment");
const BASE_MODULE: &str = "system_admin";

/// A plan's row, and the modules that it adds to those of the plan before it.
struct Plan {
    name: &'static str,
    slug: &'static str,
    prices: [i64; 2],
    discount_percent: i32,
    adds: &'static [&'static str],
    max_users: Option<i32>,
    max_transactions: Option<i32>,
    is_popular: bool,
}

#[rustfmt::skip]
const PLANS: [Plan; 4] = [
    Plan { name: "Starter", slug: "starter", prices: [19_999, 19_999], discount_percent: 0,
        adds: &[BASE_MODULE, "oms_fulfillment", "d2c_storefront"],
        max_users: Some(5), max_transactions: Some(1_000), is_popular: false },
    Plan { name: "Growth", slug: "growth", prices: [39_999, 46_995], discount_percent: 15,
        adds: &["procurement", "finance", "crm_service"],
        max_users: Some(20), max_transactions: Some(5_000), is_popular: true },
    Plan { name: "Professional", slug: "professional", prices: [59_999, 66_994], discount_percent: 10,
        adds: &["sales_distribution", "scm_ai", "marketing"],
        max_users: Some(50), max_transactions: Some(20_000), is_popular: false },
    Plan { name: "Enterprise", slug: "enterprise", prices: [79_999, 67_989], discount_percent: 0,
        adds: &["hrms"],
        max_users: None, max_transactions: None, is_popular: false },
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        if !self.is_wanted || !is_empty(db, "modules").await? {
            return Ok(());
        }
        refuse_without(manager, "modules", &MODULE_COLUMNS).await?;
        db.execute(&insert_modules(db.get_database_backend())?).await?;
        // They name our modules: among modules of somebody else's they would be for sale, and open
        // nothing.
        if is_empty(db, "plans").await? {
            refuse_without(manager, "plans", &PLAN_COLUMNS).await?;
            db.execute(&insert_plans(db.get_database_backend())?).await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}

/// How many modules and plans the step would put in place.
pub(crate) async fn planned(manager: &SchemaManager<'_>) -> Result<(usize, usize), DbErr> {
    let existing = Existing::read(manager).await?;
    let mut rows = [0, 0];
    for (rows, (table, planned)) in
        rows.iter_mut().zip([("modules", MODULES.len()), ("plans", PLANS.len())])
    {
        if !existing.has_table(table) || is_empty(manager.get_connection(), table).await? {
            *rows = planned;
        } else if table == "modules" {
            break;
        }
    }
    Ok(rows.into())
}

async fn is_empty<C: ConnectionTrait>(db: &C, table: &'static str) -> Result<bool, DbErr> {
    let first = Query::select().expr(Expr::val(1)).from(table).limit(1).to_owned();
    Ok(db.query_one(&first).await?.is_none())
}

const MODULE_COLUMNS: [&str; 15] = [
    "id",
    "created_at",
    "updated_at",
    "code",
    "name",
    "category",
    "icon",
    "color",
    "display_order",
    "price_monthly",
    "price_yearly",
    "is_base_module",
    "dependencies",
    "sections",
    "is_active",
];

fn insert_modules(backend: DbBackend) -> Result<InsertStatement, DbErr> {
    let mut insert = Query::insert().into_table("modules").columns(MODULE_COLUMNS).to_owned();
    for (
        order,
        Module(code, name, category, icon, color, [monthly, yearly], dependency, sections),
    ) in (1..).zip(MODULES)
    {
        insert
            .values([
                // An adopted table need not have defaults for these columns.
                tables::new_id(backend),
                tables::now(backend),
                tables::now(backend),
                code.into(),
                name.into(),
                category.into(),
                icon.into(),
                color.into(),
                Expr::val::<i32>(order),
                monthly.into(),
                yearly.into(),
                (code == BASE_MODULE).into(),
                json(dependency.as_slice()),
                json(sections),
                true.into(),
            ])
            .map_err(|error| DbErr::Custom(error.to_string()))?;
    }
    Ok(insert)
}

const PLAN_COLUMNS: [&str; 16] = [
    "id",
    "created_at",
    "updated_at",
    "name",
    "slug",
    "type",
    "billing_cycle",
    "price_inr",
    "original_price_inr",
    "discount_percent",
    "included_modules",
    "max_users",
    "max_transactions_monthly",
    "is_active",
    "is_popular",
    "display_order",
];

fn insert_plans(backend: DbBackend) -> Result<InsertStatement, DbErr> {
    let mut insert = Query::insert().into_table("plans").columns(PLAN_COLUMNS).to_owned();
    let mut included = Vec::new();
    for (order, plan) in (1..).zip(PLANS) {
        included.extend_from_slice(plan.adds);
        let [price, original] = plan.prices;
        insert
            .values([
                tables::new_id(backend),
                tables::now(backend),
                tables::now(backend),
                plan.name.into(),
                plan.slug.into(),
                "bundle".into(),
                "monthly".into(),
                price.into(),
                original.into(),
                plan.discount_percent.into(),
                json(&included),
                plan.max_users.into(),
                plan.max_transactions.into(),
                true.into(),
                plan.is_popular.into(),
                Expr::val::<i32>(order),
            ])
            .map_err(|error| DbErr::Custom(error.to_string()))?;
    }
    Ok(insert)
}

/// An adopted table may be empty and lack a column that only administration needs: then the
/// catalogue cannot be inserted.
async fn refuse_without(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &'static [&'static str],
) -> Result<(), DbErr> {
    let missing = Existing::read(manager).await?.without(table, columns);
    let missing: Vec<MissingColumn> =
        missing.into_iter().map(|column| MissingColumn { table, column }).collect();
    required::refuse(&format!("the table {table} is empty and cannot be filled"), &missing)
}

fn json<T: Clone + Into<JsonValue>>(items: &[T]) -> SimpleExpr {
    JsonValue::from(items.iter().cloned().map(Into::into).collect::<Vec<JsonValue>>()).into()
}
