//! What `tenant` takes.

mod changes;
mod terms;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

pub use self::{
    changes::{
        ChangePlanArgs, DeleteArgs, DisableArgs, EnableArgs, MutationArgs, PreviewArgs,
        SetStatusArgs,
    },
    terms::{DeleteFlagArgs, EndLimitArgs, SetFlagArgs, SetLimitArgs, SetTimeZoneArgs, Switch},
};
use super::{DatabaseArgs, TimeZoneArgs, value};
use crate::domain::{BillingCycle, SettableStatus, TenantName, TenantStatus};

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
    Show(ShowTenantArgs),
    /// Give a tenant another status. Suspended and cancelled need a --reason.
    SetStatus(SetStatusArgs),
    /// Enable modules.
    Enable(EnableArgs),
    /// Disable modules.
    Disable(DisableArgs),
    /// Give a tenant another plan: its modules come, those of the plan before go.
    ChangePlan(ChangePlanArgs),
    /// Set a tenant's own flag for a feature.
    SetFlag(SetFlagArgs),
    /// Delete a tenant's own flag: its plan decides then, or what it keeps of that, else the
    /// definition.
    DeleteFlag(DeleteFlagArgs),
    /// Give a tenant a limit of its own, instead of its plan's.
    SetLimit(SetLimitArgs),
    /// End what a tenant has instead of its plan's limit.
    EndLimit(EndLimitArgs),
    /// End what a tenant keeps of what its plan said about a feature before: what it says now holds.
    EndKeptFeature(DeleteFlagArgs),
    /// End what a tenant keeps of what its plan allowed before: what it allows now holds.
    EndKeptLimit(EndLimitArgs),
    /// Set the time zone in which a tenant's months are counted, from the next month on.
    SetTimeZone(SetTimeZoneArgs),
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

/// What `tenant show` takes.
#[derive(Args, Debug)]
pub struct ShowTenantArgs {
    /// As for every look at a tenant.
    #[command(flatten)]
    pub read: ReadArgs,
    /// The servers' zone.
    #[command(flatten)]
    pub zone: TimeZoneArgs,
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
    /// Maximum number of tenants (up to 1000).
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
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
