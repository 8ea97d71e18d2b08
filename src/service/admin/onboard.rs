//! OnboardTenant, RetryProvisioning and DeleteTenant: what makes and drops schemas.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::Value as Json;
use tonic::Status;

use super::AdminApi;
use crate::{
    domain::{
        Actor, ActorName, Author, BillingCycle, ModuleCode, Onboarding, RequestId, Subdomain, SubdomainRefusal,
        TenantName, Why,
    },
    service::status,
    store::{Deletion, Mutated, Newcomer, Provisioned, TenantKey},
};

/// Who is to come.
#[derive(Debug)]
pub(in crate::service) struct OnboardQuery {
    pub(in crate::service) name: TenantName,
    pub(in crate::service) subdomain: Subdomain,
    pub(in crate::service) plan: Option<String>,
    pub(in crate::service) modules: Vec<ModuleCode>,
    pub(in crate::service) billing_cycle: Option<BillingCycle>,
    pub(in crate::service) trial_days: u32,
    pub(in crate::service) settings: Json,
    pub(in crate::service) why: Option<Why>,
    pub(in crate::service) request_id: Option<RequestId>,
}

/// Whose schema is to be made.
#[derive(Debug)]
pub(in crate::service) struct ProvisionQuery {
    pub(in crate::service) key: TenantKey,
    pub(in crate::service) why: Option<Why>,
    pub(in crate::service) request_id: Option<RequestId>,
}

/// Who is to go.
#[derive(Debug)]
pub(in crate::service) struct DeleteQuery {
    pub(in crate::service) deletion: Deletion,
    pub(in crate::service) why: Option<Why>,
    pub(in crate::service) request_id: Option<RequestId>,
}

impl AdminApi {
    pub(super) async fn delete(&self, actor: ActorName, query: DeleteQuery) -> Result<Mutated, Status> {
        let DeleteQuery { deletion, why, request_id } = query;
        let author = Author { actor: Actor::Token(actor), at: self.api.clock.now(), why, request_id };
        let store = Arc::clone(&self.api.store);
        self.writers.set_up(Box::pin(async move { store.delete_tenant(&deletion, &author).await })).await
    }

    pub(super) async fn onboard(&self, actor: ActorName, query: OnboardQuery) -> Result<Provisioned, Status> {
        let OnboardQuery { name, subdomain, plan, modules, billing_cycle, trial_days, settings, why, request_id } =
            query;
        if self.is_reserved(subdomain.as_str()) {
            return Err(status::subdomain_refused(SubdomainRefusal::Reserved));
        }
        let at = self.api.clock.now();
        let trial_ends_at = (trial_days > 0).then(|| at + TimeDelta::days(i64::from(trial_days)));
        let onboarding = Onboarding { plan, modules, billing_cycle, trial_ends_at };
        let newcomer = Newcomer { name, subdomain, onboarding, trial_days, settings };
        let author = Author { actor: Actor::Token(actor), at, why, request_id };
        let store = Arc::clone(&self.api.store);
        self.writers.set_up(Box::pin(async move { store.bring_in(&newcomer, &author).await })).await
    }

    pub(super) async fn provision(&self, actor: ActorName, query: ProvisionQuery) -> Result<Provisioned, Status> {
        let ProvisionQuery { key, why, request_id } = query;
        let author = Author { actor: Actor::Token(actor), at: self.api.clock.now(), why, request_id };
        let store = Arc::clone(&self.api.store);
        self.writers.set_up(Box::pin(async move { store.provision(&key, &author).await })).await
    }
}
