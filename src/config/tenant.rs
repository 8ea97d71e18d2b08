//! What `tenant` takes.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};

use super::{ChangesMode, DatabaseArgs, value};
use crate::domain::{
    BillingCycle, ChangeReason, RequestId, SettableStatus, TenantName, TenantStatus,
};

/// What `tenant` takes.
#[derive(Args, Debug)]
pub struct TenantAdminArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TenantCommand,
}

/// What can be done with a tenant.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Bring a tenant in: its row, its subscriptions, and its schema.
    Onboard(OnboardArgs),
    /// Make the schemas of tenants that wait for them, and apply new files of the template to those
    /// that are there.
    Provision(ProvisionArgs),
    /// Compare the schemas of tenants with the template. Exit code 1: they differ.
    Verify(VerifyArgs),
    /// List tenants.
    List(ListTenantsArgs),
    /// Show a tenant, and which modules it may use now.
    Show(ReadArgs),
    /// Give a tenant another status. Suspended and cancelled need a --reason.
    SetStatus(SetStatusArgs),
    /// Enable modules.
    Enable(EnableArgs),
    /// Disable modules.
    Disable(DisableArgs),
    /// Give a tenant another plan: its modules come, those of the plan before go.
    ChangePlan(ChangePlanArgs),
    /// Delete a cancelled tenant for good, its schema and everything in it.
    Delete(DeleteArgs),
    /// Show what was done to a tenant, by whom and why.
    History(HistoryArgs),
}

/// What everything that looks at a tenant takes.
#[derive(Args, Debug)]
pub struct ReadArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What everything that changes a tenant takes.
#[derive(Args, Debug)]
pub struct MutationArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// `off` where the database has no log of changes. Any other word expects it.
    #[arg(long, env = "ENTITLEMENTD_CHANGES", value_enum, default_value_t)]
    pub changes: ChangesMode,
    /// What tenants' schemas hold: DIR/_base/*.sql, and DIR/MODULE/*.sql for those that have the
    /// module.
    #[arg(long, env = "ENTITLEMENTD_TENANT_TEMPLATE", value_name = "DIR")]
    pub tenant_template: Option<PathBuf>,
    /// Why, for the record.
    #[arg(long)]
    pub reason: Option<ChangeReason>,
    /// A name for this request: within 24 hours, a request that is repeated with its name is not
    /// carried out again.
    #[arg(long)]
    pub request_id: Option<RequestId>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `tenant onboard` takes.
#[derive(Args, Debug)]
pub struct OnboardArgs {
    /// The subdomain: 3 to 63 of a-z, 0-9 and -
    pub subdomain: String,
    /// The name, to be shown.
    #[arg(long)]
    pub name: TenantName,
    /// A plan with its modules, by its slug.
    #[arg(long, required_unless_present = "module", conflicts_with = "module")]
    pub plan: Option<String>,
    /// A module's code; repeatable. Together they must hold all that they depend on.
    #[arg(long, value_delimiter = ',', value_parser = value::module_code)]
    pub module: Vec<String>,
    /// What the prices are for.
    #[arg(long, value_enum, default_value_t)]
    pub billing_cycle: BillingCycle,
    /// All modules are a trial for so many days.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=366))]
    pub trial_days: u32,
    /// The tenant's own settings: a JSON object.
    #[arg(long, default_value = "{}")]
    pub settings: String,
    /// A label that names no tenant, as for `serve`. Repeatable; commas in the environment.
    #[arg(long, env = "ENTITLEMENTD_RESERVED_LABEL", value_name = "LABEL", value_delimiter = ',')]
    pub reserved_label: Vec<String>,
    /// As for every change.
    #[command(flatten)]
    pub mutation: MutationArgs,
}

/// What `tenant provision` takes.
#[derive(Args, Debug)]
pub struct ProvisionArgs {
    /// The tenant's UUID or subdomain.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub tenant: Option<String>,
    /// Every tenant that is not cancelled.
    #[arg(long)]
    pub all: bool,
    /// How many tenants at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub concurrency: u32,
    /// As for every change.
    #[command(flatten)]
    pub mutation: MutationArgs,
}

