//! Rights that the serving role lacks although it needs them. PostgreSQL only.

use std::fmt;

use crate::{
    ChangeLog, RECORD,
    required::{self, Required},
    rights::{quoted, roles},
};

/// Our own tables that the server reads.
const OURS: [&str; 9] = [
    "entitlement_module_aliases",
    "entitlement_features",
    "entitlement_plan_features",
    "entitlement_limits",
    "entitlement_plan_limits",
    "entitlement_limit_overrides",
    "entitlement_kept_features",
    "entitlement_kept_limits",
    "entitlement_time_zones",
];

/// Those of the log.
const LOG: [&str; 3] = ["entitlement_changes", "entitlement_folded_changes", "entitlement_folding"];

/// A right that the role lacks. Displays as what is missing, and the statement to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Denied(pub(crate) String);

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A PostgreSQL expression: may the role of this connection read which steps were applied?
pub(crate) fn may_read_steps() -> String {
    format!(
        "COALESCE(has_schema_privilege('public', 'USAGE')
                  AND has_table_privilege(to_regclass('public.{RECORD}'), 'SELECT'), true)"
    )
}

/// A PostgreSQL expression: may the role of this connection read all rows of the ERP's tables?
/// Cheap enough to be asked along with the log.
pub fn may_read_tables() -> String {
    let each = required::serving().map(|Required { table, .. }| {
        let table = format!("to_regclass('{table}')");
        format!("COALESCE(has_any_column_privilege({table}, 'SELECT') AND NOT row_security_active({table}), true)")
    });
    format!("({})", each.collect::<Vec<_>>().join(" AND "))
}

/// A query of the rights that serving takes and the role of this connection lacks, `a`.
pub(crate) fn query(log: ChangeLog) -> String {
    let required = required::serving()
        .map(|Required { table, for_serving, .. }| {
            format!("('{table}', ARRAY[{}])", quoted(for_serving))
        })
        .collect::<Vec<_>>()
        .join(", ");
    let of_log = if log == ChangeLog::Wanted { &LOG[..] } else { &[] };
    let ours = [&[RECORD], &OURS[..], of_log].concat();
    let all: Vec<&str> =
        required::serving().map(|required| required.table).chain(ours.iter().copied()).collect();
    let server = roles::SERVER;
    format!(
        "SELECT format('the role %I may not use the schema public; run: GRANT USAGE ON SCHEMA public TO %I',
                       current_user, current_user) AS a
         WHERE NOT has_schema_privilege('public', 'USAGE')
         UNION ALL
         SELECT format('the role %I may not read %s of the table %s; run: GRANT SELECT ON %s TO %I',
                       current_user, string_agg(a.attname, ', ' ORDER BY a.attnum), c.relname, c.relname, current_user)
         FROM (VALUES {required}) required (name, columns)
         JOIN pg_class c ON c.relnamespace = 'public'::regnamespace AND c.relname = required.name
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (required.columns)
         WHERE NOT has_column_privilege(c.oid, a.attnum, 'SELECT') GROUP BY c.relname
         UNION ALL
         SELECT format('the role %I may not read the table %s; run: GRANT {server} TO %I',
                       current_user, c.relname, current_user)
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN ({})
           AND NOT has_table_privilege(c.oid, 'SELECT')
         UNION ALL
         SELECT format('row-level security would hide rows of the table %s from the role %I; run: ALTER ROLE %I BYPASSRLS',
                       c.relname, current_user, current_user)
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN ({})
           AND row_security_active(c.oid)
         ORDER BY a",
        quoted(&ours),
        quoted(&all),
    )
}
