//! The settings of the admin listener.

use std::path::PathBuf;

use clap::Args;

use super::ListenAddress;

/// Where administrators are served, and who they are.
#[derive(Args, Clone, Debug)]
pub struct AdminArgs {
    /// Where TenantAdminService listens: ADDRESS:PORT (port 0 takes a free one) or
    /// unix:/PATH[?mode=0660] [default: nowhere]
    #[arg(long, env = "ENTITLEMENTD_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<ListenAddress>,
    /// Administrators, one per line: NAME ROLE SHA256. `entitlementd token new` adds one. Read
    /// again when it changes.
    #[arg(long, env = "ENTITLEMENTD_ADMIN_TOKENS_FILE", value_name = "FILE")]
    pub admin_tokens_file: Option<PathBuf>,
    /// The contents of tenants' schemas: DIR/_base/*.sql for every tenant, and DIR/MODULE/*.sql for
    /// those that have the module. Read again on SIGHUP.
    #[arg(long, env = "ENTITLEMENTD_TENANT_TEMPLATE", value_name = "DIR")]
    pub tenant_template: Option<PathBuf>,
}
