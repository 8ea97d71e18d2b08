//! What everything that changes a tenant takes.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;

use crate::{
    config::{ChangesMode, DatabaseArgs, value},
    domain::{BillingCycle, ChangeReason, RequestId, SettableStatus},
};

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

/// What `tenant delete` takes.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// The tenant's UUID or subdomain.
    pub tenant: String,
    /// Its name, repeated letter by letter.
    #[arg(long)]
    pub name: String,
    /// Delete it despite unpaid invoices, which are deleted with it.
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
