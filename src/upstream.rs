//! Facts from another instance, where there is no database: a core that has one, or an edge.

mod connect;
mod origin;
mod replies;

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tonic::Status;

pub use self::{
    connect::{Client, ConnectError, Credentials, connect},
    origin::Origin,
};
use crate::{
    domain::Catalogue,
    proto::replication::{
        GetCatalogueRequest, GetFactsRequest, GetFactsResponse, ListTenantKeysRequest,
    },
    store::{LoadTenant, Loaded, Read, Source, StoreError, TenantKey},
    wire::{self, Shared},
};

/// Requests to the upstream at the same time, for loads.
pub const LOADS_AT_ONCE: usize = 8;

/// The instance that is asked at present, if any is.
#[derive(Debug, Default)]
pub struct Upstream {
    client: ArcSwapOption<Client>,
    /// The instance that is followed: what another one answers, nobody here is told the changes of.
    instance: AtomicU64,
    /// What facts have in common.
    shared: Mutex<Shared>,
}

impl Upstream {
    /// Asks the instance with this number from now on, which is followed.
    pub fn ask(&self, client: Client, instance: u64) {
        self.instance.store(instance, Ordering::Release);
        self.client.store(Some(Arc::new(client)));
    }

    /// Has another instance answered than the one that is followed? A connection that is opened again may
    /// lead there.
    fn is_of_another(&self, instance: u64) -> bool {
        instance != self.instance.load(Ordering::Acquire)
    }

    fn client(&self) -> Result<Client, StoreError> {
        let client = self.client.load();
        let client = client.as_deref().ok_or_else(|| failed("none is connected"))?;
        Ok(client.clone())
    }
}

/// Did the connection fail, rather than the upstream? What that says has no cause here.
fn is_of_the_connection(status: &Status) -> bool {
    status.source().is_some()
}

fn failed(problem: impl AsRef<str>) -> StoreError {
    StoreError::Upstream(problem.as_ref().into())
}

fn refused(status: &Status) -> StoreError {
    failed(format!("{:?}: {}", status.code(), status.message()))
}

impl LoadTenant for Upstream {
    async fn load_tenants(
        &self,
        keys: &[TenantKey],
        source: Source,
        now: DateTime<Utc>,
    ) -> Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError> {
        let min_revision = match source {
            Source::AtLeast(revision) => revision,
            Source::Primary | Source::AnyThatHolds(_) => 0,
        };
        let tenants = keys.iter().map(wire::tenant_key).collect();
        let request = GetFactsRequest { tenants, min_revision };
        let mut client = self.client()?;
        let response = match client.get_facts(request.clone()).await {
            // The connection has ended under it, and the next one is opened at once.
            Err(status) if is_of_the_connection(&status) => client.get_facts(request).await,
            response => response,
        };
        let GetFactsResponse { found, instance } =
            response.map_err(|status| refused(&status))?.into_inner();
        if found.len() != keys.len() {
            return Err(failed("it has answered about other tenants"));
        }
        let mut shared = self.shared.lock();
        let found = found.into_iter().map(|found| replies::loaded(found, &mut shared, now));
        Ok(Read::answered(found.collect(), self.is_of_another(instance)))
    }

    async fn load_keys(&self) -> Result<Read<Vec<TenantKey>>, StoreError> {
        let response = self.client()?.list_tenant_keys(ListTenantKeysRequest {}).await;
        let mut pages = response.map_err(|status| refused(&status))?.into_inner();
        let mut keys = Vec::new();
        while let Some(page) = pages.message().await.map_err(|status| refused(&status))? {
            keys.extend(page.tenants.iter().filter_map(wire::tenant_key_of));
        }
        Ok(Read::proven(keys))
    }

    async fn load_catalogue(&self, now: DateTime<Utc>) -> Result<Read<Catalogue>, StoreError> {
        let response = self.client()?.get_catalogue(GetCatalogueRequest {}).await;
        let response = response.map_err(|status| refused(&status))?.into_inner();
        let catalogue = response.catalogue.ok_or_else(|| failed("there is no catalogue"))?;
        let catalogue = wire::catalogue_of(catalogue, &mut self.shared.lock());
        let mut value = catalogue.map_err(|error| failed(error.to_string()))?;
        value.as_of = value.as_of.min(now);
        let is_from_standby = response.stale || self.is_of_another(response.instance);
        Ok(Read::answered(value, is_from_standby))
    }
}
