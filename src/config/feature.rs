//! The arguments of `feature` and `limit`, and of what plans say about them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    DatabaseArgs, PreviewArgs,
    value::{self, JsonValue, LimitValue},
};
use crate::domain::{ExistingTenants, LimitKind, ValueType};

/// The arguments of `feature`.
#[derive(Args, Debug)]
pub struct FeatureArgs {
    /// The command to run.
    #[command(subcommand)]
    pub command: FeatureCommand,
}

/// The commands for features.
#[derive(Debug, Subcommand)]
pub enum FeatureCommand {
    /// List features with what plans say about them, as stored in the database.
    List(FeatureListArgs),
    /// Define a feature, or change its definition: what is not given stays unchanged.
    Define(Box<FeatureDefineArgs>),
}

/// The arguments of `feature list`.
#[derive(Args, Debug)]
pub struct FeatureListArgs {
    /// Only those of this module.
    #[arg(long, value_parser = value::module_code)]
    pub module: Option<String>,
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `feature define`.
#[derive(Args, Debug)]
pub struct FeatureDefineArgs {
    /// The module's code.
    #[arg(value_parser = value::module_code)]
    pub module: String,
    /// The feature's key.
    #[arg(value_parser = value::feature_key)]
    pub key: String,
    /// Name, to be shown.
    #[arg(long, value_parser = value::offer_name)]
    pub name: Option<String>,
    /// Description, to be shown.
    #[arg(long)]
    pub description: Option<String>,
    /// Which values it takes [default: as it is, and json for a new one]
    #[arg(long, value_enum)]
    pub value_type: Option<ValueType>,
    /// Is it on where neither tenant nor plan says anything? true or false.
    #[arg(long)]
    pub default_on: Option<bool>,
    /// Its value where neither tenant nor plan has one, as JSON; empty: none.
    #[arg(long, value_name = "JSON", value_parser = value::json)]
    pub default_value: Option<JsonValue>,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// The arguments of `limit`.
#[derive(Args, Debug)]
pub struct LimitCommandArgs {
    /// The command to run.
    #[command(subcommand)]
    pub command: LimitCommand,
}

/// The commands for limits.
#[derive(Debug, Subcommand)]
pub enum LimitCommand {
    /// List limits with what plans allow, as stored in the database.
    List(LimitListArgs),
    /// Define a limit, or change its definition: what is not given stays unchanged.
    Define(LimitDefineArgs),
    /// Summarize whom limits would have stopped, according to the decision log of a server with
    /// --enforce-limits=shadow. Exit code 0: nobody, 1: somebody, 2: error.
    ShadowReport(LimitsShadowReportArgs),
}

/// The arguments of `limit list`.
#[derive(Args, Debug)]
pub struct LimitListArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `limit define`.
#[derive(Args, Debug)]
pub struct LimitDefineArgs {
    /// The limit's key.
    #[arg(value_parser = value::limit_key)]
    pub key: String,
    /// Name, to be shown.
    #[arg(long, value_parser = value::offer_name)]
    pub name: Option<String>,
    /// What is counted, to be shown.
    #[arg(long)]
    pub unit: Option<String>,
    /// How many there are at a time, or how many in a calendar month. A new limit needs it.
    #[arg(long, value_enum)]
    pub kind: Option<LimitKind>,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// The arguments of `limit shadow-report`.
#[derive(Args, Debug)]
pub struct LimitsShadowReportArgs {
    /// The file that `serve --decision-log` wrote, or - for standard input.
    #[arg(long, env = "ENTITLEMENTD_DECISION_LOG", value_name = "FILE")]
    pub decision_log: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `plan set-feature`.
#[derive(Args, Debug)]
pub struct PlanFeatureArgs {
    /// The plan's slug.
    #[arg(value_parser = value::module_code)]
    pub plan: String,
    /// The module's code.
    #[arg(value_parser = value::module_code)]
    pub module: String,
    /// The feature's key.
    #[arg(value_parser = value::feature_key)]
    pub key: String,
    /// What the plan says.
    #[arg(value_enum)]
    pub switch: PlanSwitch,
    /// Its value, as JSON; empty: none.
    #[arg(long, value_name = "JSON", value_parser = value::json)]
    pub value: Option<JsonValue>,
    /// What becomes of the plan's tenants: they keep what they have (grandfathering), or it is
    /// changed for them too. Needed where the plan has tenants.
    #[arg(long, value_enum)]
    pub existing_tenants: Option<ExistingTenants>,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

/// What a plan says about a feature.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum PlanSwitch {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// The plan says nothing: the definition decides.
    Default,
}

/// The arguments of `plan set-limit`.
#[derive(Args, Debug)]
pub struct PlanLimitArgs {
    /// The plan's slug.
    #[arg(value_parser = value::module_code)]
    pub plan: String,
    /// The limit's key.
    #[arg(value_parser = value::limit_key)]
    pub key: String,
    /// The limit: a whole number (0: none at all), or unlimited.
    #[arg(value_parser = value::limit)]
    pub limit: LimitValue,
    /// What becomes of the plan's tenants: they keep what they have (grandfathering), or it is
    /// changed for them too. Needed where the plan has tenants.
    #[arg(long, value_enum)]
    pub existing_tenants: Option<ExistingTenants>,
    /// As for every change.
    #[command(flatten)]
    pub mutation: PreviewArgs,
}

impl ValueEnum for ValueType {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.word().into())
    }
}

impl ValueEnum for LimitKind {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Level, Self::Monthly]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.word().into())
    }
}
