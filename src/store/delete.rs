//! Deleting a tenant for good: its rows and its schema are deleted together, or not at all.

use sea_orm::{
    ColumnTrait, EntityTrait, IntoSimpleExpr, QueryFilter, QuerySelect,
    sea_query::{ExprTrait, Func, SimpleExpr},
};
use serde_json::json;

use super::{
    Mutated, MutationError, Store, StoreError, TenantKey,
    ask::Ask,
    entitlements::Found,
    entity::{billing_history, feature_flags, tenant_subscriptions, tenants, usage_metrics},
    kept,
    mutate::Request,
    offers, ownership,
    provision::{STATEMENT_TIMEOUT, quoted},
    record::{self, Entry},
    request_json, row,
    summary_json::summary_to_json,
    transaction::Transaction,
    usage,
};
use crate::domain::{Author, Entitlements, Summary, TenantId, TenantStatus, Violation};

const DELETE: &str = "DeleteTenant";

/// The tenant to delete, and safeguards.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// The tenant to delete.
    pub key: TenantKey,
    /// Its name, repeated as a safeguard against deleting the wrong tenant.
    pub name: String,
    /// Delete despite unpaid invoices?
    pub force: bool,
    /// Keep its schema?
    pub keep_schema: bool,
}

impl Store {
    /// Deletes a cancelled tenant. A request that was already done, by its id, gets its first
    /// answer.
    pub async fn delete_tenant(
        &self,
        deletion: &Deletion,
        author: &Author,
    ) -> Result<Mutated, MutationError> {
        let Deletion { key, name, force, keep_schema } = deletion;
        let mut request = json!({
            "tenant": request_json::key_to_json(key),
            "name": name,
            "force": force,
            "reason": author.why.as_ref().map(ToString::to_string),
        });
        // Only recorded if set: a request from before this option existed counts as identical.
        if *keep_schema {
            request["keep_schema"] = true.into();
        }
        let txn = match self.begin(author, DELETE, &request).await? {
            Request::New(txn) => txn,
            Request::Replayed(event) => return self.answer_again(&event).await,
        };
        self.rely_on_catalogue(&txn).await?;
        let (locked, entitlements) = self.read_entitlements(&txn, key).await?;
        let violations = violations(&txn, deletion, &locked, &entitlements).await?;
        if !violations.is_empty() {
            return Err(MutationError::Refused(violations));
        }
        let offers = offers::read_all(&txn, &self.context).await?;
        let (before, after) = (entitlements.summary(&offers, author.at), Summary::default());
        if !keep_schema {
            drop_schema(&txn, &locked).await?;
        }
        delete(&txn, &locked).await?;
        let entry = Entry {
            author,
            action: DELETE,
            tenant: Some(locked.id),
            subject: &locked.subdomain,
            request,
            before: Some(summary_to_json(&before)),
            after: None,
        };
        record::add(&txn, entry).await?;
        txn.commit().await?;
        let revision = self.revision(locked.id, author.at).await?;
        Ok(Mutated { tenant: locked.id, before, after, revision })
    }
}

/// Everything that prevents deleting a tenant.
async fn violations(
    database: &impl Ask,
    deletion: &Deletion,
    locked: &Found,
    entitlements: &Entitlements,
) -> Result<Vec<Violation>, StoreError> {
    let mut violations = Vec::new();
    if entitlements.tenant_status() != TenantStatus::Cancelled {
        violations.push(Violation::NotCancelled(entitlements.status.clone()));
    }
    if locked.name != deletion.name {
        violations.push(Violation::OtherName);
    }
    let unpaid = unpaid_invoices(database, locked.id).await?;
    if unpaid > 0 && !deletion.force {
        violations.push(Violation::UnpaidInvoices(unpaid));
    }
    if !deletion.keep_schema {
        violations.extend(ownership::may_be_dropped(database, locked).await?.err());
    }
    Ok(violations)
}

/// Invoices that are neither paid nor cancelled.
async fn unpaid_invoices(database: &impl Ask, tenant: TenantId) -> Result<u64, StoreError> {
    use billing_history::Column as B;
    let word = Func::lower(Func::cust("trim").arg(B::Status.into_simple_expr()));
    // An unknown status, or none, may well be owed.
    let word = Func::coalesce([SimpleExpr::from(word), SimpleExpr::val("")]);
    let unpaid = billing_history::Entity::find()
        .select_only()
        .column_as(B::Id.count(), "unpaid")
        .filter(B::TenantId.eq(tenant.uuid()))
        .filter(SimpleExpr::from(word).is_not_in(["paid", "cancelled"]));
    let unpaid: i64 = row::first(&database.select(unpaid).await?)?.try_get("", "unpaid")?;
    Ok(unpaid.cast_unsigned())
}

async fn drop_schema(txn: &Transaction, locked: &Found) -> Result<(), StoreError> {
    if !txn.dialect().has_schemas() {
        return Ok(());
    }
    let schema = quoted(&locked.schema());
    let drop = format!(
        "SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'; DROP SCHEMA IF EXISTS {schema} CASCADE"
    );
    txn.execute(&drop).await
}

/// If the keys cascade, the database does this; in existing databases they need not.
async fn delete(txn: &Transaction, locked: &Found) -> Result<(), StoreError> {
    let id = locked.id.uuid();
    let db = &txn.inner;
    usage_metrics::Entity::delete_many()
        .filter(usage_metrics::Column::TenantId.eq(id))
        .exec(db)
        .await?;
    billing_history::Entity::delete_many()
        .filter(billing_history::Column::TenantId.eq(id))
        .exec(db)
        .await?;
    feature_flags::Entity::delete_many()
        .filter(feature_flags::Column::TenantId.eq(id))
        .exec(db)
        .await?;
    tenant_subscriptions::Entity::delete_many()
        .filter(tenant_subscriptions::Column::TenantId.eq(id))
        .exec(db)
        .await?;
    for table in ["entitlement_limit_overrides", "entitlement_time_zones"] {
        let sql = format!("DELETE FROM {table} WHERE tenant_id = $1");
        txn.execute_with(sql, [id.into()]).await?;
    }
    kept::forget(txn, locked.id).await?;
    usage::forget_tenant(txn, locked.id).await?;
    tenants::Entity::delete_many().filter(tenants::Column::Id.eq(id)).exec(db).await?;
    Ok(())
}
