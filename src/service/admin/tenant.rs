//! GetTenant: a tenant as the database has it, and its resulting rights.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::AdminApi;
use crate::{
    domain::calendar::ZoneStanding,
    service::admin::error::AdminError,
    store::{Overview, TenantKey},
};

/// A tenant, and the instant at which it is judged.
#[derive(Debug)]
pub(in crate::service) struct TenantRecord {
    pub(in crate::service) at: DateTime<Utc>,
    /// In which time zone its months are.
    pub(in crate::service) zone: ZoneStanding,
    pub(in crate::service) overview: Overview,
}

impl AdminApi {
    pub(in crate::service) async fn tenant(
        &self,
        key: TenantKey,
    ) -> Result<TenantRecord, AdminError> {
        let (store, at) = (Arc::clone(&self.core.store), self.core.api.clock.now());
        let read = self.limiter.read(async move { store.overview(&key, at).await }).await;
        let overview = read?.ok_or(AdminError::TenantNotFound)?;
        let zone = overview.evidence.facts.tenant.zones(self.core.api.zone).standing(at);
        Ok(TenantRecord { at, zone, overview })
    }
}
