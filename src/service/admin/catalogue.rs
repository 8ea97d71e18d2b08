//! ListModules and ListPlans.

use std::sync::Arc;

use tonic::Status;

use super::AdminApi;
use crate::{
    domain::{ModuleOffer, PlanOffer},
    service::status,
};

impl AdminApi {
    pub(super) async fn modules(&self, on_sale_only: bool) -> Result<Vec<ModuleOffer>, Status> {
        let store = Arc::clone(&self.api.store);
        let read = self.api.cache.past(async move { store.module_offers().await }).await;
        let mut modules = read.map_err(status::store)?;
        modules.retain(|offer| offer.module.is_active || !on_sale_only);
        Ok(modules)
    }

    pub(super) async fn plans(&self, on_sale_only: bool) -> Result<Vec<PlanOffer>, Status> {
        let store = Arc::clone(&self.api.store);
        let read = self.api.cache.past(async move { store.plan_offers().await }).await;
        let mut plans = read.map_err(status::store)?;
        plans.retain(|offer| offer.plan.is_active || !on_sale_only);
        Ok(plans)
    }
}
