//! The command line: one documented struct per concern. A setting of a deployment is also an
//! environment variable, `ENTITLEMENTD_<FLAG>`; an argument that concerns a single call is not.
//! Secrets are never printed.

mod admin;
mod catalogue;
mod database;
mod database_url;
mod decision_log;
mod edge;
mod feature;
mod given;
mod instance;
mod lease;
mod listen;
mod redact;
mod routes;
mod security;
mod serve;
mod tenant;
mod token;
mod trace;
mod usage;
mod value;

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::{Args, Parser, Subcommand, value_parser};
use clap_complete::Shell;
use thiserror::Error;

pub(crate) use self::trace::TraceNotes;
pub use self::{
    admin::AdminArgs,
    catalogue::{
        ListArgs, ModuleArgs, ModuleCommand, ModuleUpsertArgs, PlanArgs, PlanCommand,
        PlanUpsertArgs,
    },
    database::{
        AdditionsArgs, ChangesArgs, ChangesMode, DatabaseArgs, PoolArgs, PoolerKind, VariantKind,
    },
    database_url::DatabaseUrl,
    decision_log::DecisionLogArgs,
    edge::{EdgeArgs, Hold, UpstreamArgs, UpstreamUrl},
    feature::{
        FeatureArgs, FeatureCommand, FeatureDefineArgs, FeatureListArgs, LimitCommand,
        LimitCommandArgs, LimitDefineArgs, LimitListArgs, LimitsShadowReportArgs, PlanFeatureArgs,
        PlanLimitArgs, PlanSwitch,
    },
    given::{Given, Source, command},
    instance::{CacheArgs, InstanceArgs, LimitArgs, TenantArgs},
    lease::{LeaseArgs, LeaseKeyArgs, LeaseKeyCommand, LeaseKeyFileArgs, NamedLeaseKeyArgs},
    listen::{ListenAddress, UnixAddress},
    redact::without_passwords,
    routes::{
        ApiEndpointsArgs, Enforce, ForwardAuthCodesKind, GatewayArgs, PathReadingKind, RoutesArgs,
        RoutesCheckArgs, RoutesCommand, RoutesCommandArgs, RoutesExplainArgs, RoutesImportArgs,
        RoutesShadowReportArgs, UnmatchedKind,
    },
    security::{ClientCertificatesKind, Insecure, SecurityArgs},
    serve::ServeArgs,
    tenant::{
        ChangePlanArgs, DeleteArgs, DeleteFlagArgs, DisableArgs, EnableArgs, EndLimitArgs,
        HistoryArgs, ListTenantsArgs, MutationArgs, OnboardArgs, PreviewArgs, ProvisionArgs,
        ReadArgs, SetFlagArgs, SetLimitArgs, SetStatusArgs, SetTimeZoneArgs, ShowTenantArgs,
        Switch, TenantAdminArgs, TenantCommand, VerifyArgs,
    },
    token::{NewTokenArgs, TokenArgs, TokenCommand},
    trace::TraceArgs,
    usage::{
        UsageArgs, UsageCommand, UsageExportArgs, UsageReconcileArgs, UsageShowArgs,
        UsageVerifyArgs,
    },
    value::{IssuerTenant, JsonValue, JwksUrl, LimitValue, NightlyLevel, Span, TenantZone},
};
use crate::observability::telemetry::LogFormat;

