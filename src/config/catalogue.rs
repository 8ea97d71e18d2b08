//! What `module` and `plan` take.

use clap::{Args, Subcommand, builder::BoolishValueParser};

use super::DatabaseArgs;

/// What `module` and `plan` take.
#[derive(Args, Debug)]
pub struct CatalogueArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CatalogueCommand,
}

/// What can be done with modules, and with plans.
#[derive(Debug, Subcommand)]
pub enum CatalogueCommand {
    /// List them, with their prices, as the database has them.
    List(ListArgs),
}

/// What `list` takes.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Leave out those that are no longer sold.
    #[arg(long, env = "ENTITLEMENTD_ON_SALE_ONLY", value_parser = BoolishValueParser::new())]
    pub on_sale_only: bool,
    /// Print JSON.
    #[arg(long, env = "ENTITLEMENTD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}
