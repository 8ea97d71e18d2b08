//! Tests of the parent module.

use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

/// Arguments of a single call. None of them comes from the environment: a variable that was left
/// over, or meant something else, would answer a safety question, or make a change do nothing.
const OF_ONE_CALL: &[&str] = &[
    "after",
    "all",
    "amount",
    "at",
    "at_period_end",
    "base",
    "billing_cycle",
    "category",
    "concurrency",
    "default_on",
    "default_value",
    "dependencies",
    "description",
    "display_order",
    "ends_at",
    "existing_tenants",
    "expires_at",
    "feature",
    "force",
    "from",
    "include_dependencies",
    "include_dependents",
    "json",
    "keep_schema",
    "kind",
    "limit",
    "max_transactions_monthly",
    "max_users",
    "meter",
    "module",
    "modules",
    "name",
    "new_code",
    "observed",
    "on_sale",
    "on_sale_only",
    "openapi",
    "output",
    "plan",
    "preview",
    "price",
    "price_monthly",
    "price_yearly",
    "print_sql",
    "propose",
    "reason",
    "request_id",
    "role",
    "settings",
    "sql",
    "status",
    "tenant",
    "to",
    "trial_days",
    "trial_ends_at",
    "unit",
    "value",
    "value_type",
];

/// Settings of a deployment, in commands that do one thing. Those of `serve` are all settings.
const OF_A_DEPLOYMENT: &[&str] = &[
    "admin_tokens_file",
    "api_endpoints_prefix",
    "changes",
    "database_ca_file",
    "database_pooler",
    "database_url",
    "database_url_file",
    "decision_log",
    "lease_key_file",
    "lock_patience",
    "no_catalogue",
    "path_reading",
    "public",
    "reserved_label",
    "routes",
    "tenant_template",
    "time_zone",
    "variant",
];

#[test]
fn settings_of_a_deployment_are_variables_too_and_what_one_call_means_is_not() {
    let mut seen = std::collections::BTreeSet::new();
    for command in Cli::command().get_subcommands() {
        look_at(command, ["serve", "edge"].contains(&command.get_name()), &mut seen);
    }
    let listed = OF_ONE_CALL.iter().chain(OF_A_DEPLOYMENT).map(|flag| (*flag).to_owned()).collect();
    assert_eq!(seen, listed, "no list names what is gone");
}

/// Global flags belong to all commands, and are checked at the root.
fn look_at(command: &clap::Command, serves: bool, seen: &mut std::collections::BTreeSet<String>) {
    for flag in
        command.get_opts().filter(|flag| !["help", "version"].contains(&flag.get_id().as_str()))
    {
        let id = flag.get_id().as_str();
        let variable = format!("ENTITLEMENTD_{}", id.to_uppercase());
        let is_setting = if serves { id != "print_config" } else { OF_A_DEPLOYMENT.contains(&id) };
        assert_ne!(
            is_setting,
            if serves { id == "print_config" } else { OF_ONE_CALL.contains(&id) },
            "--{id} of {} is one or the other",
            command.get_name()
        );
        let wanted = is_setting.then_some(variable.as_str());
        assert_eq!(
            flag.get_env().and_then(|env| env.to_str()),
            wanted,
            "--{id} of {}",
            command.get_name()
        );
        if !serves {
            seen.insert(id.to_owned());
        }
    }
    for command in command.get_subcommands() {
        look_at(command, serves, seen);
    }
}
