//! The arguments of `serve`.

use chrono::NaiveTime;
use chrono_tz::Tz;
use clap::{Args, builder::BoolishValueParser};

use super::{
    AdditionsArgs, AdminArgs, ChangesArgs, DatabaseArgs, Given, InstanceArgs, PoolArgs, Span,
    value::{NightlyLevel, accept_late, nightly_level, time_of_day, time_zone},
};

/// The arguments of `serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Try it out: a temporary SQLite database with two tenants, and commands to paste.
    #[arg(long, env = "ENTITLEMENTD_DEMO", help_heading = "Server", value_parser = BoolishValueParser::new(), conflicts_with_all = ["database_url", "database_url_file", "primary_database_url", "primary_database_url_file", "state_dir"])]
    pub demo: bool,
    /// Print the settings, each with its source, and exit.
    #[arg(long, help_heading = "Server")]
    pub print_config: bool,
    /// The database.
    #[command(flatten, next_help_heading = "Database")]
    pub database: DatabaseArgs,
    /// How the database is used.
    #[command(flatten, next_help_heading = "Database")]
    pub pool: PoolArgs,
    /// How changes are received.
    #[command(flatten, next_help_heading = "Changes")]
    pub changes: ChangesArgs,
    /// Apply pending migrations at start. On SQLite this is always done.
    #[arg(long, env = "ENTITLEMENTD_MIGRATE", help_heading = "Database", value_parser = BoolishValueParser::new())]
    pub migrate: bool,
    /// What a database gets that lacks it.
    #[command(flatten, next_help_heading = "Database")]
    pub additions: AdditionsArgs,
    /// What every instance has.
    #[command(flatten)]
    pub instance: InstanceArgs,
    /// Where administrators are served.
    #[command(flatten, next_help_heading = "Administrators")]
    pub admin: AdminArgs,
    /// The time zone whose calendar months monthly limits count, by its name in the IANA database:
    /// `Asia/Kolkata`. It is that of tenants that have none of their own (`tenant set-time-zone`), and the
    /// same for all servers of a database. A change counts what comes after it in the other zone's months.
    #[arg(
        long,
        env = "ENTITLEMENTD_TIME_ZONE",
        help_heading = "Features and limits",
        value_name = "ZONE",
        default_value = "UTC",
        value_parser = time_zone
    )]
    pub time_zone: Tz,
    /// How far back RecordUsage accepts what was used, up to 35 days: it is then still known what was
    /// counted before.
    #[arg(
        long,
        env = "ENTITLEMENTD_USAGE_ACCEPT_LATE",
        help_heading = "Features and limits",
        value_name = "SPAN",
        default_value = "35d",
        value_parser = accept_late
    )]
    pub usage_accept_late: Span,
    /// Put a level right each night, from the tenants' own tables, as `usage reconcile` does: its key,
    /// `=`, and the query whose one column names the things that there are: `users=SELECT id FROM
    /// {schema}.users WHERE is_active`. One server does so for all. Several times for several levels.
    #[arg(
        long,
        env = "ENTITLEMENTD_RECONCILE_USAGE",
        help_heading = "Features and limits",
        value_name = "LEVEL=SQL",
        value_parser = nightly_level
    )]
    pub reconcile_usage: Vec<NightlyLevel>,
    /// When that is, in the time zone above.
    #[arg(
        long,
        env = "ENTITLEMENTD_RECONCILE_USAGE_AT",
        help_heading = "Features and limits",
        value_name = "HH:MM",
        default_value = "02:30",
        value_parser = time_of_day
    )]
    pub reconcile_usage_at: NaiveTime,
    /// The settings as they were given, where the command line was read.
    #[arg(skip)]
    pub given: Vec<Given>,
}
