//! `entitlementd limit`.

mod shadow_report;

use comfy_table::Table;

use super::{
    feature::{change, keeping},
    output::{CommandResult, limit, print, print_json, table},
};
use crate::{
    clock::Clock,
    config::{LimitCommand, LimitCommandArgs, LimitDefineArgs, LimitListArgs, PlanLimitArgs},
    domain::{CatalogueEdit, LimitEntry, LimitUpsert, PlanLimitEdit},
    escape::escape_control,
    server::database,
    store::{FeatureChange, limit_to_json},
};

pub(crate) async fn run(args: LimitCommandArgs) -> CommandResult {
    match args.command {
        LimitCommand::List(args) => list(args).await,
        LimitCommand::Define(args) => define(args).await,
        LimitCommand::ShadowReport(args) => shadow_report::run(&args),
    }
}

async fn list(args: LimitListArgs) -> CommandResult {
    let store = database::open_to_read(&args.database).await?;
    let read = store.limit_entries(Clock::System.now()).await;
    store.close().await;
    let entries = read?;
    if args.json {
        return print_json(&entries.iter().map(limit_to_json).collect());
    }
    print(&limit_table(&entries).trim_fmt())
}

async fn define(args: LimitDefineArgs) -> CommandResult {
    let LimitDefineArgs { key, name, unit, kind, mutation } = args;
    let upsert = LimitUpsert { key, title: name, unit, kind };
    change(FeatureChange::Catalogue(CatalogueEdit::Limit(upsert)), mutation).await
}

pub(crate) async fn set_in_plan(args: PlanLimitArgs) -> CommandResult {
    let PlanLimitArgs { plan, key, limit, existing_tenants, mutation } = args;
    let edit = PlanLimitEdit { plan, key, limit: limit.0, tenants: existing_tenants };
    change(FeatureChange::Catalogue(CatalogueEdit::PlanLimit(edit)), mutation).await
}

pub(super) fn limit_table(entries: &[LimitEntry]) -> Table {
    let mut table = table(&["LIMIT", "COUNTS", "PLANS", "NAME"]);
    for LimitEntry { defined, plans, keeping: tenants } in entries {
        let plans = plans.iter().map(|(slug, allows)| format!("{slug}: {}", limit(*allows)));
        let plans: Vec<String> = plans.chain(keeping(tenants)).collect();
        let cells = [
            defined.key.to_string(),
            defined.kind.word().to_owned(),
            plans.join("; "),
            defined.name.clone(),
        ];
        table.add_row(cells.map(|cell| escape_control(&cell).into_owned()));
    }
    table
}
