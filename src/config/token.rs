//! The arguments of `token`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::domain::{ActorName, Role};

/// The arguments of `token`.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// The command to run.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// The commands for tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, add its hash to the file, and print it: once, with nothing else on standard
    /// output.
    New(NewTokenArgs),
}

/// The arguments of `token new`.
#[derive(Args, Debug)]
pub struct NewTokenArgs {
    /// The holder's name, as shown in the record of changes.
    pub name: ActorName,
    /// What its holder may do: viewer, operator or owner.
    #[arg(long)]
    pub role: Role,
    /// The file, one line per token: NAME ROLE SHA256. Created if missing, readable by its owner
    /// only.
    #[arg(long, env = "ENTITLEMENTD_ADMIN_TOKENS_FILE", value_name = "FILE")]
    pub admin_tokens_file: PathBuf,
}
