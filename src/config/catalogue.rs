//! The arguments of `module` and `plan`.

use clap::{Args, Subcommand, ValueEnum};

use super::{
    DatabaseArgs, MutationArgs, PlanFeatureArgs, PlanLimitArgs,
    value::{self, Codes},
};
use crate::domain::{BillingCycle, ExistingTenants, Money};

/// The arguments of `module`.
#[derive(Args, Debug)]
pub struct ModuleArgs {
    /// The command to run.
    #[command(subcommand)]
    pub command: ModuleCommand,
}

/// The commands for modules.
#[derive(Debug, Subcommand)]
pub enum ModuleCommand {
    /// List modules with their prices, as stored in the database.
    List(ListArgs),
    /// Add or change a module: what is not given stays unchanged.
    Upsert(Box<ModuleUpsertArgs>),
}

/// The arguments of `plan`.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// The command to run.
    #[command(subcommand)]
    pub command: PlanCommand,
}

/// The commands for plans.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// List plans with their prices, as stored in the database.
    List(ListArgs),
    /// Add or change a plan: what is not given stays unchanged.
    Upsert(Box<PlanUpsertArgs>),
    /// Set what a plan says about a feature.
    SetFeature(PlanFeatureArgs),
    /// Set the limit of a plan.
    SetLimit(PlanLimitArgs),
}

/// The arguments of `module upsert`.
#[derive(Args, Debug)]
pub struct ModuleUpsertArgs {
    /// The module's current code.
    #[arg(value_parser = value::module_code)]
    pub code: String,
    /// The module's new code. Checks go on honouring the old one.
    #[arg(long, value_parser = value::module_code)]
    pub new_code: Option<String>,
    /// Name, to be shown.
    #[arg(long, value_parser = value::offer_name)]
    pub name: Option<String>,
    /// Description, to be shown.
    #[arg(long)]
    pub description: Option<String>,
    /// Category.
    #[arg(long)]
    pub category: Option<String>,
    /// Position in a menu.
    #[arg(long)]
    pub display_order: Option<i32>,
    /// Part of every account? true or false.
    #[arg(long)]
    pub base: Option<bool>,
    /// On sale? false retires it: tenants that have it keep it.
    #[arg(long)]
    pub on_sale: Option<bool>,
    /// The codes of the modules that it depends on, separated by commas; empty: none.
    #[arg(long, value_parser = value::module_codes)]
    pub dependencies: Option<Codes>,
    /// Price for a month: 9999.00
    #[arg(long, value_parser = value::price)]
    pub price_monthly: Option<Money>,
    /// Price for a year.
    #[arg(long, value_parser = value::price)]
    pub price_yearly: Option<Money>,
    /// The settings of every change.
    #[command(flatten)]
    pub mutation: MutationArgs,
}

/// The arguments of `plan upsert`.
#[derive(Args, Debug)]
pub struct PlanUpsertArgs {
    /// The plan's slug.
    #[arg(value_parser = value::module_code)]
    pub slug: String,
    /// Name, to be shown.
    #[arg(long, value_parser = value::offer_name)]
    pub name: Option<String>,
    /// On sale? false retires it: tenants on the plan stay on it.
    #[arg(long)]
    pub on_sale: Option<bool>,
    /// Price for a billing cycle: 19999.00
    #[arg(long, value_parser = value::price)]
    pub price: Option<Money>,
    /// The billing cycle.
    #[arg(long, value_enum)]
    pub billing_cycle: Option<BillingCycle>,
    /// The codes of its modules, separated by commas.
    #[arg(long, value_parser = value::module_codes)]
    pub modules: Option<Codes>,
    /// Number of users that it includes; 0: unlimited.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    pub max_users: Option<i32>,
    /// Number of transactions a month that it includes; 0: unlimited.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    pub max_transactions_monthly: Option<i32>,
    /// What becomes of its tenants where a limit is changed: they keep what they have, or it is
    /// changed for them too.
    #[arg(long, value_enum)]
    pub existing_tenants: Option<ExistingTenants>,
    /// The settings of every change.
    #[command(flatten)]
    pub mutation: MutationArgs,
}

/// The arguments of `list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Omit what is no longer sold.
    #[arg(long)]
    pub on_sale_only: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl ValueEnum for ExistingTenants {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Keep, Self::Apply]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.word().into())
    }
}
