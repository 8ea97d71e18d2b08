//! What `module` and `plan` take.

use clap::{Args, Subcommand};

use super::{DatabaseArgs, MutationArgs, value};
use crate::domain::{BillingCycle, ModuleCode, Money};

/// What `module` takes.
#[derive(Args, Debug)]
pub struct ModuleArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ModuleCommand,
}

/// What can be done with modules.
#[derive(Debug, Subcommand)]
pub enum ModuleCommand {
    /// List them, with their prices, as the database has them.
    List(ListArgs),
    /// Add a module, or change one: what is not given stays as it is.
    Upsert(Box<ModuleUpsertArgs>),
}

/// What `plan` takes.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PlanCommand,
}

/// What can be done with plans.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// List them, with their prices, as the database has them.
    List(ListArgs),
    /// Add a plan, or change one: what is not given stays as it is.
    Upsert(Box<PlanUpsertArgs>),
}

/// What `module upsert` takes.
#[derive(Args, Debug)]
pub struct ModuleUpsertArgs {
    /// Its code.
    #[arg(value_parser = value::module_code)]
    pub code: String,
    /// The code that it is to have. Checks go on honouring the old one.
    #[arg(long, value_parser = value::module_code)]
    pub new_code: Option<String>,
    /// Its name, to be shown.
    #[arg(long, value_parser = value::offer_name)]
    pub name: Option<String>,
    /// What it is for, to be shown.
    #[arg(long)]
    pub description: Option<String>,
    /// What it belongs to.
    #[arg(long)]
    pub category: Option<String>,
    /// Its place in a menu.
    #[arg(long)]
    pub display_order: Option<i32>,
    /// Part of every account? true or false.
    #[arg(long)]
    pub base: Option<bool>,
    /// On sale? false retires it: who has it keeps it.
    #[arg(long)]
    pub on_sale: Option<bool>,
    /// The codes of the modules that it cannot be without, with commas; empty: none.
    #[arg(long, value_parser = value::module_codes)]
    pub dependencies: Option<Codes>,
    /// What it costs for a month: 9999.00
    #[arg(long, value_parser = value::price)]
    pub price_monthly: Option<Money>,
    /// What it costs for a year.
    #[arg(long, value_parser = value::price)]
    pub price_yearly: Option<Money>,
    /// As for every change.
    #[command(flatten)]
    pub mutation: MutationArgs,
}

/// What `plan upsert` takes.
#[derive(Args, Debug)]
pub struct PlanUpsertArgs {
    /// Its slug.
    #[arg(value_parser = value::module_code)]
    pub slug: String,
    /// Its name, to be shown.
    #[arg(long, value_parser = value::offer_name)]
    pub name: Option<String>,
    /// On sale? false retires it: who is on it stays.
    #[arg(long)]
    pub on_sale: Option<bool>,
    /// What it costs for a billing cycle: 19999.00
    #[arg(long, value_parser = value::price)]
    pub price: Option<Money>,
    /// How long that is.
    #[arg(long, value_enum)]
    pub billing_cycle: Option<BillingCycle>,
    /// The codes of its modules, with commas.
    #[arg(long, value_parser = value::module_codes)]
    pub modules: Option<Codes>,
    /// Users that it includes; 0: any number.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    pub max_users: Option<i32>,
    /// Transactions a month that it includes; 0: any number.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    pub max_transactions_monthly: Option<i32>,
    /// As for every change.
    #[command(flatten)]
    pub mutation: MutationArgs,
}

/// Codes of modules, as one value of a flag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Codes(pub Vec<ModuleCode>);

/// What `list` takes.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Leave out those that are no longer sold.
    #[arg(long)]
    pub on_sale_only: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
