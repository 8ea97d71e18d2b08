//! Indexes that an adopted database would profit from. They are listed, never made: building one is
//! the owner's decision.

/// The columns by which statements look rows up.
const LOOKED_UP: [(&str, &str); 6] = [
    ("tenants", "id"),
    ("tenants", "subdomain"),
    ("tenant_subscriptions", "tenant_id"),
    ("feature_flags", "tenant_id"),
    ("modules", "id"),
    ("plans", "id"),
];

/// A query of the statements that make the missing indexes, `a`, for an operator to run. PostgreSQL
/// only: in SQLite the tables are our own.
pub(crate) fn query() -> String {
    let looked_up = LOOKED_UP.map(|(table, column)| format!("('{table}', '{column}')")).join(", ");
    // A whole, valid index that begins with the column.
    format!(
        "SELECT format('CREATE INDEX CONCURRENTLY idx_%s_%s ON %s (%s);', tab, col, tab, col) AS a
         FROM (VALUES {looked_up}) looked_up (tab, col)
         JOIN pg_class c ON c.relnamespace = 'public'::regnamespace AND c.relname = tab
         WHERE NOT EXISTS (SELECT FROM pg_index i
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
             WHERE i.indrelid = c.oid AND a.attname = col AND i.indisvalid AND i.indpred IS NULL)"
    )
}
