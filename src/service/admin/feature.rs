//! FeatureAdminService: one path for every kind of change.

use std::sync::Arc;

use super::{AdminApi, Purpose};
use crate::{
    domain::{ActorName, FeatureEntry, LimitEntry},
    service::admin::error::AdminError,
    store::{FeatureChange, FeatureChanged},
};

/// A requested change of features and limits.
#[derive(Debug)]
pub(in crate::service) struct FeatureChangeQuery {
    pub(in crate::service) change: FeatureChange,
    pub(in crate::service) purpose: Purpose,
}

impl AdminApi {
    /// All features, or those of one module, by its present or a former code.
    pub(in crate::service) async fn features(
        &self,
        module: Option<String>,
    ) -> Result<Vec<FeatureEntry>, AdminError> {
        let (store, at) = (Arc::clone(&self.core.store), self.core.api.clock.now());
        self.limiter.read(async move { store.feature_entries(module.as_deref(), at).await }).await
    }

    pub(in crate::service) async fn limits(&self) -> Result<Vec<LimitEntry>, AdminError> {
        let (store, at) = (Arc::clone(&self.core.store), self.core.api.clock.now());
        self.limiter.read(async move { store.limit_entries(at).await }).await
    }

    pub(in crate::service) async fn change_features(
        &self,
        actor: ActorName,
        query: FeatureChangeQuery,
    ) -> Result<FeatureChanged, AdminError> {
        let FeatureChangeQuery { change, purpose } = query;
        let (store, author) = (Arc::clone(&self.core.store), self.author(actor, purpose));
        self.limiter
            .change(Box::pin(async move { store.change_features(&change, &author).await }))
            .await
    }

    pub(in crate::service) async fn preview_features(
        &self,
        query: FeatureChangeQuery,
    ) -> Result<FeatureChanged, AdminError> {
        let FeatureChangeQuery { change, .. } = query;
        let (store, at) = (Arc::clone(&self.core.store), self.core.api.clock.now());
        self.limiter
            .change(Box::pin(async move { store.preview_features(&change, at).await }))
            .await
    }
}
