//! ListTenantIds: which tenants there are, for jobs that process them all.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Api, caller::CallerIdentity, error::RequestError};
use crate::{
    domain::{Decision, Facts, TenantId, TenantStatus, check_facts},
    store::PageOfTenants,
};

/// Which tenants, and where to start.
#[derive(Clone, Copy, Debug)]
pub(super) struct TenantsQuery<'a> {
    pub(super) caller: CallerIdentity<'a>,
    /// `None`: those that are served.
    pub(super) module: Option<&'a str>,
    /// The last one of the previous page.
    pub(super) after: Option<TenantId>,
    /// Maximum number of tenants.
    pub(super) size: u32,
}

/// A page of tenants.
#[derive(Debug)]
pub(super) struct TenantsPage {
    pub(super) tenants: Vec<TenantId>,
    /// The last tenant of this page, if there may be another page.
    pub(super) next: Option<TenantId>,
    pub(super) as_of: DateTime<Utc>,
}

impl Api {
    pub(super) async fn list_tenants(
        &self,
        query: TenantsQuery<'_>,
    ) -> Result<TenantsPage, RequestError> {
        let TenantsQuery { caller, module, after, size } = query;
        self.permit_enumeration(caller)?;
        self.permit_modules(caller, module.into_iter())?;
        let page = PageOfTenants { after: after.map(TenantId::uuid), size };
        let (store, as_of) = (Arc::clone(&self.database()?.store), self.clock.now());
        let Some(module) = module else {
            let read = async move { store.tenants(page).await };
            let read = self.cache.bypass(caller.requester(), read).await?;
            return Ok(page_of(size, as_of, read, |(id, _)| *id, |(_, status)| is_served(*status)));
        };
        let catalogue = self.cache.catalogue_for(module, as_of).await?;
        let module = catalogue.code_of_now(module);
        let code = module.to_owned();
        let read = async move { store.tenants_with(&code, page, as_of).await };
        let read = self.cache.bypass(caller.requester(), read).await?;
        let may =
            |facts: &Facts| check_facts(Some(facts), module, as_of).is_some_and(Decision::allowed);
        Ok(page_of(size, as_of, read, |facts| facts.tenant.id, may))
    }
}

fn is_served(status: TenantStatus) -> bool {
    status.denial().is_none()
}

/// The tenants on a page that match. If the page was read in full, another one may follow.
fn page_of<T>(
    size: u32,
    as_of: DateTime<Utc>,
    read: Vec<T>,
    id: impl Fn(&T) -> TenantId,
    is_wanted: impl Fn(&T) -> bool,
) -> TenantsPage {
    let is_full = read.len() >= size as usize;
    let next = read.last().filter(|_| is_full).map(&id);
    let tenants = read.iter().filter(|tenant| is_wanted(tenant)).map(id).collect();
    TenantsPage { tenants, next, as_of }
}
