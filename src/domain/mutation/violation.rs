//! Why something is refused.

use thiserror::Error;

use crate::domain::ModuleCode;

/// Why a mutation is refused. A refusal contains all violations.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Violation {
    /// The catalogue has no module with this code.
    #[error("There is no module '{0}'.")]
    UnknownModule(ModuleCode),
    /// The module is no longer sold, and the tenant does not have it.
    #[error("The module '{0}' is no longer sold.")]
    RetiredModule(ModuleCode),
    /// The catalogue has no plan with this slug.
    #[error("There is no plan '{0}'.")]
    UnknownPlan(String),
    /// The plan is no longer sold, and the tenant does not have it.
    #[error("The plan '{0}' is no longer sold.")]
    RetiredPlan(String),
    /// A module that it depends on is not enabled.
    #[error("The module '{module}' requires '{dependency}', which is not enabled.")]
    MissingDependency {
        /// The requested module.
        module: ModuleCode,
        /// What it depends on.
        dependency: ModuleCode,
    },
    /// A module that depends on it stays enabled.
    #[error("The module '{module}' is required by '{dependent}', which is enabled.")]
    HasDependent {
        /// The module to be disabled.
        module: ModuleCode,
        /// What depends on it.
        dependent: ModuleCode,
    },
    /// The module is part of every account.
    #[error("The module '{0}' is part of every account and cannot be disabled.")]
    BaseModule(ModuleCode),
    /// Modules cannot be enabled for a tenant with this status.
    #[error("Modules are enabled for tenants that are active, and this one is {0:?}.")]
    TenantStatus(String),
    /// The tenant's status cannot be changed to the requested one.
    #[error("A tenant that is {from:?} cannot become {to:?}.")]
    Transition {
        /// The current status.
        from: String,
        /// The requested status.
        to: &'static str,
    },
    /// No schema is made for a tenant with this status.
    #[error("A schema is made for tenants that are not cancelled, and this one is {0:?}.")]
    NoSetup(String),
    /// The schema is another tenant's, or the database's own, or was neither made by entitlementd
    /// for this tenant nor named by the ERP's rule.
    #[error(
        "The schema {0:?} cannot be confirmed as this tenant's: it is another one's, the database's own, or was made by \
         somebody else. A tenant can be deleted without it (keep_schema)."
    )]
    ForeignSchema(String),
    /// The tenant to be deleted is not cancelled.
    #[error("Only a cancelled tenant is deleted, and this one is {0:?}.")]
    NotCancelled(String),
    /// The tenant to be deleted has another name.
    #[error("The tenant is not called that: repeat its name, letter by letter.")]
    OtherName,
    /// The tenant to be deleted has unpaid invoices.
    #[error("It has {0} unpaid invoices.")]
    UnpaidInvoices(u64),
    /// A module has this code, or had it before it was renamed.
    #[error("The code '{0}' is another module's, or was.")]
    CodeTaken(ModuleCode),
    /// A new module or plan needs a name.
    #[error("'{0}' is new, and has no name.")]
    NoName(String),
    /// The module would depend on itself, along this path.
    #[error("The module '{0}' would depend on itself: {1}.")]
    Circle(ModuleCode, String),
    /// A module on sale depends on it.
    #[error("The module '{module}' is required by '{dependent}', which is on sale.")]
    RequiredOnSale {
        /// The module to be retired.
        module: ModuleCode,
        /// What depends on it.
        dependent: ModuleCode,
    },
    /// A plan on sale would contain a module without its dependencies, or one that is no longer
    /// sold.
    #[error("The plan '{plan}' is on sale with '{module}': {problem}.")]
    BrokenPlan {
        /// The plan on sale.
        plan: String,
        /// The module that it contains.
        module: ModuleCode,
        /// What would be wrong.
        problem: String,
    },
    /// The module has no feature with this key.
    #[error("There is no feature '{0}'.")]
    UnknownFeature(String),
    /// There is no limit with this key.
    #[error("There is no limit '{0}'.")]
    UnknownLimit(String),
    /// The limit is a column of plans, and always there.
    #[error("The limit '{0}' is built in and cannot be redefined.")]
    BuiltInLimit(String),
    /// A new limit has to say what it counts.
    #[error("The limit '{0}' is new, and does not say what it counts: level or monthly.")]
    NoKind(String),
    /// Nobody can have fewer than none.
    #[error("The limit '{0}' cannot be negative.")]
    NegativeLimit(String),
    /// The column of plans cannot hold it.
    #[error("The limit '{0}' of a plan is at most 2147483647.")]
    LimitTooLarge(String),
    /// A value is not of the type that its feature takes.
    #[error(
        "The feature '{feature}' takes values of the type {takes}, and the value of {whose} is of another."
    )]
    ValueType {
        /// The feature: its module's code and its key.
        feature: String,
        /// Whose value: the default, the plan's or the flag's.
        whose: String,
        /// The type that the feature takes.
        takes: &'static str,
    },
    /// The plan has tenants, and it is not said what becomes of them.
    #[error(
        "The plan '{0}' has tenants ({1}): say whether they keep what they have, or whether the change applies to them \
         (existing_tenants: keep or apply)."
    )]
    PlanHasTenants(String, u64),
    /// An end that lies in the past.
    #[error("{0} must lie in the future.")]
    Past(&'static str),
}

