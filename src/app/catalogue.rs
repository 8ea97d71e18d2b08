//! `entitlementd module` and `entitlementd plan`: the catalogue, from the database itself.

use std::{
    error::Error,
    io::{self, Write},
};

use comfy_table::{Cell, CellAlignment, Table, presets::NOTHING};
use serde_json::{Value, json};

use super::{
    GOOD,
    shown::shown,
    wiring::{self, Opening},
};
use crate::{
    config::{CatalogueArgs, CatalogueCommand, ListArgs, UnusableSetting},
    domain::{ModuleCode, ModuleOffer, Money, PlanOffer},
    store::{ChangeLog, Store},
};

pub(super) async fn modules(CatalogueArgs { command: CatalogueCommand::List(args) }: CatalogueArgs) -> Outcome {
    let store = open(&args).await?;
    let read = store.module_offers(args.on_sale_only).await;
    store.close().await;
    let modules = read?;
    print(&args, module_table(&modules), modules.iter().map(module_json).collect())
}

pub(super) async fn plans(CatalogueArgs { command: CatalogueCommand::List(args) }: CatalogueArgs) -> Outcome {
    let store = open(&args).await?;
    let read = store.plan_offers(args.on_sale_only).await;
    store.close().await;
    let plans = read?;
    print(&args, plan_table(&plans), plans.iter().map(plan_json).collect())
}

/// The exit code, or what went wrong.
type Outcome = Result<u8, Box<dyn Error>>;

/// What is not asked for need not be there.
async fn open(args: &ListArgs) -> Result<Store, UnusableSetting> {
    let opening = Opening { log: ChangeLog::LeftOut, create: false, ..wiring::PATIENT };
    wiring::open_store(&args.database, &opening).await
}

fn print(args: &ListArgs, table: Table, json: Vec<Value>) -> Outcome {
    let text = if args.json { format!("{:#}", Value::from(json)) } else { table.trim_fmt() };
    writeln!(io::stdout(), "{text}")?;
    Ok(GOOD)
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header);
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table
}

fn module_table(modules: &[ModuleOffer]) -> Table {
    let mut table = table(&["CODE", "NAME", "MONTHLY", "YEARLY", "NEEDS", "NOTE"]);
    for ModuleOffer { module, dependencies, price_monthly, price_yearly, .. } in modules {
        let note = match (module.is_base_module, module.is_active) {
            (true, true) => "base",
            (true, false) => "base, no longer sold",
            (false, true) => "",
            (false, false) => "no longer sold",
        };
        table.add_row([
            Cell::new(shown(module.code.as_str())),
            Cell::new(shown(&module.name)),
            price(*price_monthly),
            price(*price_yearly),
            Cell::new(shown(&codes(dependencies).join(", "))),
            Cell::new(note),
        ]);
    }
    table
}

fn plan_table(plans: &[PlanOffer]) -> Table {
    let mut table = table(&["SLUG", "NAME", "PRICE", "CYCLE", "USERS", "MODULES", "NOTE"]);
    for PlanOffer { plan, name, price: amount, billing_cycle, max_users, .. } in plans {
        table.add_row([
            Cell::new(shown(&plan.slug)),
            Cell::new(shown(name)),
            price(*amount),
            Cell::new(shown(billing_cycle)),
            Cell::new(max_users.map_or("any".to_owned(), |users| users.to_string()))
                .set_alignment(CellAlignment::Right),
            Cell::new(plan.modules.len()).set_alignment(CellAlignment::Right),
            Cell::new(if plan.is_active { "" } else { "no longer sold" }),
        ]);
    }
    table
}

pub(super) fn price(amount: Option<Money>) -> Cell {
    Cell::new(amount.map_or("-".to_owned(), |amount| amount.to_string())).set_alignment(CellAlignment::Right)
}

/// JSON in the names of the proto; what is absent is null. Amounts are text, so that no reader makes floats of them.
fn module_json(offer: &ModuleOffer) -> Value {
    let ModuleOffer { module, description, dependencies, price_monthly, price_yearly } = offer;
    json!({
        "code": module.code.to_string(),
        "name": module.name,
        "description": description,
        "category": module.category,
        "display_order": module.display_order,
        "is_base_module": module.is_base_module,
        "on_sale": module.is_active,
        "dependencies": codes(dependencies),
        "price_monthly": price_monthly.map(|amount| amount.to_string()),
        "price_yearly": price_yearly.map(|amount| amount.to_string()),
        "sections": module.sections,
        "frontend_routes": module.frontend_routes,
    })
}

fn plan_json(offer: &PlanOffer) -> Value {
    let PlanOffer { plan, name, price, billing_cycle, max_users, max_transactions_monthly } = offer;
    json!({
        "slug": plan.slug,
        "name": name,
        "on_sale": plan.is_active,
        "price": price.map(|amount| amount.to_string()),
        "billing_cycle": billing_cycle,
        "module_codes": plan.codes(),
        "max_users": max_users,
        "max_transactions_monthly": max_transactions_monthly,
    })
}

fn codes(codes: &[ModuleCode]) -> Vec<String> {
    codes.iter().map(ModuleCode::to_string).collect()
}
