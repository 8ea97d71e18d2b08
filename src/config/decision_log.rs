//! The settings of the decision log.

use std::path::PathBuf;

use clap::Args;

/// The settings of the decision log.
#[derive(Args, Clone, Debug)]
pub struct DecisionLogArgs {
    /// Log decisions as lines of JSON: a file, or - for standard output. A file that was moved is
    /// made anew within a second, or on SIGHUP [default: nowhere]
    #[arg(long, env = "ENTITLEMENTD_DECISION_LOG", value_name = "FILE")]
    pub decision_log: Option<PathBuf>,
    /// Log one in this many grants; 0: none. Denials are always logged.
    #[arg(
        long,
        env = "ENTITLEMENTD_DECISION_LOG_ONE_GRANT_IN",
        value_name = "COUNT",
        default_value = "100"
    )]
    pub decision_log_one_grant_in: u32,
    /// Maximum size of the file in MiB: before it would be exceeded, the file is rotated.
    #[arg(long, env = "ENTITLEMENTD_DECISION_LOG_MAX_MIB", value_name = "MIB", default_value = "100",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub decision_log_max_mib: u32,
    /// Number of rotated files that are kept, as FILE.1, FILE.2 and so on.
    #[arg(long, env = "ENTITLEMENTD_DECISION_LOG_KEPT", value_name = "COUNT", default_value = "5",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub decision_log_kept: u16,
}
