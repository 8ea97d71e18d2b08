//! Two tenants to look at.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, prelude::Uuid};
use serde_json::json;

use super::{
    Store,
    entity::{modules, plans, tenant_subscriptions, tenants},
};

/// A tenant of the demo.
struct DemoTenant {
    id: Uuid,
    name: &'static str,
    subdomain: &'static str,
    plan: Option<&'static str>,
}

/// What a subscription of the demo has beside its tenant and module.
struct DemoRight {
    module: &'static str,
    starts_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    trial_ends_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Puts the demo's tenants in place: `testcompany`, which has the starter plan, and `lapsed`, whose three
    /// subscriptions have expired, have yet to start, and were a trial.
    pub async fn insert_demo(&self, now: DateTime<Utc>) -> Result<(), DbErr> {
        let year = TimeDelta::days(365);
        let month = TimeDelta::days(30);
        let right = |module, starts_at| DemoRight { module, starts_at, expires_at: None, trial_ends_at: None };

        let test = DemoTenant { id: id(1), name: "Test Company", subdomain: "testcompany", plan: Some("starter") };
        let rights = ["system_admin", "oms_fulfillment", "d2c_storefront"].map(|module| right(module, now - month));
        self.insert_demo_tenant(test, rights, now).await?;

        let lapsed = DemoTenant { id: id(2), name: "Lapsed Ltd", subdomain: "lapsed", plan: None };
        let rights = [
            DemoRight { expires_at: Some(now - month), ..right("finance", now - year) },
            right("hrms", now + month),
            DemoRight { trial_ends_at: Some(now - month), ..right("procurement", now - year) },
        ];
        self.insert_demo_tenant(lapsed, rights, now).await
    }

    async fn insert_demo_tenant(
        &self,
        tenant: DemoTenant,
        rights: [DemoRight; 3],
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let plan = match tenant.plan {
            Some(slug) => {
                plans::Entity::find().filter(plans::Column::Slug.eq(slug)).one(&self.primary.connection).await?
            }
            None => None,
        };
        let row = tenants::ActiveModel {
            id: Set(tenant.id),
            name: Set(tenant.name.into()),
            subdomain: Set(tenant.subdomain.into()),
            database_schema: Set(format!("tenant_{}", tenant.subdomain)),
            status: Set("active".into()),
            plan_id: Set(plan.map(|plan| plan.id)),
            onboarded_at: Set(now),
            settings: Set(json!({})),
            created_at: Set(now),
            updated_at: Set(now),
            ..Default::default()
        };
        row.insert(&self.primary.connection).await?;
        for right in rights {
            self.insert_demo_right(tenant.id, right, now).await?;
        }
        Ok(())
    }

    async fn insert_demo_right(&self, tenant: Uuid, right: DemoRight, now: DateTime<Utc>) -> Result<(), DbErr> {
        let module = modules::Entity::find()
            .filter(modules::Column::Code.eq(right.module))
            .one(&self.primary.connection)
            .await?;
        let module = module.ok_or_else(|| DbErr::RecordNotFound(format!("the module {}", right.module)))?;
        let row = tenant_subscriptions::ActiveModel {
            id: Set(Uuid::new_v4()),
            tenant_id: Set(Some(tenant)),
            module_id: Set(Some(module.id)),
            status: Set(Some("active".into())),
            starts_at: Set(Some(right.starts_at)),
            expires_at: Set(right.expires_at),
            is_trial: Set(Some(right.trial_ends_at.is_some())),
            trial_ends_at: Set(right.trial_ends_at),
            created_at: Set(now),
            updated_at: Set(now),
            ..Default::default()
        };
        row.insert(&self.primary.connection).await.map(|_| ())
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000 + number)
}
