//! Whether a subdomain is available.

use sea_orm::{
    Condition, EntityTrait, IntoSimpleExpr, QueryFilter, QuerySelect,
    sea_query::{Alias, Expr, ExprTrait, Func},
};

use super::{StoreError, ask::Ask, entity::tenants};
use crate::domain::{Subdomain, SubdomainRefusal, limits::MAX_IDENTIFIER_BYTES};

/// Looks for a tenant that has the subdomain or its schema, and for the schema itself: a schema
/// that a deleted tenant left behind holds its data.
pub(super) async fn check(
    database: &impl Ask,
    subdomain: &Subdomain,
) -> Result<Result<(), SubdomainRefusal>, StoreError> {
    let schema = subdomain.database_schema();
    if has_tenant(database, lower(tenants::Column::Subdomain).eq(subdomain.as_str())).await? {
        return Ok(Err(SubdomainRefusal::Taken));
    }
    // The name in the row may be longer than what PostgreSQL made of it.
    let kept = Func::cust(Alias::new("substr"))
        .arg(tenants::Column::DatabaseSchema.into_simple_expr())
        .arg(1)
        .arg(i32::try_from(MAX_IDENTIFIER_BYTES).unwrap_or(i32::MAX));
    let is_taken = has_tenant(database, Expr::expr(kept).eq(schema.as_str())).await?
        || exists(database, &schema).await?;
    Ok(if is_taken { Err(SubdomainRefusal::SchemaTaken) } else { Ok(()) })
}

fn lower(column: tenants::Column) -> Expr {
    Func::lower(column.into_simple_expr()).into()
}

async fn has_tenant(database: &impl Ask, such: impl Into<Condition>) -> Result<bool, StoreError> {
    let select =
        tenants::Entity::find().select_only().column(tenants::Column::Id).filter(such).limit(1);
    Ok(!database.select(select).await?.is_empty())
}

/// Does a schema with this name exist? SQLite has none.
async fn exists(database: &impl Ask, schema: &str) -> Result<bool, StoreError> {
    if !database.dialect().has_schemas() {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
    Ok(!database.sql(sql, [schema.into()]).await?.is_empty())
}
