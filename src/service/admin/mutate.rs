//! SetTenantStatus, EnableModules, DisableModules, ChangePlan and PreviewChange: one path, whatever is changed.

use std::sync::Arc;

use tonic::Status;

use super::AdminApi;
use crate::{
    domain::{Actor, ActorName, Author, Mutation, RequestId, Why},
    store::{Mutated, TenantKey},
};

/// What is asked for.
#[derive(Debug)]
pub(in crate::service) struct MutationQuery {
    pub(in crate::service) key: TenantKey,
    pub(in crate::service) mutation: Mutation,
    pub(in crate::service) why: Option<Why>,
    pub(in crate::service) request_id: Option<RequestId>,
}

impl AdminApi {
    pub(super) async fn mutate(&self, actor: ActorName, query: MutationQuery) -> Result<Mutated, Status> {
        let MutationQuery { key, mutation, why, request_id } = query;
        let author = Author { actor: Actor::Token(actor), at: self.api.clock.now(), why, request_id };
        let store = Arc::clone(&self.api.store);
        self.writers.change(Box::pin(async move { store.mutate(&key, &mutation, &author).await })).await
    }

    pub(super) async fn preview(&self, query: MutationQuery) -> Result<Mutated, Status> {
        let MutationQuery { key, mutation, .. } = query;
        let (store, at) = (Arc::clone(&self.api.store), self.api.clock.now());
        self.writers.change(Box::pin(async move { store.preview(&key, &mutation, at).await })).await
    }
}
