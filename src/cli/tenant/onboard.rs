//! `tenant onboard`.

use serde_json::Value;

use super::{
    mutate::{self, author, refusal},
    open_to_write,
};
use crate::{
    cli::output::{CommandResult, print, print_json},
    config::{OnboardArgs, UnusableSetting},
    domain::{ModuleCode, Subdomain, SubdomainRefusal, subdomain::RESERVED_SUBDOMAINS},
    escape::escape_control,
    store::{MutationError, NewTenant, Provisioned},
};

/// Printed on SQLite, which has no schemas.
pub(crate) const NO_SCHEMA: &str = "no schema was made: SQLite has none";

pub(crate) async fn run(args: OnboardArgs) -> CommandResult {
    let OnboardArgs {
        subdomain: label,
        name,
        plan,
        module,
        billing_cycle,
        trial_days,
        settings,
        reserved_label,
        mutation: args,
    } = args;
    let subdomain = Subdomain::parse(&label)
        .map_err(|error| UnusableSetting::new("SUBDOMAIN", format!("is {label:?}. {error}")))?;
    if RESERVED_SUBDOMAINS.contains(&label.as_str()) || reserved_label.contains(&label) {
        return refusal(MutationError::Subdomain(SubdomainRefusal::Reserved));
    }
    let settings: Value = serde_json::from_str(&settings)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| UnusableSetting::new("--settings", "is no JSON object"))?;
    let author = author(&args);
    let modules = module.iter().map(|code| ModuleCode::new(code)).collect();
    let billing_cycle = Some(billing_cycle);
    let new_tenant =
        NewTenant { name, subdomain, plan, modules, billing_cycle, trial_days, settings };

    let store = open_to_write(&args).await?;
    let done = store.onboard_and_provision(&new_tenant, &author).await;
    store.close().await;
    match done {
        Ok(Provisioned { mutated, schema, files }) if args.json => {
            let mut json = mutate::as_json(&mutated, false);
            json["database_schema"] = schema.into();
            json["applied_files"] = files.into();
            print_json(&json)
        }
        Ok(Provisioned { mutated, schema, files }) => {
            let mut lines = vec![schema.map_or(NO_SCHEMA.to_owned(), |schema| {
                format!("schema {}", escape_control(&schema))
            })];
            lines.extend(files.iter().map(|file| format!("applied {}", escape_control(file))));
            lines.push(mutate::as_text(&label, &mutated, false));
            print(&lines.join("\n"))
        }
        Err(error) => refusal(error),
    }
}
