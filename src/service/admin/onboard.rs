//! OnboardTenant, RetryProvisioning and DeleteTenant: what makes and drops schemas.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use serde_json::Value as Json;
use tokio::{runtime::Handle, sync::Semaphore, task::JoinSet};
use tonic::Status;

use super::AdminApi;
use crate::{
    domain::{
        Actor, ActorName, Author, BillingCycle, ModuleCode, Onboarding, RequestId, Subdomain, SubdomainRefusal,
        TenantName, Why,
    },
    service::status,
    store::{Deletion, Mutated, MutationError, Newcomer, Provisioned, StoreError, TenantKey},
};

/// A schema is made within this time, or not at all.
pub(super) const PROVISIONING_TIMEOUT: Duration = Duration::from_mins(5);

/// Schemas that are made at the same time: each takes a connection for as long.
const MOST_SETUPS: usize = 2;

/// Where schemas are made.
#[derive(Clone, Debug)]
pub struct Setup {
    turns: Arc<Semaphore>,
    runtime: Handle,
}

impl Setup {
    /// They are made on this runtime, a few at a time.
    pub fn on(runtime: Handle) -> Self {
        Self { turns: Arc::new(Semaphore::new(MOST_SETUPS)), runtime }
    }
}

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
        self.in_the_background(async move { store.delete_tenant(&deletion, &author).await }).await
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
        self.in_the_background(async move { store.bring_in(&newcomer, &author).await }).await
    }

    pub(super) async fn provision(&self, actor: ActorName, query: ProvisionQuery) -> Result<Provisioned, Status> {
        let ProvisionQuery { key, why, request_id } = query;
        let author = Author { actor: Actor::Token(actor), at: self.api.clock.now(), why, request_id };
        let store = Arc::clone(&self.api.store);
        self.in_the_background(async move { store.provision(&key, &author).await }).await
    }

    /// Runs it where the database's connections are, for as long as it may take; whoever gives up waiting ends it.
    async fn in_the_background<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, MutationError>> + Send + 'static,
    ) -> Result<T, Status> {
        // The semaphore is never closed.
        let _turn = self.setup.turns.acquire().await.map_err(|_| status::store(StoreError::Abandoned))?;
        let mut task = JoinSet::new();
        task.spawn_on(tokio::time::timeout(PROVISIONING_TIMEOUT, Box::pin(work)), &self.setup.runtime);
        let done = task.join_next().await.and_then(Result::ok);
        match done {
            Some(Ok(done)) => done.map_err(status::mutation),
            Some(Err(_)) => Err(status::mutation(StoreError::TimedOut.into())),
            None => Err(status::mutation(StoreError::Abandoned.into())),
        }
    }
}
