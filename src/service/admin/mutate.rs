//! SetTenantStatus, EnableModules, DisableModules, ChangePlan and PreviewChange: one path for every
//! kind of change.

use std::sync::Arc;

use super::{AdminApi, Purpose};
use crate::{
    domain::{ActorName, Mutation},
    service::admin::error::AdminError,
    store::{Mutated, TenantKey},
};

/// A requested change.
#[derive(Debug)]
pub(in crate::service) struct MutationQuery {
    pub(in crate::service) key: TenantKey,
    pub(in crate::service) mutation: Mutation,
    pub(in crate::service) purpose: Purpose,
}

impl AdminApi {
    pub(in crate::service) async fn mutate(
        &self,
        actor: ActorName,
        query: MutationQuery,
    ) -> Result<Mutated, AdminError> {
        let MutationQuery { key, mutation, purpose } = query;
        let (store, author) = (Arc::clone(&self.core.store), self.author(actor, purpose));
        self.limiter
            .change(Box::pin(async move { store.mutate(&key, &mutation, &author).await }))
            .await
    }

    pub(in crate::service) async fn preview(
        &self,
        query: MutationQuery,
    ) -> Result<Mutated, AdminError> {
        let MutationQuery { key, mutation, .. } = query;
        let (store, at) = (Arc::clone(&self.core.store), self.core.api.clock.now());
        self.limiter.change(Box::pin(async move { store.preview(&key, &mutation, at).await })).await
    }
}
