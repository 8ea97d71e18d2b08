//! ListModules and ListPlans.

use std::sync::Arc;

use tonic::Status;

use super::AdminApi;
use crate::{
    domain::{ModuleOffer, PlanOffer},
    service::grpc::status,
};

impl AdminApi {
    pub(in crate::service) async fn modules(&self, on_sale_only: bool) -> Result<Vec<ModuleOffer>, Status> {
        let store = Arc::clone(&self.api.store);
        let read = self.turns.read(async move { store.module_offers(on_sale_only).await }).await;
        read.map_err(status::store)
    }

    pub(in crate::service) async fn plans(&self, on_sale_only: bool) -> Result<Vec<PlanOffer>, Status> {
        let store = Arc::clone(&self.api.store);
        let read = self.turns.read(async move { store.plan_offers(on_sale_only).await }).await;
        read.map_err(status::store)
    }
}
