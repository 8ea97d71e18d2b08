//! What the admin listener takes.

use std::path::PathBuf;

use clap::Args;

use super::ListenAddress;

/// Where administrators are answered, and who they are.
#[derive(Args, Clone, Debug)]
pub struct AdminArgs {
    /// Where TenantAdminService is answered: ADDRESS:PORT (port 0 takes a free one) or unix:/PATH
    /// [default: nowhere]
    #[arg(long, env = "ENTITLEMENTD_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<ListenAddress>,
    /// Administrators, a line for each: NAME ROLE SHA256. `entitlementd token new` adds one. Read
    /// again when it changes.
    #[arg(long, env = "ENTITLEMENTD_ADMIN_TOKENS_FILE", value_name = "FILE")]
    pub admin_tokens_file: Option<PathBuf>,
    /// What tenants' schemas hold: DIR/_base/*.sql, and DIR/MODULE/*.sql for those that have the
    /// module.
    #[arg(long, env = "ENTITLEMENTD_TENANT_TEMPLATE", value_name = "DIR")]
    pub tenant_template: Option<PathBuf>,
}
