//! Where the cache loads from.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Upstream;
use crate::{
    domain::Catalogue,
    store::{LoadTenant, Loaded, Read, Source, Store, StoreError, TenantKey},
};

/// Where the cache loads from. Nothing above it knows which it is.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The database.
    Store(Arc<Store>),
    /// Another instance.
    Upstream(Arc<Upstream>),
}

impl LoadTenant for Origin {
    async fn load_tenants(
        &self,
        keys: &[TenantKey],
        source: Source,
        now: DateTime<Utc>,
    ) -> Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError> {
        match self {
            Self::Store(store) => store.load_tenants(keys, source, now).await,
            Self::Upstream(upstream) => upstream.load_tenants(keys, source, now).await,
        }
    }

    async fn load_keys(&self) -> Result<Read<Vec<TenantKey>>, StoreError> {
        match self {
            Self::Store(store) => store.load_keys().await,
            Self::Upstream(upstream) => upstream.load_keys().await,
        }
    }

    fn loads_at_once(&self) -> usize {
        match self {
            Self::Store(store) => store.loads_at_once(),
            Self::Upstream(upstream) => upstream.loads_at_once(),
        }
    }

    async fn load_catalogue(&self, now: DateTime<Utc>) -> Result<Read<Catalogue>, StoreError> {
        match self {
            Self::Store(store) => store.load_catalogue(now).await,
            Self::Upstream(upstream) => upstream.load_catalogue(now).await,
        }
    }
}
