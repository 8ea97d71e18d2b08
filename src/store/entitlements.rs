//! What a tenant is entitled to, read to be changed, and written back where it differs.

mod write;

use sea_orm::{
    ColumnTrait, EntityTrait, IntoSimpleExpr, JoinType, QueryFilter, QueryResult, QuerySelect,
    QueryTrait, RelationTrait, Select,
    prelude::Uuid,
    sea_query::{ExprTrait, SimpleExpr},
};

pub(super) use self::write::{decimal, module_id, plan_id, write};
use super::{
    StoreError, TenantKey,
    ask::Ask,
    dialect::Dialect,
    entity::{modules, plans, tenant_subscriptions, tenants},
    instant, offers,
    row::{ReadContext, Row},
    transaction::Transaction,
};
use crate::domain::{Entitlements, TenantId, Terms, limits::MAX_IDENTIFIER_BYTES};

/// A tenant's names.
pub(super) struct Found {
    pub(super) id: TenantId,
    pub(super) name: String,
    pub(super) subdomain: String,
    database_schema: String,
}

impl Found {
    /// Its schema's name as PostgreSQL keeps it: the first 63 bytes.
    pub(super) fn schema(&self) -> String {
        kept(&self.database_schema)
    }
}

/// A name as PostgreSQL keeps it: its first 63 bytes.
pub(super) fn kept(name: &str) -> String {
    name[..name.floor_char_boundary(MAX_IDENTIFIER_BYTES)].to_owned()
}

/// Locks a tenant's row, so that nobody else changes it until the transaction ends; `None`: there
/// is no such tenant.
///
/// FOR UPDATE, because a subscription that somebody inserts by hand then waits too: its foreign key
/// locks the row.
pub(super) async fn lock(txn: &Transaction, key: &TenantKey) -> Result<Option<Found>, StoreError> {
    found(txn, by_key(key).lock_exclusive()).await
}

/// Finds a tenant's row; `None`: there is no such tenant.
pub(super) async fn find(
    database: &impl Ask,
    key: &TenantKey,
) -> Result<Option<Found>, StoreError> {
    found(database, by_key(key)).await
}

fn by_key(key: &TenantKey) -> Select<tenants::Entity> {
    use tenants::Column as T;
    let select = tenants::Entity::find().select_only().columns([
        T::Id,
        T::Name,
        T::Subdomain,
        T::DatabaseSchema,
    ]);
    match key {
        TenantKey::Id(id) => select.filter(T::Id.eq(id.uuid())),
        TenantKey::Subdomain(label) => select.filter(T::Subdomain.eq(label.as_str())),
    }
}

async fn found(
    database: &impl Ask,
    select: Select<tenants::Entity>,
) -> Result<Option<Found>, StoreError> {
    let rows = database.select(select).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let id: Uuid = row.try_get("", "id")?;
    let text =
        |column: &str| row.try_get::<Option<String>>("", column).map(Option::unwrap_or_default);
    let [name, subdomain, database_schema] =
        [text("name")?, text("subdomain")?, text("database_schema")?];
    Ok(Some(Found { id: id.into(), name, subdomain, database_schema }))
}

/// Reads what a tenant is entitled to.
pub(super) async fn read(
    database: &impl Ask,
    id: TenantId,
    context: &ReadContext,
) -> Result<Entitlements, StoreError> {
    let select = select(database.dialect()).filter(tenants::Column::Id.eq(id.uuid()));
    let rows = database.select(select).await?;
    let mut entitlements =
        Entitlements { status: String::new(), plan: None, subscriptions: Vec::new() };
    for row in &rows {
        let Some(tenant) = Row::keyed_by::<Uuid>(row, "tenants.id")? else { continue };
        entitlements.status = tenant.text("tenants.status")?;
        entitlements.plan = tenant.get("plans.slug")?;
        entitlements.subscriptions.extend(terms(row, context)?);
    }
    Ok(entitlements)
}

fn select(dialect: Dialect) -> Select<tenants::Entity> {
    use tenant_subscriptions::Column as S;
    let text = |column: SimpleExpr| column.cast_as("text");
    let instant = |column: S| dialect.instant(column.into_simple_expr());
    // The plan that a row came with, which need not be the tenant's.
    let plan_of_row = plans::Entity::find().select_only().column(plans::Column::Slug).filter(
        plans::Column::Id.into_simple_expr().equals((tenant_subscriptions::Entity, S::PlanId)),
    );
    let own_plan = plans::Entity::find().select_only().column(plans::Column::Slug).filter(
        plans::Column::Id.into_simple_expr().equals((tenants::Entity, tenants::Column::PlanId)),
    );
    let slug = |select: Select<plans::Entity>| {
        text(SimpleExpr::SubQuery(None, Box::new(select.into_query().into())))
    };
    tenants::Entity::find()
        .select_only()
        .column_as(tenants::Column::Id, "tenants.id")
        .column_as(text(tenants::Column::Status.into_simple_expr()), "tenants.status")
        .column_as(slug(own_plan), "plans.slug")
        .column_as(slug(plan_of_row), "tenant_subscriptions.plan_id")
        .column_as(text(modules::Column::Code.into_simple_expr()), "modules.code")
        .column_as(S::Id, "tenant_subscriptions.id")
        .column_as(text(S::Status.into_simple_expr()), "tenant_subscriptions.status")
        .column_as(text(S::BillingCycle.into_simple_expr()), "tenant_subscriptions.billing_cycle")
        .column_as(offers::text(S::PricePaid), "tenant_subscriptions.price_paid")
        .column_as(instant(S::StartsAt), "tenant_subscriptions.starts_at")
        .column_as(instant(S::ExpiresAt), "tenant_subscriptions.expires_at")
        .column_as(S::IsTrial, "tenant_subscriptions.is_trial")
        .column_as(instant(S::TrialEndsAt), "tenant_subscriptions.trial_ends_at")
        .column_as(S::AutoRenew, "tenant_subscriptions.auto_renew")
        .join(JoinType::LeftJoin, tenant_subscriptions::Relation::Tenants.def().rev())
        .join(JoinType::LeftJoin, tenant_subscriptions::Relation::Modules.def())
}

/// `None` where the outer join found no subscription, or one whose module is gone.
fn terms(result: &QueryResult, context: &ReadContext) -> Result<Option<Terms>, StoreError> {
    let Some(row) = Row::keyed_by::<Uuid>(result, "tenant_subscriptions.id")? else {
        return Ok(None);
    };
    let Some(code) = row.get::<Option<String>>("modules.code")? else { return Ok(None) };
    Ok(Some(Terms {
        id: row.get("tenant_subscriptions.id")?,
        module: context.codes.code(&code),
        plan: row.get("tenant_subscriptions.plan_id")?,
        status: row.text("tenant_subscriptions.status")?,
        billing_cycle: row.get("tenant_subscriptions.billing_cycle")?,
        price_paid: offers::price(&row, "tenant_subscriptions.price_paid", context)?,
        starts_at: instant::beginning(row.get("tenant_subscriptions.starts_at")?),
        expires_at: instant::end(row.get("tenant_subscriptions.expires_at")?),
        is_trial: row.flag("tenant_subscriptions.is_trial")?,
        trial_ends_at: instant::end(row.get("tenant_subscriptions.trial_ends_at")?),
        auto_renew: row.flag("tenant_subscriptions.auto_renew")?,
    }))
}
