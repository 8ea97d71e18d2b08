//! What `token` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::domain::{ActorName, Role};

/// What `token` takes.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, add its hash to the file, and print it: once, alone on standard output.
    New(NewTokenArgs),
}

/// What `token new` takes.
#[derive(Args, Debug)]
pub struct NewTokenArgs {
    /// Whose token it is, as the record of changes will show it.
    pub name: ActorName,
    /// What its holder may do: viewer, operator or owner.
    #[arg(long)]
    pub role: Role,
    /// The file, a line for each token: NAME ROLE SHA256. Made if it is missing, for its owner
    /// alone to read.
    #[arg(long, env = "ENTITLEMENTD_ADMIN_TOKENS_FILE", value_name = "FILE")]
    pub admin_tokens_file: PathBuf,
}
