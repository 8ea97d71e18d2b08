//! ListTenants.

use std::sync::Arc;

use super::AdminApi;
use crate::{
    domain::TenantId,
    service::admin::error::AdminError,
    store::{ListOfTenants, TenantFilter},
};

/// A page of tenants.
#[derive(Debug)]
pub(in crate::service) struct TenantListPage {
    pub(in crate::service) list: ListOfTenants,
    /// The last tenant of this page, if there is another page.
    pub(in crate::service) next: Option<TenantId>,
}

impl AdminApi {
    pub(in crate::service) async fn list_tenants(
        &self,
        filter: TenantFilter,
    ) -> Result<TenantListPage, AdminError> {
        let (store, now) = (Arc::clone(&self.core.store), self.core.api.clock.now());
        let size = filter.size as usize;
        // One more than requested, which shows whether there is a next page.
        let filter = TenantFilter { size: filter.size + 1, ..filter };
        let read = self.limiter.read(async move { store.list_tenants(&filter, now).await }).await;
        let mut list = read?;
        let has_more = list.tenants.len() > size;
        list.tenants.truncate(size);
        let next = list.tenants.last().filter(|_| has_more).map(|tenant| tenant.id);
        Ok(TenantListPage { list, next })
    }
}