impl Violation {
    /// Its name for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownModule(_) => "UNKNOWN_MODULE",
            Self::RetiredModule(_) => "RETIRED_MODULE",
            Self::UnknownPlan(_) => "UNKNOWN_PLAN",
            Self::RetiredPlan(_) => "RETIRED_PLAN",
            Self::MissingDependency { .. } => "MISSING_DEPENDENCY",
            Self::HasDependent { .. } | Self::RequiredOnSale { .. } => "HAS_DEPENDENT",
            Self::BaseModule(_) => "BASE_MODULE",
            Self::TenantStatus(_) | Self::NoSetup(_) => "TENANT_STATUS",
            Self::Transition { .. } => "TRANSITION",
            Self::ForeignSchema(_) => "FOREIGN_SCHEMA",
            Self::NotCancelled(_) => "NOT_CANCELLED",
            Self::OtherName => "OTHER_NAME",
            Self::UnpaidInvoices(_) => "UNPAID_INVOICES",
            Self::CodeTaken(_) => "CODE_TAKEN",
            Self::NoName(_) => "NO_NAME",
            Self::Circle(..) => "CIRCLE",
            Self::BrokenPlan { .. } => "BROKEN_PLAN",
            Self::UnknownFeature(_) => "UNKNOWN_FEATURE",
            Self::UnknownLimit(_) => "UNKNOWN_LIMIT",
            Self::BuiltInLimit(_) => "BUILT_IN_LIMIT",
            Self::NoKind(_) => "NO_KIND",
            Self::NegativeLimit(_) => "NEGATIVE_LIMIT",
            Self::LimitTooLarge(_) => "LIMIT_TOO_LARGE",
            Self::ValueType { .. } => "VALUE_TYPE",
            Self::PlanHasTenants(..) => "PLAN_HAS_TENANTS",
            Self::Past(_) => "PAST",
        }
    }

    /// Its subject: a module's code, a plan's slug, a status or a field.
    pub fn subject(&self) -> &str {
        match self {
            Self::UnknownModule(code)
            | Self::RetiredModule(code)
            | Self::BaseModule(code)
            | Self::CodeTaken(code)
            | Self::Circle(code, _) => code.as_str(),
            Self::MissingDependency { module, .. }
            | Self::HasDependent { module, .. }
            | Self::RequiredOnSale { module, .. } => module.as_str(),
            Self::NoName(word)
            | Self::UnknownFeature(word)
            | Self::UnknownLimit(word)
            | Self::BuiltInLimit(word)
            | Self::NoKind(word)
            | Self::NegativeLimit(word)
            | Self::LimitTooLarge(word)
            | Self::ValueType { feature: word, .. }
            | Self::PlanHasTenants(word, _)
            | Self::BrokenPlan { plan: word, .. }
            | Self::UnknownPlan(word)
            | Self::RetiredPlan(word)
            | Self::TenantStatus(word)
            | Self::NoSetup(word)
            | Self::NotCancelled(word)
            | Self::ForeignSchema(word) => word,
            Self::Transition { to, .. } => to,
            Self::OtherName => "name",
            Self::UnpaidInvoices(_) => "billing_history",
            Self::Past(field) => field,
        }
    }
}
