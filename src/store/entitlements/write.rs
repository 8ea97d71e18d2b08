//! What a tenant is entitled to, written back where it differs.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, QueryFilter, QuerySelect, QueryTrait,
    prelude::{Decimal, Uuid},
};
use serde_json::json;

use crate::{
    domain::{Entitlements, ModuleCode, Money, TenantId, Terms},
    store::{
        StoreError,
        ask::Ask,
        entity::{modules, plans, tenant_subscriptions, tenants},
        kept,
        transaction::Transaction,
    },
};

/// Writes what differs, column by column: a row that was written by hand keeps what was not
/// changed.
pub(in crate::store) async fn write(
    txn: &Transaction,
    id: TenantId,
    before: &Entitlements,
    after: &Entitlements,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    if before.status != after.status || before.plan != after.plan {
        let tenant = tenants::ActiveModel {
            status: if before.status == after.status { NotSet } else { Set(after.status.clone()) },
            plan_id: if before.plan == after.plan {
                NotSet
            } else {
                Set(plan_id(txn, after.plan.as_deref()).await?)
            },
            updated_at: Set(at),
            ..Default::default()
        };
        // One that hands the row back would name every column, and trip over what sqlx cannot read.
        let update =
            tenants::Entity::update_many().set(tenant).filter(tenants::Column::Id.eq(id.uuid()));
        update.exec(&txn.inner).await?;
    }
    if before.plan != after.plan {
        kept::forget(txn, id).await?;
    }
    for row in &after.subscriptions {
        match before.subscriptions.iter().find(|other| other.id.is_some() && other.id == row.id) {
            Some(same) if same == row => {}
            Some(other) => update(txn, other, row, at).await?,
            None => insert(txn, id, row, at).await?,
        }
    }
    Ok(())
}

async fn update(
    txn: &Transaction,
    before: &Terms,
    after: &Terms,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(id) = after.id else { return Ok(()) };
    macro_rules! differing {
        ($field:ident, $value:expr) => {
            if before.$field == after.$field { NotSet } else { Set($value) }
        };
    }
    let row = tenant_subscriptions::ActiveModel {
        plan_id: differing!(plan, plan_id(txn, after.plan.as_deref()).await?),
        status: differing!(status, Some(after.status.clone())),
        billing_cycle: differing!(billing_cycle, after.billing_cycle.clone()),
        price_paid: differing!(price_paid, after.price_paid.map(decimal)),
        starts_at: differing!(starts_at, after.starts_at),
        expires_at: differing!(expires_at, after.expires_at),
        is_trial: differing!(is_trial, Some(after.is_trial)),
        trial_ends_at: differing!(trial_ends_at, after.trial_ends_at),
        auto_renew: differing!(auto_renew, Some(after.auto_renew)),
        updated_at: Set(at),
        ..Default::default()
    };
    let update = tenant_subscriptions::Entity::update_many()
        .set(row)
        .filter(tenant_subscriptions::Column::Id.eq(id));
    update.exec(&txn.inner).await?;
    Ok(())
}

async fn insert(
    txn: &Transaction,
    tenant: TenantId,
    terms: &Terms,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let kind = if terms.plan.is_some() { "plan" } else { "module" };
    let row = tenant_subscriptions::ActiveModel {
        id: Set(Uuid::new_v4()),
        tenant_id: Set(Some(tenant.uuid())),
        module_id: Set(Some(module_id(txn, &terms.module).await?)),
        plan_id: Set(plan_id(txn, terms.plan.as_deref()).await?),
        status: Set(Some(terms.status.clone())),
        subscription_type: Set(Some(kind.into())),
        billing_cycle: Set(terms.billing_cycle.clone()),
        price_paid: Set(terms.price_paid.map(decimal)),
        starts_at: Set(terms.starts_at),
        expires_at: Set(terms.expires_at),
        is_trial: Set(Some(terms.is_trial)),
        trial_ends_at: Set(terms.trial_ends_at),
        auto_renew: Set(Some(terms.auto_renew)),
        settings: Set(Some(json!({}))),
        created_at: Set(at),
        updated_at: Set(at),
    };
    tenant_subscriptions::Entity::insert(row).exec_without_returning(&txn.inner).await?;
    Ok(())
}

pub(in crate::store) fn decimal(money: Money) -> Decimal {
    Decimal::new(money.hundredths(), 2)
}

/// A plan's id by its slug. It was read in this transaction, while nobody could change the
/// catalogue.
pub(in crate::store) async fn plan_id(
    database: &impl Ask,
    slug: Option<&str>,
) -> Result<Option<Uuid>, StoreError> {
    let Some(slug) = slug else { return Ok(None) };
    let select = plans::Entity::find()
        .select_only()
        .column(plans::Column::Id)
        .filter(plans::Column::Slug.eq(slug));
    id_of(database, select, slug).await.map(Some)
}

pub(in crate::store) async fn module_id(
    database: &impl Ask,
    code: &ModuleCode,
) -> Result<Uuid, StoreError> {
    let code = code.as_str();
    let select = modules::Entity::find()
        .select_only()
        .column(modules::Column::Id)
        .filter(modules::Column::Code.eq(code));
    id_of(database, select, code).await
}

async fn id_of(
    database: &impl Ask,
    select: impl QueryTrait,
    name: &str,
) -> Result<Uuid, StoreError> {
    let rows = database.select(select).await?;
    let Some(row) = rows.first() else {
        // Somebody has removed it by hand, past the lock.
        return Err(sea_orm::DbErr::RecordNotFound(format!(
            "{name:?}, which was there a moment ago"
        ))
        .into());
    };
    Ok(row.try_get("", "id")?)
}
