//! `tenant set-status`, `enable`, `disable`, `change-plan` and `delete`.

use comfy_table::Cell;
use serde_json::json;

use super::{key, open_to_write};
use crate::{
    cli::DENIED,
    cli::output::{CommandResult, instant, price, print, print_json, table},
    clock::Clock,
    config::{
        ChangePlanArgs, DeleteArgs, DisableArgs, EnableArgs, MutationArgs, PreviewArgs,
        SetStatusArgs, UnusableSetting,
    },
    domain::{
        Actor, Author, Disabling, Enabling, Ends, ModuleCode, Money, Mutation, PlanChange, Summary,
    },
    escape::escape_control,
    store::{Deletion, Mutated, MutationError, summary_to_json},
};

pub(crate) async fn set_status(args: SetStatusArgs) -> CommandResult {
    let SetStatusArgs { tenant, status, mutation } = args;
    if status.needs_reason() && mutation.mutation.reason.is_none() {
        return Err(
            UnusableSetting::new("--reason", "is needed to suspend or cancel a tenant").into()
        );
    }
    run(&tenant, Mutation::SetStatus(status), mutation).await
}

pub(crate) async fn enable(args: EnableArgs) -> CommandResult {
    let EnableArgs {
        tenant,
        module,
        include_dependencies,
        billing_cycle,
        expires_at,
        trial_ends_at,
        mutation,
    } = args;
    let modules = codes(&module);
    let enabling =
        Enabling { modules, include_dependencies, billing_cycle, expires_at, trial_ends_at };
    run(&tenant, Mutation::Enable(enabling), mutation).await
}

pub(crate) async fn disable(args: DisableArgs) -> CommandResult {
    let DisableArgs { tenant, module, include_dependents, at_period_end, mutation } = args;
    let disabling =
        Disabling { modules: codes(&module), include_dependents, ends: ends(at_period_end) };
    run(&tenant, Mutation::Disable(disabling), mutation).await
}

pub(crate) async fn change_plan(args: ChangePlanArgs) -> CommandResult {
    let ChangePlanArgs { tenant, plan, billing_cycle, include_dependents, at_period_end, mutation } =
        args;
    let change = PlanChange { plan, billing_cycle, include_dependents, ends: ends(at_period_end) };
    run(&tenant, Mutation::ChangePlan(change), mutation).await
}

pub(crate) async fn delete(args: DeleteArgs) -> CommandResult {
    let DeleteArgs { tenant, name, force, keep_schema, mutation: args } = args;
    let (key, author) = (key(&tenant)?, author(&args));
    let store = open_to_write(&args).await?;
    let done = store.delete_tenant(&Deletion { key, name, force, keep_schema }, &author).await;
    store.close().await;
    match done {
        Ok(mutated) if args.json => print_json(&as_json(&mutated, false)),
        Ok(mutated) => {
            print(&format!("{} ({}) is deleted", escape_control(&tenant), mutated.tenant))
        }
        Err(error) => refusal(error),
    }
}

fn codes(codes: &[String]) -> Vec<ModuleCode> {
    codes.iter().map(|code| ModuleCode::new(code)).collect()
}

fn ends(at_period_end: bool) -> Ends {
    if at_period_end { Ends::PeriodEnd } else { Ends::Now }
}

async fn run(tenant: &str, mutation: Mutation, args: PreviewArgs) -> CommandResult {
    let PreviewArgs { preview, mutation: args } = args;
    let (key, author) = (key(tenant)?, author(&args));
    let store = open_to_write(&args).await?;
    let done = if preview {
        store.preview(&key, &mutation, author.at).await
    } else {
        store.mutate(&key, &mutation, &author).await
    };
    store.close().await;
    match done {
        Ok(mutated) if args.json => print_json(&as_json(&mutated, preview)),
        Ok(mutated) => print(&as_text(tenant, &mutated, preview)),
        Err(error) => refusal(error),
    }
}

/// The user at the keyboard, and the reason.
pub(crate) fn author(args: &MutationArgs) -> Author {
    let actor = Actor::OsUser(whoami::username().unwrap_or_else(|_| "unknown".into()));
    Author {
        actor,
        at: Clock::System.now(),
        why: args.reason.clone(),
        request_id: args.request_id.clone(),
    }
}

/// A refusal is an answer, with a line for each violation. Anything else is an error.
pub(crate) fn refusal(error: MutationError) -> CommandResult {
    match error {
        MutationError::Refused(violations) => {
            for violation in violations {
                eprintln!("refused: {}", escape_control(&violation.to_string()));
            }
            Ok(DENIED)
        }
        MutationError::Subdomain(refusal) => {
            eprintln!("refused: {refusal}");
            Ok(DENIED)
        }
        error => Err(error.into()),
    }
}

pub(crate) fn as_text(tenant: &str, mutated: &Mutated, preview: bool) -> String {
    let Mutated { before, after, revision, .. } = mutated;
    let mut table = table(&[&escape_control(tenant), "BEFORE", "AFTER"]);
    let plan =
        |summary: &Summary| escape_control(summary.plan.as_deref().unwrap_or("-")).into_owned();
    table.add_row(["status".into(), escape_control(&before.status), escape_control(&after.status)]);
    table.add_row(["plan".to_owned(), plan(before), plan(after)]);
    let costs = [costs_of(before), costs_of(after)];
    for (row, name) in ["plan's price", "beside it", "a month", "a year"].into_iter().enumerate() {
        let cells = costs.iter().map(|costs| price(costs[row]));
        table.add_row([Cell::new(name)].into_iter().chain(cells));
    }
    let mut lines = vec![table.trim_fmt()];
    lines.extend(differences(before, after).iter().map(|line| escape_control(line).into_owned()));
    lines.push(if preview {
        "a preview: nothing was changed".into()
    } else {
        format!("revision {revision}")
    });
    lines.join("\n")
}

/// What the catalogue says that a tenant costs: its plan, what it has beside it for a month, and all
/// of it for a month and for a year. What was recorded before plans' prices were has list prices alone.
pub(crate) fn costs_of(summary: &Summary) -> [Option<Money>; 4] {
    match &summary.cost {
        None => [None, None, Some(summary.price_monthly), Some(summary.price_yearly)],
        Some(cost) => [cost.plan, Some(cost.beside_monthly), cost.monthly, cost.yearly],
    }
}

/// What has changed for the modules, a line for each.
pub(crate) fn differences(before: &Summary, after: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    for (code, holding) in &after.modules {
        let end = match holding.ends_at {
            Some(end) if holding.is_trial => format!("a trial until {}", instant(end)),
            Some(end) => format!("until {}", instant(end)),
            None => "without an end".into(),
        };
        match before.modules.get(code) {
            None => lines.push(format!("+ {code}, {end}")),
            Some(other) if other != holding => lines.push(format!("~ {code}, {end}")),
            Some(_) => {}
        }
    }
    lines.extend(before.modules_beside(after).map(|code| format!("- {code}")));
    lines
}

/// JSON with the proto's names.
pub(crate) fn as_json(mutated: &Mutated, preview: bool) -> serde_json::Value {
    let Mutated { tenant, before, after, revision } = mutated;
    let codes = |one: &Summary, other: &Summary| -> Vec<String> {
        one.modules_beside(other).map(ToString::to_string).collect()
    };
    json!({
        "tenant_id": tenant.to_string(),
        "before": summary_to_json(before),
        "after": summary_to_json(after),
        "added_module_codes": codes(after, before),
        "removed_module_codes": codes(before, after),
        "revision": revision,
        "preview": preview,
    })
}
