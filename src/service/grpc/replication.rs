//! ReplicationService: unwrap a request, answer it, wrap the response.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use tokio::time::timeout;
use tonic::{Request, Status, Streaming, async_trait};

use super::{Answer, answer, compression::sized, convert, data::ending_of};
use crate::{
    proto::{
        FollowFactsResponse,
        replication::{
            FollowFactsRequest, GetCatalogueRequest, GetCatalogueResponse, GetFactsRequest,
            GetFactsResponse, ListTenantKeysRequest, ListTenantKeysResponse,
            replication_service_server::ReplicationService,
        },
    },
    service::{Api, replication::Follower},
};

/// How long a follower may take to say from where on.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keys in a message.
const KEYS_AT_ONCE: usize = 1_000;

#[async_trait]
impl ReplicationService for Api {
    async fn get_facts(&self, request: Request<GetFactsRequest>) -> Answer<GetFactsResponse> {
        let found = self.get_facts(convert::facts_query(&request)?).await?;
        sized(convert::facts_response(found, self.hub.instance()))
    }

    async fn get_catalogue(&self, _: Request<GetCatalogueRequest>) -> Answer<GetCatalogueResponse> {
        let (catalogue, stale) = self.get_catalogue().await?;
        sized(convert::catalogue_response(&catalogue, stale, self.hub.instance()))
    }

    type ListTenantKeysStream =
        Pin<Box<dyn Stream<Item = Result<ListTenantKeysResponse, Status>> + Send>>;

    async fn list_tenant_keys(
        &self,
        request: Request<ListTenantKeysRequest>,
    ) -> Answer<Self::ListTenantKeysStream> {
        let (keys, place) = self.list_tenant_keys(convert::caller(&request)).await?;
        // Each page is made once there is room for it, and the place is held until the last.
        let pages = (0..keys.len().div_ceil(KEYS_AT_ONCE)).map(move |page| {
            let _held = &place;
            let keys = keys.iter().skip(page * KEYS_AT_ONCE).take(KEYS_AT_ONCE);
            Ok(convert::keys_response(keys))
        });
        answer(Box::pin(stream::iter(pages)))
    }

    type FollowFactsStream =
        Pin<Box<dyn Stream<Item = Result<FollowFactsResponse, Status>> + Send>>;

    async fn follow_facts(
        &self,
        mut request: Request<Streaming<FollowFactsRequest>>,
    ) -> Answer<Self::FollowFactsStream> {
        let ending = ending_of(request.extensions());
        let credentials = request.extensions_mut().remove().unwrap_or_default();
        let mut requests = request.into_inner();
        let opening = timeout(PATIENCE, requests.message()).await;
        let opening = opening.unwrap_or(Ok(None))?.unwrap_or_default();
        // Whoever sends what is no request has ended.
        let pings = stream::unfold(requests, async |mut requests| {
            let request = requests.message().await.ok()??;
            Some((request.ping, requests))
        });
        let query = convert::follow_query(opening, credentials, Box::pin(pings))?;
        answer(Box::pin(stream_of(self.follow(query, ending).await?)))
    }
}

/// What a follower receives, as messages. An error is the last.
fn stream_of(follower: Follower) -> impl Stream<Item = Result<FollowFactsResponse, Status>> + Send {
    stream::unfold(Some(follower), async |follower| {
        let mut follower = follower?;
        let sent = follower.next().await?;
        let goes_on = sent.is_ok().then_some(follower);
        Some((sent.map(convert::follow_response).map_err(Status::from), goes_on))
    })
}
