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
    time::Duration,
};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::time::sleep;
use tonic::{Response, Status};

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

/// Before a request is sent again whose connection has ended. The second time the network may be what
/// ends them; whoever waits is told so long before a load has to be given up.
const PAUSES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(100)];

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

/// Asks again where a connection has ended under a request: the next one is opened at once.
async fn again_if_the_connection_ends<T, F>(ask: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut pauses = PAUSES.into_iter();
    loop {
        match ask().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => match pauses.next().filter(|_| is_of_the_connection(&status)) {
                Some(pause) => sleep(pause).await,
                None => return Err(refused(&status)),
            },
        }
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
        let client = self.client()?;
        let ask = || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.get_facts(request).await }
        };
        let GetFactsResponse { found, instance } = again_if_the_connection_ends(ask).await?;
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
        let client = self.client()?;
        let ask = || {
            let mut client = client.clone();
            async move { client.get_catalogue(GetCatalogueRequest {}).await }
        };
        let response = again_if_the_connection_ends(ask).await?;
        let catalogue = response.catalogue.ok_or_else(|| failed("there is no catalogue"))?;
        let catalogue = wire::catalogue_of(catalogue, &mut self.shared.lock());
        let mut value = catalogue.map_err(|error| failed(error.to_string()))?;
        value.as_of = value.as_of.min(now);
        let is_from_standby = response.stale || self.is_of_another(response.instance);
        Ok(Read::answered(value, is_from_standby))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// How often a request is sent of which so many fail like this, and whether it is answered.
    async fn sent(failing: usize, fail: impl Fn() -> Status) -> (usize, bool) {
        let count = AtomicUsize::new(0);
        let ask = || {
            let is_bad = count.fetch_add(1, Ordering::Relaxed) < failing;
            let answer = if is_bad { Err(fail()) } else { Ok(Response::new(())) };
            std::future::ready(answer)
        };
        let is_answered = again_if_the_connection_ends(ask).await.is_ok();
        (count.load(Ordering::Relaxed), is_answered)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_whose_connection_ends_is_sent_three_times_at_most_and_a_refused_one_once() {
        let ended = || Status::from_error(Box::new(std::io::Error::other("reset")));
        assert_eq!(sent(0, ended).await, (1, true));
        assert_eq!(sent(2, ended).await, (3, true));
        assert_eq!(sent(3, ended).await, (3, false));
        assert_eq!(sent(1, || Status::unavailable("the database is away")).await, (1, false));
    }
}
