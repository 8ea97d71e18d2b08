//! Whose a schema is. A row may name any schema, and a dropped one is gone.

use super::{StoreError, ask::Ask, entitlements::Found, row};
use crate::domain::{Violation, limits::MAX_IDENTIFIER_BYTES};

/// The table, in a tenant's schema, of the template files that were applied to it. Its comment says
/// whose the schema is.
pub(super) const RECORD: &str = "entitlement_template_files";

/// What is known about a schema.
struct Known {
    exists: bool,
    has_record: bool,
    is_recorded_for: Option<String>,
}

/// The comment on the table in a tenant's schema.
pub(super) fn comment(locked: &Found) -> String {
    format!(
        "The files of the tenant template that entitlementd has applied to this schema. The tenant is {}.",
        locked.id.uuid()
    )
}

/// May a tenant's schema be made, or filled? Not if it is another tenant's, the database's own, or
/// of unknown origin: an existing schema must have been made by us for this tenant, or by the ERP,
/// according to its rule for names. SQLite has no schemas.
pub(super) async fn may_be_filled(
    database: &impl Ask,
    locked: &Found,
) -> Result<Result<(), Violation>, StoreError> {
    if !database.dialect().has_schemas() {
        return Ok(Ok(()));
    }
    let (schema, known) = (locked.schema(), look(database, locked).await?);
    // Tables of older versions do not say whose the schema is.
    let is_recorded =
        known.has_record && known.is_recorded_for.as_deref().is_none_or(|id| id == own_id(locked));
    let is_ours =
        !known.exists || is_recorded || (!known.has_record && is_named_by_the_erp(&schema));
    if is_ours && is_nobody_elses(database, locked).await? {
        return Ok(Ok(()));
    }
    Ok(Err(Violation::ForeignSchema(schema)))
}

/// Is a tenant's schema dropped with it?
pub(super) async fn may_be_dropped(
    database: &impl Ask,
    locked: &Found,
) -> Result<Result<(), Violation>, StoreError> {
    if let Err(violation) = may_be_filled(database, locked).await? {
        return Ok(Err(violation));
    }
    if !database.dialect().has_schemas() {
        return Ok(Ok(()));
    }
    let (schema, known) = (locked.schema(), look(database, locked).await?);
    let is_ours = !known.exists || known.is_recorded_for.is_some() || is_named_by_the_erp(&schema);
    Ok(if is_ours { Ok(()) } else { Err(Violation::ForeignSchema(schema)) })
}

fn own_id(locked: &Found) -> String {
    locked.id.uuid().to_string()
}

/// The ERP's own check before it makes a schema: `tenant_`, and then letters, digits, `_` and `-`.
fn is_named_by_the_erp(schema: &str) -> bool {
    schema.strip_prefix("tenant_").is_some_and(|rest| {
        rest.contains(char::is_alphanumeric)
            && rest.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    })
}

async fn is_nobody_elses(database: &impl Ask, locked: &Found) -> Result<bool, StoreError> {
    let schema = locked.schema();
    if schema.is_empty()
        || schema.starts_with("pg_")
        || ["public", "information_schema"].contains(&schema.as_str())
    {
        return Ok(false);
    }
    let sql =
        "SELECT 1 FROM tenants WHERE id <> $1 AND substr(database_schema, 1, $2) = $3 LIMIT 1";
    let length = i32::try_from(MAX_IDENTIFIER_BYTES).unwrap_or(i32::MAX);
    let values = [locked.id.uuid().into(), length.into(), schema.into()];
    Ok(database.sql(sql, values).await?.is_empty())
}

async fn look(database: &impl Ask, locked: &Found) -> Result<Known, StoreError> {
    let sql = "SELECT n.oid IS NOT NULL AS does_exist, c.oid IS NOT NULL AS has_record,
                      substring(obj_description(c.oid, 'pg_class') FROM 'The tenant is ([-0-9a-f]{36})') AS tenant
               FROM (SELECT 1) one
               LEFT JOIN pg_namespace n ON n.nspname = $1
               LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2 AND c.relkind = 'r'";
    let values = [locked.schema().into(), RECORD.into()];
    let rows = database.sql(sql, values).await?;
    let row = row::first(&rows)?;
    Ok(Known {
        exists: row.try_get("", "does_exist")?,
        has_record: row.try_get("", "has_record")?,
        is_recorded_for: row.try_get("", "tenant")?,
    })
}
