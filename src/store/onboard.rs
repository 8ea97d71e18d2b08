//! New tenants: first the row with its subscriptions, and then the schema.

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd_migration::locks;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    EntityTrait, SqlErr,
    prelude::{Json, Uuid},
};

use super::{
    Mutated, MutationError, Store, StoreError, TenantKey, entitlements,
    entity::tenants,
    mutate::{Done, Request, lock_alone},
    offers,
    provision::Provisioned,
    record::{self, Entry},
    request_json, subdomain,
    transaction::Transaction,
};
use crate::domain::{
    Author, BillingCycle, Entitlements, ModuleCode, Mutation, Onboarding, Subdomain,
    SubdomainRefusal, Summary, TenantId, TenantName, TenantStatus,
};

/// A tenant to be created.
#[derive(Clone, Debug)]
pub struct NewTenant {
    /// Its name, to be shown.
    pub name: TenantName,
    /// Its label under a base domain, from which its schema's name is derived.
    pub subdomain: Subdomain,
    /// A plan, by its slug, with its modules.
    pub plan: Option<String>,
    /// Modules without a plan.
    pub modules: Vec<ModuleCode>,
    /// The billing cycle of the prices; `None`: monthly.
    pub billing_cycle: Option<BillingCycle>,
    /// All modules are on trial for this number of days; 0: no trial.
    pub trial_days: u32,
    /// `tenants.settings`: an object.
    pub settings: Json,
}

impl NewTenant {
    /// Its first modules, if it starts now.
    fn onboarding(&self, at: DateTime<Utc>) -> Onboarding {
        let Self { plan, modules, billing_cycle, trial_days, .. } = self;
        let trial_ends_at = (*trial_days > 0).then(|| at + TimeDelta::days(i64::from(*trial_days)));
        Onboarding {
            plan: plan.clone(),
            modules: modules.clone(),
            billing_cycle: *billing_cycle,
            trial_ends_at,
        }
    }
}

impl Store {
    /// Adds a tenant, and then makes its schema. A request that was already begun, by its id,
    /// continues where it was.
    pub async fn onboard_and_provision(
        &self,
        new_tenant: &NewTenant,
        author: &Author,
    ) -> Result<Provisioned, MutationError> {
        let mut added = self.onboard(new_tenant, author).await?;
        let key = TenantKey::Id(added.tenant);
        let now = self.read(&key, author.at).await?;
        let status = now.evidence.map(|evidence| evidence.facts.status());
        if !matches!(status, Some(TenantStatus::PendingSetup | TenantStatus::Failed)) {
            // It was done before; this is how it ended, whatever has become of the tenant since.
            TenantStatus::Active.word().clone_into(&mut added.after.status);
            let schema = self.schema_of(&key, author.at).await?;
            return Ok(Provisioned { mutated: added, schema, files: Vec::new() });
        }
        // The request id belongs to the first step.
        let provisioned =
            self.provision(&key, &Author { request_id: None, ..author.clone() }).await?;
        let mutated = Mutated { before: added.before, ..provisioned.mutated };
        Ok(Provisioned { mutated, ..provisioned })
    }

    /// Adds a tenant that waits for its schema, with its subscriptions. A request that was already
    /// done, by its id, gets its first answer.
    pub async fn onboard(
        &self,
        new_tenant: &NewTenant,
        author: &Author,
    ) -> Result<Mutated, MutationError> {
        let request = request_of(new_tenant, author);
        let txn = match self.begin(author, request_json::ONBOARD, &request).await? {
            Request::New(txn) => txn,
            Request::Replayed(event) => return self.answer_again(&event).await,
        };
        lock_alone(&txn, locks::DIRECTORY).await?;
        subdomain::check(&txn, &new_tenant.subdomain).await?.map_err(MutationError::Subdomain)?;
        let done = self.add_tenant(&txn, new_tenant, author.at).await?;
        let entry =
            Entry { before: None, ..done.entry(author, request_json::ONBOARD, request, &[]) };
        record::add(&txn, entry).await?;
        txn.commit().await?;
        self.mutated(done, author.at).await
    }

    async fn add_tenant(
        &self,
        txn: &Transaction,
        new_tenant: &NewTenant,
        at: DateTime<Utc>,
    ) -> Result<Done, MutationError> {
        self.rely_on_catalogue(txn).await?;
        let offers = offers::read_all(txn, &self.context).await?;
        let nothing = Entitlements {
            status: TenantStatus::PendingSetup.word().into(),
            plan: None,
            subscriptions: Vec::new(),
        };
        let onboarding = new_tenant.onboarding(at);
        let trial_ends_at = onboarding.trial_ends_at;
        let after = Mutation::Onboard(onboarding)
            .apply(&nothing, &offers, at)
            .map_err(MutationError::Refused)?;
        let tenant = TenantId::from(Uuid::new_v4());
        insert(txn, tenant, new_tenant, trial_ends_at, at).await?;
        entitlements::write(txn, tenant, &nothing, &after, at).await?;
        Ok(Done {
            tenant,
            subdomain: new_tenant.subdomain.as_str().to_owned(),
            before: Summary::default(),
            after: after.summary(&offers, at),
            // There is no schema yet.
            held: Vec::new(),
        })
    }
}

async fn insert(
    txn: &Transaction,
    id: TenantId,
    new_tenant: &NewTenant,
    trial_ends_at: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
) -> Result<(), MutationError> {
    let row = tenants::ActiveModel {
        id: Set(id.uuid()),
        name: Set(new_tenant.name.to_string()),
        subdomain: Set(new_tenant.subdomain.as_str().to_owned()),
        database_schema: Set(new_tenant.subdomain.database_schema()),
        status: Set(TenantStatus::PendingSetup.word().into()),
        plan_id: NotSet,
        trial_ends_at: Set(trial_ends_at),
        onboarded_at: Set(at),
        settings: Set(new_tenant.settings.clone()),
        created_at: Set(at),
        updated_at: Set(at),
    };
    match tenants::Entity::insert(row).exec_without_returning(&txn.inner).await {
        Ok(_) => Ok(()),
        // The ERP was quicker: it does not use our lock.
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
            Err(MutationError::Subdomain(SubdomainRefusal::Taken))
        }
        Err(error) => Err(StoreError::from(error).into()),
    }
}

fn request_of(new_tenant: &NewTenant, author: &Author) -> Json {
    let NewTenant { name, subdomain, trial_days, settings, .. } = new_tenant;
    let mut request =
        request_json::request_of(&Mutation::Onboard(new_tenant.onboarding(author.at)), author);
    request["name"] = name.to_string().into();
    request["subdomain"] = subdomain.as_str().into();
    request["trial_days"] = (*trial_days).into();
    request["settings"] = settings.clone();
    request
}
