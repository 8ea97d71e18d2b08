//! What commands for tenants' flags and limits take.

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use super::PreviewArgs;
use crate::config::{
    TimeZoneArgs,
    value::{self, JsonValue, LimitValue, TenantZone},
};

/// What `tenant set-flag` takes.
#[derive(Args, Debug)]
pub struct SetFlagArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// The module's code.
    #[arg(value_parser = value::module_code)]
    pub module: String,
    /// The feature's key.
    #[arg(value_parser = value::feature_key)]
    pub key: String,
    /// Is it on?
    #[arg(value_enum)]
    pub switch: Switch,
    /// Its own value, as JSON. Not given: it has none, and loses the one that it had.
    #[arg(long, value_name = "JSON", value_parser = value::json)]
    pub value: Option<JsonValue>,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// Is a flag on?
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Switch {
    /// It is on.
    On,
    /// It is off.
    Off,
}

/// What `tenant delete-flag` and `tenant end-kept-feature` take.
#[derive(Args, Debug)]
pub struct DeleteFlagArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// The module's code.
    #[arg(value_parser = value::module_code)]
    pub module: String,
    /// The feature's key.
    #[arg(value_parser = value::feature_key)]
    pub key: String,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// What `tenant set-limit` takes.
#[derive(Args, Debug)]
pub struct SetLimitArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// The limit's key.
    #[arg(value_parser = value::limit_key)]
    pub key: String,
    /// The limit: a whole number (0: none at all), or unlimited.
    #[arg(value_parser = value::limit)]
    pub limit: LimitValue,
    /// It ends then, for example 2027-01-01T00:00:00Z; of a date the first instant counts, in UTC. Not
    /// given: never, and an end that was set is dropped.
    #[arg(long, value_parser = value::instant)]
    pub ends_at: Option<DateTime<Utc>>,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// What `tenant set-time-zone` takes.
#[derive(Args, Debug)]
pub struct SetTimeZoneArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// The zone, by its name in the IANA database: Asia/Kolkata; or servers: theirs.
    #[arg(value_parser = value::tenant_zone)]
    pub zone: TenantZone,
    /// The servers' zone.
    #[command(flatten)]
    pub servers: TimeZoneArgs,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// What `tenant end-limit` and `tenant end-kept-limit` take.
#[derive(Args, Debug)]
pub struct EndLimitArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// The limit's key.
    #[arg(value_parser = value::limit_key)]
    pub key: String,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}
