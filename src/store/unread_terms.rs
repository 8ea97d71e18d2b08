//! Rows that somebody wrote by hand and that count for less than they say: for people who look.

use std::fmt;

use sea_orm::QueryResult;

use super::{
    Store, StoreError,
    ask::Ask,
    dialect::Dialect,
    tenant::own::{self, setting},
};
use crate::domain::{Catalogue, FlagName, Setting, ValueType, calendar::parse_zone};

/// Flags with a value that are looked at, at most, and as many that are kept of a plan, and time zones.
const MAX_ROWS: usize = 100_000;

const FLAGS: &str = "feature_flags.config";
const KEPT: &str = "entitlement_kept_features.value";

/// A row that counts for less than it says. Displays as a sentence for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnreadTerm {
    /// The column, or the table.
    place: &'static str,
    /// Whose row it is: "the tenant acme", "the plan starter".
    whose: String,
    /// Which feature or limit it is about.
    about: String,
    consequence: &'static str,
}

impl fmt::Display for UnreadTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, whose, about, consequence } = self;
        write!(f, "{place} of {whose} for {about}: {consequence}")
    }
}

const OFF: &str = "the value is not of the type that is defined, so the feature is off";
const UNDEFINED: &str = "there is no such feature, so it counts for nothing";
const NEGATIVE: &str = "it is negative, and counts as 0";
const NO_ZONE: &str = "there is no such time zone, so the one before it holds on";

impl Store {
    /// The rows about features and limits that cannot be read as they are, by this catalogue.
    pub async fn unread_terms(&self, catalogue: &Catalogue) -> Result<Vec<UnreadTerm>, StoreError> {
        let mut unread = of_definitions(catalogue);
        for row in self.primary.sql(NEGATIVE_LIMITS, []).await? {
            unread.push(UnreadTerm {
                place: "plans",
                whose: format!("the plan {}", text(&row, "slug")?),
                about: text(&row, "about")?,
                consequence: NEGATIVE,
            });
        }
        let dialect = self.primary.dialect();
        for (place, sql) in [(FLAGS, flags(dialect)), (KEPT, kept(dialect))] {
            for row in self.primary.sql(sql, []).await? {
                unread.extend(self.unread_value(place, &row, catalogue)?);
            }
        }
        for row in self.primary.sql(time_zones(), []).await? {
            if parse_zone(&text(&row, "zone")?).is_err() {
                unread.push(UnreadTerm {
                    place: "entitlement_time_zones.zone",
                    whose: format!("the tenant {}", text(&row, "subdomain")?),
                    about: text(&row, "from_month")?,
                    consequence: NO_ZONE,
                });
            }
        }
        Ok(unread)
    }

    fn unread_value(
        &self,
        place: &'static str,
        row: &QueryResult,
        catalogue: &Catalogue,
    ) -> Result<Option<UnreadTerm>, StoreError> {
        let (module, key) = (text(row, "module")?, text(row, "key")?);
        let value = setting(&text(row, "value")?, place, &self.context);
        let code = catalogue.code_of_now(&module);
        let defined = catalogue.definitions().feature(code, &key);
        let takes = defined.map_or_else(ValueType::default, |defined| defined.value_type);
        let is_read = value.is_none_or(|value| takes.takes(&value));
        let tenant = text(row, "subdomain")?;
        Ok((!is_read).then(|| UnreadTerm {
            place,
            whose: format!("the tenant {tenant}"),
            about: format!("{module}/{key}"),
            consequence: OFF,
        }))
    }
}

fn of_definitions(catalogue: &Catalogue) -> Vec<UnreadTerm> {
    let mut unread = Vec::new();
    let definitions = catalogue.definitions();
    for (module, defined) in definitions.features() {
        if !reads(defined.value_type, defined.default_value.as_ref()) {
            unread.push(UnreadTerm {
                place: "entitlement_features.default_value",
                whose: format!("the module {module}"),
                about: defined.key.to_string(),
                consequence: OFF,
            });
        }
    }
    for (slug, name, planned) in definitions.plan_features() {
        let (module, key) = FlagName::parts(name);
        let consequence = match definitions.feature(module, key) {
            None => UNDEFINED,
            Some(defined) if !reads(defined.value_type, planned.value.as_ref()) => OFF,
            Some(_) => continue,
        };
        unread.push(UnreadTerm {
            place: "entitlement_plan_features",
            whose: format!("the plan {slug}"),
            about: format!("{module}/{key}"),
            consequence,
        });
    }
    unread.sort_by(|one, other| (&one.whose, &one.about).cmp(&(&other.whose, &other.about)));
    unread
}

fn reads(value_type: ValueType, value: Option<&Setting>) -> bool {
    value.is_none_or(|value| value_type.takes(value))
}

const NEGATIVE_LIMITS: &str =
    "SELECT COALESCE(CAST(slug AS text), '') AS slug, 'max_users' AS about FROM plans WHERE max_users < 0
     UNION ALL SELECT COALESCE(CAST(slug AS text), ''), 'max_transactions_monthly' FROM plans WHERE max_transactions_monthly < 0";

/// Flags that are on and have a value.
fn flags(dialect: Dialect) -> String {
    let value = own::value(dialect, "f.config");
    format!(
        "SELECT COALESCE(CAST(t.subdomain AS text), '') AS subdomain, COALESCE(CAST(f.module_code AS text), '') AS module,
                COALESCE(CAST(f.feature_key AS text), '') AS key, {value} AS value
         FROM feature_flags f JOIN tenants t ON t.id = f.tenant_id
         WHERE f.is_enabled AND {value} IS NOT NULL
         ORDER BY f.tenant_id, f.module_code, f.feature_key LIMIT {MAX_ROWS}"
    )
}

/// What tenants keep of their plan that is on and has a value.
fn kept(dialect: Dialect) -> String {
    let value = own::value(dialect, "k.value");
    format!(
        "SELECT COALESCE(CAST(t.subdomain AS text), '') AS subdomain, COALESCE(CAST(m.code AS text), '') AS module,
                CAST(k.key AS text) AS key, {value} AS value
         FROM entitlement_kept_features k JOIN tenants t ON t.id = k.tenant_id AND t.plan_id = k.plan_id
         JOIN modules m ON m.id = k.module_id WHERE k.enabled AND {value} IS NOT NULL
         ORDER BY k.tenant_id, m.code, k.key LIMIT {MAX_ROWS}"
    )
}

/// The names of time zones. There are few, and each is read once.
fn time_zones() -> String {
    format!(
        "SELECT COALESCE(CAST(t.subdomain AS text), '') AS subdomain, CAST(z.from_month AS text) AS from_month,
                CAST(z.zone AS text) AS zone
         FROM entitlement_time_zones z JOIN tenants t ON t.id = z.tenant_id
         WHERE z.zone <> '' ORDER BY z.tenant_id, z.from_month LIMIT {MAX_ROWS}"
    )
}

fn text(row: &QueryResult, column: &str) -> Result<String, StoreError> {
    Ok(row.try_get("", column)?)
}
