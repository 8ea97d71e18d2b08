//! Where decisions are logged.

use std::path::PathBuf;

use clap::Args;

/// Where decisions are logged.
#[derive(Args, Clone, Debug)]
pub struct DecisionLogArgs {
    /// Log decisions as lines of JSON: a file, or - for standard output [default: nowhere]
    #[arg(long, env = "ENTITLEMENTD_DECISION_LOG", value_name = "FILE")]
    pub decision_log: Option<PathBuf>,
    /// Of grants, one in so many is logged; 0: none. Denials always are.
    #[arg(
        long,
        env = "ENTITLEMENTD_DECISION_LOG_ONE_GRANT_IN",
        value_name = "COUNT",
        default_value = "100"
    )]
    pub decision_log_one_grant_in: u32,
    /// The file is put aside once it is so large, in MiB.
    #[arg(long, env = "ENTITLEMENTD_DECISION_LOG_MAX_MIB", value_name = "MIB", default_value = "100",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub decision_log_max_mib: u32,
    /// Older files that are kept, as FILE.1, FILE.2 and so on.
    #[arg(long, env = "ENTITLEMENTD_DECISION_LOG_KEPT", value_name = "COUNT", default_value = "5",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub decision_log_kept: u16,
}
