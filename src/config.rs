//! The command line: one documented struct per concern. Every flag is also an environment variable,
//! `ENTITLEMENTD_<FLAG>`. Secrets never print.

mod admin;
mod catalogue;
mod database;
mod decision_log;
mod routes;
mod security;
mod serve;
mod tenant;
mod token;
mod trace;
mod value;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, builder::BoolishValueParser};
use thiserror::Error;

pub use self::{
    admin::AdminArgs,
    catalogue::{Codes, ListArgs, ModuleArgs, ModuleCommand, ModuleUpsertArgs, PlanArgs, PlanCommand, PlanUpsertArgs},
    database::{ChangesArgs, ChangesMode, DatabaseArgs, DatabaseUrl, PoolArgs, PoolerKind},
    decision_log::DecisionLogArgs,
    routes::{
        Enforce, ForwardAuthCodesKind, GatewayArgs, PathReadingKind, RoutesArgs, RoutesCheckArgs, RoutesCommand,
        RoutesCommandArgs, RoutesExplainArgs, RoutesShadowReportArgs, UnmatchedKind,
    },
    security::{ClientCertificatesKind, Insecure, SecurityArgs},
    serve::{CacheArgs, LimitArgs, ServeArgs, TenantArgs},
    tenant::{
        ChangePlanArgs, DeleteArgs, DisableArgs, EnableArgs, HistoryArgs, ListTenantsArgs, MutationArgs, OnboardArgs,
        PreviewArgs, ProvisionArgs, ReadArgs, SetStatusArgs, TenantAdminArgs, TenantCommand, VerifyArgs,
    },
    token::{NewTokenArgs, TokenArgs, TokenCommand},
    trace::TraceArgs,
    value::{IssuerTenant, JwksUrl, ListenAddress, Span},
};
use crate::telemetry::LogFormat;

/// May this tenant use this module now? Answers over gRPC, from the ERP's own schema, at memory speed.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer over gRPC.
    Serve(Box<ServeArgs>),
    /// Bring the database to the schema that this program reads. Existing tables are adopted as they are.
    Migrate(MigrateArgs),
    /// Ask the database directly whether a tenant may use a module, and why. Exit code 0: allowed, 1: denied, 2: trouble.
    Check(CheckArgs),
    /// Tenants: look at them and change them, in the database itself. Exit code 0: done, 1: refused, 2: trouble.
    Tenant(Box<TenantAdminArgs>),
    /// The modules that are sold.
    Module(ModuleArgs),
    /// The plans that are sold.
    Plan(PlanArgs),
    /// What HTTP requests need, for proxies that ask.
    Routes(RoutesCommandArgs),
    /// Tokens of administrators.
    Token(TokenArgs),
}

/// How it logs, to standard error.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// How log lines look.
    #[arg(long, global = true, env = "ENTITLEMENTD_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// error, warn, info, debug or trace; per module too: info,entitlementd=debug
    #[arg(long, global = true, env = "ENTITLEMENTD_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// What `migrate` takes.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Only list the steps, and the indexes that the database would profit from. Changes nothing.
    #[arg(long, env = "ENTITLEMENTD_STATUS", value_parser = BoolishValueParser::new())]
    pub status: bool,
    /// `off` leaves the log of changes and its triggers out. Any other word wants them.
    #[arg(long, env = "ENTITLEMENTD_CHANGES", value_enum, default_value_t)]
    pub changes: ChangesMode,
}

/// What `check` takes.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The tenant's UUID or subdomain.
    #[arg(long, env = "ENTITLEMENTD_TENANT")]
    pub tenant: String,
    /// The module's code.
    #[arg(long, env = "ENTITLEMENTD_MODULE")]
    pub module: String,
    /// The instant to judge, for example 2026-12-31T23:59:59Z. Empty: now.
    #[arg(long, env = "ENTITLEMENTD_AT", value_parser = value::instant)]
    pub at: Option<DateTime<Utc>>,
    /// Print JSON.
    #[arg(long, env = "ENTITLEMENTD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// A setting that cannot be used. Which one, what was found, and what was expected.
#[derive(Debug, Error)]
#[error("{setting} {problem}")]
pub struct UnusableSetting {
    /// The flag: `--jwks-file`.
    pub setting: &'static str,
    /// What was found and what was expected, without secrets.
    pub problem: String,
}

impl UnusableSetting {
    /// Says what is wrong with a setting.
    pub fn new(setting: &'static str, problem: impl ToString) -> Self {
        Self { setting, problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_an_environment_variable_of_the_same_name() {
        flags_are_variables(&Cli::command());
    }

    /// Of a command's own flags those that are global belong to all commands, and are seen there.
    fn flags_are_variables(command: &clap::Command) {
        for command in command.get_subcommands() {
            for flag in command.get_opts().filter(|flag| !["help", "version"].contains(&flag.get_id().as_str())) {
                let wanted = format!("ENTITLEMENTD_{}", flag.get_id().as_str().to_uppercase());
                assert_eq!(flag.get_env().and_then(|env| env.to_str()), Some(wanted.as_str()));
            }
            flags_are_variables(command);
        }
    }
}
