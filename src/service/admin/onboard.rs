//! OnboardTenant, RetryProvisioning and DeleteTenant: the methods that make and drop schemas.

use std::sync::Arc;

use super::{AdminApi, Purpose};
use crate::{
    domain::{ActorName, SubdomainRefusal},
    service::admin::error::AdminError,
    store::{Deletion, Mutated, NewTenant, Provisioned, TenantKey},
};

/// A tenant to onboard.
#[derive(Debug)]
pub(in crate::service) struct OnboardQuery {
    pub(in crate::service) new_tenant: NewTenant,
    pub(in crate::service) purpose: Purpose,
}

/// A tenant whose schema is to be made.
#[derive(Debug)]
pub(in crate::service) struct ProvisionQuery {
    pub(in crate::service) key: TenantKey,
    pub(in crate::service) purpose: Purpose,
}

/// A tenant to delete.
#[derive(Debug)]
pub(in crate::service) struct DeleteQuery {
    pub(in crate::service) deletion: Deletion,
    pub(in crate::service) purpose: Purpose,
}

impl AdminApi {
    pub(in crate::service) async fn delete(
        &self,
        actor: ActorName,
        query: DeleteQuery,
    ) -> Result<Mutated, AdminError> {
        let DeleteQuery { deletion, purpose } = query;
        let (store, author) = (Arc::clone(&self.core.store), self.author(actor, purpose));
        self.limiter
            .set_up(Box::pin(async move { store.delete_tenant(&deletion, &author).await }))
            .await
    }

    pub(in crate::service) async fn onboard(
        &self,
        actor: ActorName,
        query: OnboardQuery,
    ) -> Result<Provisioned, AdminError> {
        let OnboardQuery { new_tenant, purpose } = query;
        if self.is_reserved(new_tenant.subdomain.as_str()) {
            return Err(AdminError::Subdomain(SubdomainRefusal::Reserved));
        }
        let (store, author) = (Arc::clone(&self.core.store), self.author(actor, purpose));
        self.limiter
            .set_up(Box::pin(
                async move { store.onboard_and_provision(&new_tenant, &author).await },
            ))
            .await
    }

    pub(in crate::service) async fn provision(
        &self,
        actor: ActorName,
        query: ProvisionQuery,
    ) -> Result<Provisioned, AdminError> {
        let ProvisionQuery { key, purpose } = query;
        let (store, author) = (Arc::clone(&self.core.store), self.author(actor, purpose));
        self.limiter.set_up(Box::pin(async move { store.provision(&key, &author).await })).await
    }
}