/// May this tenant use this module now? Answers over gRPC, from the ERP's own schema, at memory
/// speed.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
    /// The settings of the log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer over gRPC.
    Serve(Box<ServeArgs>),
    /// Answer over gRPC without a database, beside the services that ask: from facts that another
    /// instance sends.
    Edge(Box<EdgeArgs>),
    /// Migrate the database to the schema that this program reads. Existing tables are adopted as
    /// they are.
    Migrate(MigrateArgs),
    /// Ask the database directly whether a tenant may use a module, has a feature or is within a
    /// limit, and why. Exit code 0: allowed, 1: denied, 2: error.
    Check(CheckArgs),
    /// Show and change tenants, directly in the database. Exit code 0: done, 1: refused, 2: error.
    Tenant(Box<TenantAdminArgs>),
    /// The modules that are sold.
    Module(ModuleArgs),
    /// The plans that are sold.
    Plan(Box<PlanArgs>),
    /// The features that modules have.
    Feature(Box<FeatureArgs>),
    /// The limits that plans have.
    #[command(visible_alias = "limits")]
    Limit(LimitCommandArgs),
    /// What tenants use of their limits. Exit code 0: done, 1: something is wrong, 2: error.
    Usage(UsageArgs),
    /// The rules for HTTP requests that proxies ask about.
    Routes(RoutesCommandArgs),
    /// Administrators' tokens.
    Token(TokenArgs),
    /// The keys that sign leases, for places without a connection.
    LeaseKey(LeaseKeyArgs),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Write a manual page for each command.
    Man(ManArgs),
}

/// The log, which goes to standard error.
#[derive(Args, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// The format of log lines on standard error.
    #[arg(long, global = true, env = "ENTITLEMENTD_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// error, warn, info, debug or trace; per module too: info,entitlementd=debug shows denials
    #[arg(long, global = true, env = "ENTITLEMENTD_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// The arguments of `migrate`.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Only list the steps, what they would put into the database, and the indexes that it would
    /// profit from. Changes nothing.
    #[arg(long)]
    pub status: bool,
    /// `off` omits the log of changes and its triggers. All other values include them.
    #[arg(long, env = "ENTITLEMENTD_CHANGES", value_enum, default_value_t)]
    pub changes: ChangesMode,
    /// What a database gets that lacks it.
    #[command(flatten)]
    pub additions: AdditionsArgs,
    /// The words in modules.api_endpoints.
    #[command(flatten)]
    pub words: ApiEndpointsArgs,
}

/// The arguments of `completions`.
#[derive(Args, Clone, Copy, Debug)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}

/// The arguments of `man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// The folder to write to, which must exist: /usr/local/share/man/man1 for all users of a
    /// machine.
    pub folder: PathBuf,
}

/// The arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The tenant's UUID or subdomain.
    #[arg(long)]
    pub tenant: String,
    /// The module's code.
    #[arg(long, required_unless_present = "limit", conflicts_with = "limit")]
    pub module: Option<String>,
    /// The key of a feature of the module: is it on, and why?
    #[arg(long, value_name = "KEY", requires = "module", conflicts_with = "limit")]
    pub feature: Option<String>,
    /// The key of a limit, such as users: what is it, and why? Judged as if limits were enforced.
    #[arg(long, value_name = "KEY")]
    pub limit: Option<String>,
    /// How much there is of what the limit counts, 0 or more [default: 0]
    #[arg(long, value_name = "NUMBER", conflicts_with = "module", value_parser = value_parser!(i64).range(0..))]
    pub observed: Option<i64>,
    /// How much more is wanted, 0 or more [default: 0]
    #[arg(long, value_name = "NUMBER", conflicts_with = "module", value_parser = value_parser!(i64).range(0..))]
    pub amount: Option<i64>,
    /// The instant to judge, for example 2026-12-31T23:59:59Z. Empty: now.
    #[arg(long, value_parser = value::instant)]
    pub at: Option<DateTime<Utc>>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What everything takes that names months.
#[derive(Args, Clone, Copy, Debug)]
pub struct TimeZoneArgs {
    /// The time zone of the servers, as for `serve`: that of tenants that have none of their own.
    #[arg(
        long,
        env = "ENTITLEMENTD_TIME_ZONE",
        value_name = "ZONE",
        default_value = "UTC",
        value_parser = value::time_zone
    )]
    pub time_zone: Tz,
}

/// A setting that cannot be used: which one, what was found, and what was expected.
#[derive(Debug, Error)]
#[error("{setting} {problem}")]
pub struct UnusableSetting {
    /// The flag: `--jwks-file`.
    pub setting: &'static str,
    /// What was found and what was expected, without secrets.
    pub problem: String,
}

impl UnusableSetting {
    /// Describes a setting that cannot be used.
    pub fn new(setting: &'static str, problem: impl ToString) -> Self {
        Self { setting, problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests;
