//! UpsertModule and UpsertPlan.

use std::sync::Arc;

use tonic::Status;

use super::AdminApi;
use crate::domain::{Actor, ActorName, Author, ModuleOffer, ModuleUpsert, PlanOffer, PlanUpsert, RequestId, Why};

/// What is to be in the catalogue.
#[derive(Debug)]
pub(in crate::service) struct UpsertQuery<T> {
    pub(in crate::service) upsert: T,
    pub(in crate::service) why: Option<Why>,
    pub(in crate::service) request_id: Option<RequestId>,
}

impl AdminApi {
    pub(super) async fn upsert_module(
        &self,
        actor: ActorName,
        query: UpsertQuery<ModuleUpsert>,
    ) -> Result<ModuleOffer, Status> {
        let UpsertQuery { upsert, why, request_id } = query;
        let author = Author { actor: Actor::Token(actor), at: self.api.clock.now(), why, request_id };
        let store = Arc::clone(&self.api.store);
        self.writers.change(Box::pin(async move { store.upsert_module(&upsert, &author).await })).await
    }

    pub(super) async fn upsert_plan(
        &self,
        actor: ActorName,
        query: UpsertQuery<PlanUpsert>,
    ) -> Result<PlanOffer, Status> {
        let UpsertQuery { upsert, why, request_id } = query;
        let author = Author { actor: Actor::Token(actor), at: self.api.clock.now(), why, request_id };
        let store = Arc::clone(&self.api.store);
        self.writers.change(Box::pin(async move { store.upsert_plan(&upsert, &author).await })).await
    }
}
