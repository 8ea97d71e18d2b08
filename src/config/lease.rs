//! The settings of signed leases, and the arguments of `lease-key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Span, value};

/// How leases are signed.
#[derive(Args, Clone, Debug)]
pub struct LeaseArgs {
    /// The private keys that sign leases, for places without a connection: a JWK set of Ed25519 keys,
    /// which `entitlementd lease-key` makes and changes, or PEM (PKCS#8). The first key signs; the public
    /// halves of all are at /.well-known/jwks.json, beside the metrics. Others must not be able to read
    /// the file. Read again when it changes [default: no leases are signed]
    #[arg(long, env = "ENTITLEMENTD_LEASE_KEY_FILE", value_name = "FILE")]
    pub lease_key_file: Option<PathBuf>,
    /// How long a lease lasts at most, 1m to 31d. It cannot be taken back: a tenant that is suspended
    /// may use what it was leased for that long.
    #[arg(long, env = "ENTITLEMENTD_LEASE_MAX", value_name = "SPAN", default_value = "24h", value_parser = value::lease_max)]
    pub lease_max: Span,
    /// The `iss` of leases: 1 to 200 printable ASCII characters. Who verifies them expects it.
    #[arg(long, env = "ENTITLEMENTD_LEASE_ISSUER", value_name = "ISSUER", default_value = "entitlementd", value_parser = value::lease_issuer)]
    pub lease_issuer: String,
}

/// The arguments of `lease-key`.
#[derive(Args, Debug)]
pub struct LeaseKeyArgs {
    /// The command to run.
    #[command(subcommand)]
    pub command: LeaseKeyCommand,
}

/// The commands for the keys of leases.
#[derive(Debug, Subcommand)]
pub enum LeaseKeyCommand {
    /// Make a key, add it to the file as the last, and print its name. It is published, and signs
    /// nothing yet, unless it is the only one.
    New(LeaseKeyFileArgs),
    /// List the names of the keys; the first signs.
    List(LeaseKeyFileArgs),
    /// Sign with this key from now on.
    SignWith(NamedLeaseKeyArgs),
    /// Remove a key that does not sign. What it has signed is good for nobody any more: wait for
    /// --lease-max after another began to sign.
    Remove(NamedLeaseKeyArgs),
    /// Print the set of public keys, as servers publish it: for who cannot fetch it.
    Jwks(LeaseKeyFileArgs),
}

/// The arguments of a command for all keys of a file.
#[derive(Args, Debug)]
pub struct LeaseKeyFileArgs {
    /// The file, a JWK set. `new` creates it if it is missing, readable by its owner only.
    #[arg(long, env = "ENTITLEMENTD_LEASE_KEY_FILE", value_name = "FILE")]
    pub lease_key_file: PathBuf,
}

/// The arguments of a command for one key.
#[derive(Args, Debug)]
pub struct NamedLeaseKeyArgs {
    /// The name of the key, as `list` prints it.
    // One name in 64 begins with a dash.
    #[arg(allow_hyphen_values = true)]
    pub kid: String,
    /// The file.
    #[command(flatten)]
    pub file: LeaseKeyFileArgs,
}
