//! The arguments of `usage`.

use clap::{Args, Subcommand};

use crate::domain::calendar::Day;

use super::{DatabaseArgs, TimeZoneArgs, value};

/// The arguments of `usage`.
#[derive(Args, Debug)]
pub struct UsageArgs {
    /// The command to run.
    #[command(subcommand)]
    pub command: UsageCommand,
}

/// The commands for usage.
#[derive(Debug, Subcommand)]
pub enum UsageCommand {
    /// Show what a tenant has used, and which things took it last.
    Show(UsageShowArgs),
    /// Prove that every counter is the sum of the things that are counted.
    Verify(UsageVerifyArgs),
    /// Put a level right, for all tenants: ask their own tables which things there are, release what
    /// is counted and is not there, and count what is there and is not counted.
    Reconcile(UsageReconcileArgs),
    /// Print what was used on each day, of all tenants, as CSV: for a spreadsheet, or whoever bills.
    Export(UsageExportArgs),
}

/// The arguments of `usage show`.
#[derive(Args, Debug)]
pub struct UsageShowArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// Only this meter, with the 20 things that it counted last.
    #[arg(long, value_parser = value::limit_key)]
    pub meter: Option<String>,
    /// The servers' zone.
    #[command(flatten)]
    pub zone: TimeZoneArgs,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `usage verify`.
#[derive(Args, Debug)]
pub struct UsageVerifyArgs {
    /// Print the SQL instead, for whoever wants to run it.
    #[arg(long)]
    pub print_sql: bool,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `usage reconcile`.
#[derive(Args, Debug)]
pub struct UsageReconcileArgs {
    /// The key of a level: users.
    #[arg(value_parser = value::limit_key)]
    pub meter: String,
    /// A query whose one column names the things that there are. It runs in a transaction that may
    /// only read, and finds the tables of the tenant's schema; `{schema}` stands for its name.
    #[arg(long)]
    pub sql: String,
    /// Only this tenant, by its UUID or subdomain. Several times for several.
    #[arg(long)]
    pub tenant: Vec<String>,
    /// Only show how many things there are.
    #[arg(long)]
    pub preview: bool,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// The arguments of `usage export`.
#[derive(Args, Debug)]
pub struct UsageExportArgs {
    /// The first day: 2026-11-01. Days are those of each tenant's time zone.
    #[arg(long, value_name = "DAY", value_parser = value::day)]
    pub from: Day,
    /// The day after the last: 2026-12-01.
    #[arg(long, value_name = "DAY", value_parser = value::day)]
    pub to: Day,
    /// Only this tenant, by its UUID or subdomain.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only this meter.
    #[arg(long, value_parser = value::limit_key)]
    pub meter: Option<String>,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Print an object of JSON on each line.
    #[arg(long)]
    pub json: bool,
}
