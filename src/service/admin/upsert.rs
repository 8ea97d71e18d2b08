//! UpsertModule and UpsertPlan.

use std::sync::Arc;

use super::{AdminApi, Purpose};
use crate::{
    domain::{ActorName, ModuleOffer, ModuleUpsert, PlanOffer, PlanUpsert},
    service::admin::error::AdminError,
};

/// The requested state of a module or plan.
#[derive(Debug)]
pub(in crate::service) struct UpsertQuery<T> {
    pub(in crate::service) upsert: T,
    pub(in crate::service) purpose: Purpose,
}

impl AdminApi {
    pub(in crate::service) async fn upsert_module(
        &self,
        actor: ActorName,
        query: UpsertQuery<ModuleUpsert>,
    ) -> Result<ModuleOffer, AdminError> {
        let UpsertQuery { upsert, purpose } = query;
        let (store, author) = (Arc::clone(&self.core.store), self.author(actor, purpose));
        self.limiter
            .change(Box::pin(async move { store.upsert_module(&upsert, &author).await }))
            .await
    }

    pub(in crate::service) async fn upsert_plan(
        &self,
        actor: ActorName,
        query: UpsertQuery<PlanUpsert>,
    ) -> Result<PlanOffer, AdminError> {
        let UpsertQuery { upsert, purpose } = query;
        let (store, author) = (Arc::clone(&self.core.store), self.author(actor, purpose));
        self.limiter
            .change(Box::pin(async move { store.upsert_plan(&upsert, &author).await }))
            .await
    }
}