/// What `tenant verify` takes.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The tenant's UUID or subdomain. Empty: every tenant that is not cancelled.
    pub tenant: Option<String>,
    /// What tenants' schemas hold.
    #[arg(long, env = "ENTITLEMENTD_TENANT_TEMPLATE", value_name = "DIR")]
    pub tenant_template: PathBuf,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Only look?
#[derive(Args, Debug)]
pub struct PreviewArgs {
    /// Only say what would be changed.
    #[arg(long)]
    pub preview: bool,
    /// As for every change.
    #[command(flatten)]
    pub mutation: MutationArgs,
}

/// What `tenant set-status` takes.
#[derive(Args, Debug)]
pub struct SetStatusArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// The new status.
    #[arg(value_enum)]
    pub status: SettableStatus,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// What `tenant enable` takes.
#[derive(Args, Debug)]
pub struct EnableArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// The modules' codes.
    #[arg(required = true, value_parser = value::module_code)]
    pub module: Vec<String>,
    /// Enable what they depend on as well.
    #[arg(long)]
    pub include_dependencies: bool,
    /// What the price is for [default: as it is, and monthly for what is new]
    #[arg(long, value_enum)]
    pub billing_cycle: Option<BillingCycle>,
    /// They end then, for example 2026-12-31T23:59:59Z. Empty: never.
    #[arg(long, value_parser = value::instant)]
    pub expires_at: Option<DateTime<Utc>>,
    /// They are a trial, which ends then. Empty: they are none.
    #[arg(long, value_parser = value::instant)]
    pub trial_ends_at: Option<DateTime<Utc>>,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// What `tenant disable` takes.
#[derive(Args, Debug)]
pub struct DisableArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// The modules' codes.
    #[arg(required = true, value_parser = value::module_code)]
    pub module: Vec<String>,
    /// Disable what depends on them as well.
    #[arg(long)]
    pub include_dependents: bool,
    /// When what is paid for has been used, instead of at once.
    #[arg(long)]
    pub at_period_end: bool,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// What `tenant change-plan` takes.
#[derive(Args, Debug)]
pub struct ChangePlanArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// The new plan's slug.
    pub plan: String,
    /// What the price of modules that are new is for [default: monthly]
    #[arg(long, value_enum)]
    pub billing_cycle: Option<BillingCycle>,
    /// Disable what depends on the modules that go as well.
    #[arg(long)]
    pub include_dependents: bool,
    /// The modules that go end when what is paid for has been used, instead of at once.
    #[arg(long)]
    pub at_period_end: bool,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// What `tenant list` takes.
#[derive(Args, Debug)]
pub struct ListTenantsArgs {
    /// Those whose subdomain or name begins with this, without regard to case.
    pub text: Option<String>,
    /// Those of this status; repeatable.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub status: Vec<TenantStatus>,
    /// Those on this plan, by its slug.
    #[arg(long)]
    pub plan: Option<String>,
    /// Those with a subscription to this module that is active and has not ended.
    #[arg(long, value_parser = value::module_code)]
    pub module: Option<String>,
    /// Those after this one, by its UUID: where the page before has ended.
    #[arg(long)]
    pub after: Option<String>,
    /// So many, up to 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `tenant delete` takes.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// Its name, repeated letter by letter.
    #[arg(long)]
    pub name: String,
    /// Delete it although it has unpaid invoices, which go with it.
    #[arg(long)]
    pub force: bool,
    /// Delete everything but its schema. Without this, the deletion is refused if the schema is
    /// not certain to be the tenant's.
    #[arg(long)]
    pub keep_schema: bool,
    /// As for every change.
    #[command(flatten)]
    pub mutation: MutationArgs,
}

/// What `tenant history` takes.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// As for every look at a tenant. One that is deleted is found by its UUID.
    #[command(flatten)]
    pub read: ReadArgs,
    /// The newest so many, up to 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}

impl ValueEnum for BillingCycle {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Monthly, Self::Yearly]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.word().into())
    }
}

impl ValueEnum for SettableStatus {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Active, Self::Suspended, Self::Cancelled]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.word().into())
    }
}

impl ValueEnum for TenantStatus {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Active,
            Self::Pending,
            Self::PendingSetup,
            Self::Suspended,
            Self::Cancelled,
            Self::Failed,
            Self::Other,
        ]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.word().into())
    }
}
