//! Facts from another instance, where there is no database: a core that has one, or an edge.

mod connect;
mod origin;
mod replies;

use std::{error::Error, sync::Arc};

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
    proto::replication::{GetCatalogueRequest, GetFactsRequest, ListTenantKeysRequest},
    store::{LoadTenant, Loaded, Read, Source, StoreError, TenantKey},
    wire::{self, Shared},
};

/// Requests to the upstream at the same time, for loads.
pub const LOADS_AT_ONCE: usize = 8;

/// The instance that is asked at present, if any is.
#[derive(Debug, Default)]
pub struct Upstream {
    client: ArcSwapOption<Client>,
    /// The database that all of it comes from.
    database: Mutex<Option<String>>,
    /// What facts have in common.
    shared: Mutex<Shared>,
}

impl Upstream {
    /// Asks this instance from now on; `None`: nobody.
    pub fn ask(&self, client: Option<Client>) {
        self.client.store(client.map(Arc::new));
    }

    /// The database that what was read comes from, as the instance that is asked has said.
    pub fn database(&self) -> Option<String> {
        self.database.lock().clone()
    }

    /// What it has said.
    pub fn note_database(&self, database: String) {
        *self.database.lock() = Some(database);
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
        _: DateTime<Utc>,
    ) -> Result<Read<Vec<Result<Loaded, StoreError>>>, StoreError> {
        let min_revision = match source {
            Source::AtLeast(revision) => revision,
            Source::Primary | Source::AnyThatHolds(_) => 0,
        };
        let tenants = keys.iter().map(replies::key).collect();
        let request = GetFactsRequest { tenants, min_revision };
        let mut client = self.client()?;
        let response = match client.get_facts(request.clone()).await {
            // The connection has ended under it, and the next one is opened at once.
            Err(status) if is_of_the_connection(&status) => client.get_facts(request).await,
            response => response,
        };
        let found = response.map_err(|status| refused(&status))?.into_inner().found;
        if found.len() != keys.len() {
            return Err(failed("it has answered about other tenants"));
        }
        let mut shared = self.shared.lock();
        let found = found.into_iter().map(|found| replies::loaded(found, &mut shared));
        Ok(Read::proven(found.collect()))
    }

    async fn load_keys(&self) -> Result<Read<Vec<TenantKey>>, StoreError> {
        let response = self.client()?.list_tenant_keys(ListTenantKeysRequest {}).await;
        let mut pages = response.map_err(|status| refused(&status))?.into_inner();
        let mut keys = Vec::new();
        while let Some(page) = pages.message().await.map_err(|status| refused(&status))? {
            keys.extend(page.tenants.into_iter().filter_map(replies::key_of));
        }
        Ok(Read::proven(keys))
    }

    async fn load_catalogue(&self, _: DateTime<Utc>) -> Result<Read<Catalogue>, StoreError> {
        let response = self.client()?.get_catalogue(GetCatalogueRequest {}).await;
        let response = response.map_err(|status| refused(&status))?.into_inner();
        let catalogue = response.catalogue.ok_or_else(|| failed("there is no catalogue"))?;
        let catalogue = wire::catalogue_of(catalogue, &mut self.shared.lock());
        let value = catalogue.map_err(|error| failed(error.to_string()))?;
        Ok(Read { value, is_from_standby: response.stale })
    }
}
