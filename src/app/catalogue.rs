//! `entitlementd module` and `entitlementd plan`: the catalogue, from the database itself.

use std::{
    error::Error,
    io::{self, Write},
};

use comfy_table::{Cell, CellAlignment, Table, presets::NOTHING};
use serde_json::Value;

use super::{GOOD, tenant, wiring};
use crate::{
    config::{ListArgs, ModuleArgs, ModuleCommand, ModuleUpsertArgs, PlanArgs, PlanCommand, PlanUpsertArgs},
    domain::{ModuleCode, ModuleOffer, ModuleUpsert, Money, PlanOffer, PlanUpsert},
    shown::{shown, shown_json},
    store::{module_to_json, plan_to_json},
};

pub(super) async fn modules(args: ModuleArgs) -> Outcome {
    match args.command {
        ModuleCommand::List(args) => list_modules(args).await,
        ModuleCommand::Upsert(args) => upsert_module(*args).await,
    }
}

pub(super) async fn plans(args: PlanArgs) -> Outcome {
    match args.command {
        PlanCommand::List(args) => list_plans(args).await,
        PlanCommand::Upsert(args) => upsert_plan(*args).await,
    }
}

async fn upsert_module(args: ModuleUpsertArgs) -> Outcome {
    let ModuleUpsertArgs {
        code,
        new_code,
        name,
        description,
        category,
        display_order,
        base,
        on_sale,
        dependencies,
        price_monthly,
        price_yearly,
        mutation: args,
    } = args;
    let upsert = ModuleUpsert {
        code,
        new_code: new_code.as_deref().map(ModuleCode::new),
        name,
        description,
        category,
        display_order,
        is_base_module: base,
        on_sale,
        dependencies: dependencies.map(|codes| codes.0),
        price_monthly,
        price_yearly,
        ..ModuleUpsert::default()
    };
    let store = tenant::open_to_write(&args).await?;
    let done = store.upsert_module(&upsert, &tenant::author(&args)).await;
    store.close().await;
    match done {
        Ok(offer) => print(args.json, module_table(std::slice::from_ref(&offer)), module_to_json(&offer)),
        Err(error) => tenant::refusal(error),
    }
}

async fn upsert_plan(args: PlanUpsertArgs) -> Outcome {
    let PlanUpsertArgs {
        slug,
        name,
        on_sale,
        price,
        billing_cycle,
        modules,
        max_users,
        max_transactions_monthly,
        mutation: args,
    } = args;
    let upsert = PlanUpsert {
        slug,
        name,
        on_sale,
        price,
        billing_cycle,
        modules: modules.map(|codes| codes.0),
        max_users,
        max_transactions_monthly,
    };
    let store = tenant::open_to_write(&args).await?;
    let done = store.upsert_plan(&upsert, &tenant::author(&args)).await;
    store.close().await;
    match done {
        Ok(offer) => print(args.json, plan_table(std::slice::from_ref(&offer)), plan_to_json(&offer)),
        Err(error) => tenant::refusal(error),
    }
}

async fn list_modules(args: ListArgs) -> Outcome {
    let store = wiring::open_to_read(&args.database).await?;
    let read = store.module_offers(args.on_sale_only).await;
    store.close().await;
    let modules = read?;
    print(args.json, module_table(&modules), modules.iter().map(module_to_json).collect())
}

async fn list_plans(args: ListArgs) -> Outcome {
    let store = wiring::open_to_read(&args.database).await?;
    let read = store.plan_offers(args.on_sale_only).await;
    store.close().await;
    let plans = read?;
    print(args.json, plan_table(&plans), plans.iter().map(plan_to_json).collect())
}

/// The exit code, or what went wrong.
type Outcome = Result<u8, Box<dyn Error>>;

fn print(as_json: bool, table: Table, json: Value) -> Outcome {
    let text = if as_json { shown_json(&format!("{json:#}")).into_owned() } else { table.trim_fmt() };
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

fn codes(codes: &[ModuleCode]) -> Vec<String> {
    codes.iter().map(ModuleCode::to_string).collect()
}
