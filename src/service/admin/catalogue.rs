//! ListModules and ListPlans.

use std::sync::Arc;

use super::AdminApi;
use crate::{
    domain::{ModuleOffer, PlanOffer},
    service::admin::error::AdminError,
};

impl AdminApi {
    pub(in crate::service) async fn modules(
        &self,
        on_sale_only: bool,
    ) -> Result<Vec<ModuleOffer>, AdminError> {
        let store = Arc::clone(&self.core.store);
        self.limiter.read(async move { store.module_offers(on_sale_only).await }).await
    }

    pub(in crate::service) async fn plans(
        &self,
        on_sale_only: bool,
    ) -> Result<Vec<PlanOffer>, AdminError> {
        let store = Arc::clone(&self.core.store);
        self.limiter.read(async move { store.plan_offers(on_sale_only).await }).await
    }
}
