//! The columns of the ERP's tables that entitlementd names in its statements.
//!
//! An adopted database must have those that checks are answered from. It may lack others:
//! administration is then refused, naming the missing columns, while checks are answered.

use std::fmt;

use sea_orm_migration::prelude::*;

use crate::catalog::Existing;

/// One of the ERP's tables.
pub(crate) struct Required {
    pub(crate) table: &'static str,
    /// The columns that checks are answered from. The triggers of the log watch the same columns.
    pub(crate) for_serving: &'static [&'static str],
    /// The columns that administrators read and write beyond those.
    for_administration: &'static [&'static str],
}

const REQUIRED: [Required; 7] = [
    Required {
        table: "tenants",
        for_serving: &["id", "name", "subdomain", "database_schema", "status", "plan_id"],
        for_administration: &[
            "trial_ends_at",
            "onboarded_at",
            "settings",
            "created_at",
            "updated_at",
        ],
    },
    Required {
        table: "modules",
        for_serving: &[
            "id",
            "code",
            "name",
            "category",
            "display_order",
            "is_base_module",
            "is_active",
            "sections",
            "frontend_routes",
            "api_endpoints",
        ],
        for_administration: &[
            "description",
            "price_monthly",
            "price_yearly",
            "dependencies",
            "database_tables",
            "features",
            "created_at",
            "updated_at",
        ],
    },
    Required {
        table: "plans",
        for_serving: &[
            "id",
            "slug",
            "is_active",
            "included_modules",
            "price_inr",
            "max_users",
            "max_transactions_monthly",
        ],
        for_administration: &[
            "name",
            "type",
            "billing_cycle",
            "discount_percent",
            "features",
            "is_popular",
            "display_order",
            "created_at",
            "updated_at",
        ],
    },
    Required {
        table: "tenant_subscriptions",
        for_serving: &[
            "id",
            "tenant_id",
            "module_id",
            "status",
            "starts_at",
            "expires_at",
            "is_trial",
            "trial_ends_at",
        ],
        for_administration: &[
            "plan_id",
            "subscription_type",
            "billing_cycle",
            "price_paid",
            "auto_renew",
            "settings",
            "created_at",
            "updated_at",
        ],
    },
    Required {
        table: "feature_flags",
        for_serving: &[
            "id",
            "tenant_id",
            "module_code",
            "feature_key",
            "is_enabled",
            "config",
            "updated_at",
        ],
        for_administration: &["created_at"],
    },
    Required {
        table: "billing_history",
        for_serving: &[],
        for_administration: &["id", "tenant_id", "status"],
    },
    Required { table: "usage_metrics", for_serving: &[], for_administration: &["tenant_id"] },
];

/// The ERP's tables.
pub(crate) fn tables() -> impl Iterator<Item = &'static str> {
    REQUIRED.iter().map(|required| required.table)
}

/// The tables that checks are answered from.
pub(crate) fn serving() -> impl Iterator<Item = Required> {
    REQUIRED.into_iter().filter(|required| !required.for_serving.is_empty())
}

/// The columns of a table that checks are answered from.
pub(crate) fn serving_columns_of(table: &str) -> &'static [&'static str] {
    REQUIRED
        .iter()
        .find(|required| required.table == table)
        .map_or(&[], |required| required.for_serving)
}

/// A column that is needed and missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MissingColumn {
    /// The table that lacks it.
    pub table: &'static str,
    /// Its name.
    pub column: &'static str,
}

impl fmt::Display for MissingColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the table {} has no column {}", self.table, self.column)
    }
}

/// The needed columns that a database lacks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MissingColumns {
    /// Without these, nothing can be answered.
    pub for_serving: Vec<MissingColumn>,
    /// Without these, checks are answered but administrators are not.
    pub for_administration: Vec<MissingColumn>,
}

impl MissingColumns {
    /// The needed columns that the database lacks. A missing table lacks all of them.
    pub(crate) fn of(existing: &Existing) -> Self {
        let mut missing = Self::default();
        for required in &REQUIRED {
            missing.add(existing, required);
        }
        missing
    }

    /// The needed columns that existing tables lack. Missing tables are made by the migration.
    pub(crate) fn of_existing_tables(existing: &Existing) -> Self {
        let mut missing = Self::default();
        for required in REQUIRED.iter().filter(|required| existing.has_table(required.table)) {
            missing.add(existing, required);
        }
        missing
    }

    fn add(&mut self, existing: &Existing, required: &Required) {
        let Required { table, for_serving, for_administration } = *required;
        let named = |columns: Vec<&'static str>| {
            columns.into_iter().map(move |column| MissingColumn { table, column })
        };
        self.for_serving.extend(named(existing.without(table, for_serving)));
        self.for_administration.extend(named(existing.without(table, for_administration)));
    }
}

/// Fails if columns are missing, naming each.
pub(crate) fn refuse(problem: &str, missing: &[MissingColumn]) -> Result<(), DbErr> {
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Err(DbErr::Custom(format!("{problem}: {}", missing.join("; "))))
}
