//! GetTenant: a tenant as the database has it, and its resulting rights.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::AdminApi;
use crate::{
    service::admin::error::AdminError,
    store::{Evidence, Reading, TenantKey},
};

/// A tenant's rows, and the instant at which they are judged.
#[derive(Debug)]
pub(in crate::service) struct TenantRecord {
    pub(in crate::service) at: DateTime<Utc>,
    pub(in crate::service) revision: u64,
    pub(in crate::service) evidence: Evidence,
}

impl AdminApi {
    pub(in crate::service) async fn tenant(
        &self,
        key: TenantKey,
    ) -> Result<TenantRecord, AdminError> {
        let (store, at) = (Arc::clone(&self.api.store), self.api.clock.now());
        let read = self.limiter.read(async move { store.read(&key, at).await }).await;
        let Reading { revision, evidence } = read?;
        let evidence = evidence.ok_or(AdminError::TenantNotFound)?;
        Ok(TenantRecord { at, revision, evidence })
    }
}
