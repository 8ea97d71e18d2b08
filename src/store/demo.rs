//! Two tenants for the demo.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ActiveValue::Set, EntityTrait, prelude::Uuid};
use serde_json::json;

use super::{
    Store, StoreError, entitlements,
    entity::{tenant_subscriptions, tenants},
    transaction::Transaction,
};
use crate::domain::{ModuleCode, SubscriptionStatus, TenantStatus, subdomain::database_schema};

/// A tenant of the demo.
struct DemoTenant {
    id: Uuid,
    name: &'static str,
    subdomain: &'static str,
    plan: Option<&'static str>,
}

/// The terms of a demo subscription.
struct DemoRight {
    module: &'static str,
    starts_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    trial_ends_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Inserts the demo's tenants: `testcompany`, which has the starter plan, and `lapsed`, whose
    /// three subscriptions have expired, have yet to start, and were a trial.
    pub async fn insert_demo(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let txn = self.writing.begin_writing().await?;
        let year = TimeDelta::days(365);
        let month = TimeDelta::days(30);
        let right = |module, starts_at| DemoRight {
            module,
            starts_at,
            expires_at: None,
            trial_ends_at: None,
        };

        let test = DemoTenant {
            id: id(1),
            name: "Test Company",
            subdomain: "testcompany",
            plan: Some("starter"),
        };
        let rights = ["system_admin", "oms_fulfillment", "d2c_storefront"]
            .map(|module| right(module, now - month));
        insert_tenant(&txn, test, rights, now).await?;

        let lapsed = DemoTenant { id: id(2), name: "Lapsed Ltd", subdomain: "lapsed", plan: None };
        let rights = [
            DemoRight { expires_at: Some(now - month), ..right("finance", now - year) },
            right("hrms", now + month),
            DemoRight { trial_ends_at: Some(now - month), ..right("procurement", now - year) },
        ];
        insert_tenant(&txn, lapsed, rights, now).await?;
        txn.commit().await
    }
}

async fn insert_tenant(
    txn: &Transaction,
    tenant: DemoTenant,
    rights: [DemoRight; 3],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = tenants::ActiveModel {
        id: Set(tenant.id),
        name: Set(tenant.name.into()),
        subdomain: Set(tenant.subdomain.into()),
        database_schema: Set(database_schema(tenant.subdomain)),
        status: Set(TenantStatus::Active.word().into()),
        plan_id: Set(entitlements::plan_id(txn, tenant.plan).await?),
        onboarded_at: Set(now),
        settings: Set(json!({})),
        created_at: Set(now),
        updated_at: Set(now),
        ..Default::default()
    };
    tenants::Entity::insert(row).exec_without_returning(&txn.inner).await?;
    for right in rights {
        insert_right(txn, tenant.id, right, now).await?;
    }
    Ok(())
}

async fn insert_right(
    txn: &Transaction,
    tenant: Uuid,
    right: DemoRight,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = tenant_subscriptions::ActiveModel {
        id: Set(Uuid::new_v4()),
        tenant_id: Set(Some(tenant)),
        module_id: Set(Some(entitlements::module_id(txn, &ModuleCode::new(right.module)).await?)),
        status: Set(Some(SubscriptionStatus::Active.word().into())),
        starts_at: Set(Some(right.starts_at)),
        expires_at: Set(right.expires_at),
        is_trial: Set(Some(right.trial_ends_at.is_some())),
        trial_ends_at: Set(right.trial_ends_at),
        created_at: Set(now),
        updated_at: Set(now),
        ..Default::default()
    };
    tenant_subscriptions::Entity::insert(row).exec_without_returning(&txn.inner).await?;
    Ok(())
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000 + number)
}
