//! `entitlementd module` and `entitlementd plan`: the catalogue, from the database itself.

use comfy_table::{Cell, CellAlignment, Table};
use serde_json::Value;

use super::{
    feature, limit,
    output::{CommandResult, price, print, print_json, table},
    tenant,
};
use crate::{
    config::{
        ListArgs, ModuleArgs, ModuleCommand, ModuleUpsertArgs, PlanArgs, PlanCommand,
        PlanUpsertArgs,
    },
    domain::{ModuleCode, ModuleOffer, ModuleUpsert, PlanOffer, PlanUpsert},
    escape::escape_control,
    server::database,
    store::{module_to_json, plan_to_json},
};

pub(crate) async fn modules(args: ModuleArgs) -> CommandResult {
    match args.command {
        ModuleCommand::List(args) => list_modules(args).await,
        ModuleCommand::Upsert(args) => upsert_module(*args).await,
    }
}

pub(crate) async fn plans(args: PlanArgs) -> CommandResult {
    match args.command {
        PlanCommand::List(args) => list_plans(args).await,
        PlanCommand::Upsert(args) => upsert_plan(*args).await,
        PlanCommand::SetFeature(args) => feature::set_in_plan(args).await,
        PlanCommand::SetLimit(args) => limit::set_in_plan(args).await,
    }
}

async fn upsert_module(args: ModuleUpsertArgs) -> CommandResult {
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
        Ok(offer) => {
            show(args.json, &module_table(std::slice::from_ref(&offer)), &module_to_json(&offer))
        }
        Err(error) => tenant::refusal(error),
    }
}

async fn upsert_plan(args: PlanUpsertArgs) -> CommandResult {
    let PlanUpsertArgs {
        slug,
        name,
        on_sale,
        price,
        billing_cycle,
        modules,
        max_users,
        max_transactions_monthly,
        existing_tenants,
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
        existing_tenants,
    };
    let store = tenant::open_to_write(&args).await?;
    let done = store.upsert_plan(&upsert, &tenant::author(&args)).await;
    store.close().await;
    match done {
        Ok(offer) => {
            show(args.json, &plan_table(std::slice::from_ref(&offer)), &plan_to_json(&offer))
        }
        Err(error) => tenant::refusal(error),
    }
}

async fn list_modules(args: ListArgs) -> CommandResult {
    let store = database::open_to_read(&args.database).await?;
    let read = store.module_offers(args.on_sale_only).await;
    store.close().await;
    let modules = read?;
    show(args.json, &module_table(&modules), &modules.iter().map(module_to_json).collect())
}

async fn list_plans(args: ListArgs) -> CommandResult {
    let store = database::open_to_read(&args.database).await?;
    let read = store.plan_offers(args.on_sale_only).await;
    store.close().await;
    let plans = read?;
    show(args.json, &plan_table(&plans), &plans.iter().map(plan_to_json).collect())
}

fn show(as_json: bool, table: &Table, json: &Value) -> CommandResult {
    if as_json { print_json(json) } else { print(&table.trim_fmt()) }
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
            Cell::new(escape_control(module.code.as_str())),
            Cell::new(escape_control(&module.name)),
            price(*price_monthly),
            price(*price_yearly),
            Cell::new(escape_control(&codes(dependencies).join(", "))),
            Cell::new(note),
        ]);
    }
    table
}

fn plan_table(plans: &[PlanOffer]) -> Table {
    let mut table = table(&["SLUG", "NAME", "PRICE", "CYCLE", "USERS", "MODULES", "NOTE"]);
    for PlanOffer { plan, name, price: amount, billing_cycle, max_users, .. } in plans {
        table.add_row([
            Cell::new(escape_control(&plan.slug)),
            Cell::new(escape_control(name)),
            price(*amount),
            Cell::new(escape_control(billing_cycle)),
            Cell::new(max_users.map_or("any".to_owned(), |users| users.to_string()))
                .set_alignment(CellAlignment::Right),
            Cell::new(plan.modules.len()).set_alignment(CellAlignment::Right),
            Cell::new(if plan.is_active { "" } else { "no longer sold" }),
        ]);
    }
    table
}

fn codes(codes: &[ModuleCode]) -> Vec<String> {
    codes.iter().map(ModuleCode::to_string).collect()
}
