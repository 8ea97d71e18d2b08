//! grpc.health.v1: what the server says of itself.
//!
//! Not tonic-health's service, only its messages: that one ends a Watch of a name that it does not
//! know, where the protocol says SERVICE_UNKNOWN and keeps the stream.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

use super::{compression::ENCODING, data::ending_of, status};
use crate::{
    domain::limits::MAX_REQUEST_BYTES,
    proto::v1::entitlement_service_server::SERVICE_NAME,
    service::watch::{ConnectionStage, Ending, reached},
};

/// The names that are known: the whole server, and its one service. Others never become known.
const NAMES: [&str; 2] = ["", SERVICE_NAME];

/// What is said of each name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Said {
    is_serving: bool,
    /// Nothing will follow: streams end.
    is_last: bool,
}

impl Said {
    fn status(self) -> ServingStatus {
        if self.is_serving { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

/// Says what the server's health is. It begins with NOT_SERVING.
#[derive(Debug, Default)]
pub(crate) struct HealthReporter(watch::Sender<Said>);

impl HealthReporter {
    /// Tells everybody who watches, if it is new.
    pub(crate) fn report(&self, is_serving: bool) {
        self.0.send_if_modified(|said| {
            let is_new = said.is_serving != is_serving;
            said.is_serving = is_serving;
            is_new
        });
    }

    /// Ends the streams that watch health: they would hold the server open.
    pub(crate) fn end_watches(&self) {
        self.0.send_modify(|said| said.is_last = true);
    }

    /// The service for a listener on which at most so many may watch. Who does so with a gRPC
    /// client has one stream for each connection.
    pub(crate) fn service(&self, max_watches: u32) -> HealthServer<impl Health + use<>> {
        let places = Arc::new(Semaphore::new(max_watches as usize));
        HealthServer::new(HealthService { said: self.0.subscribe(), places })
            .accept_compressed(ENCODING)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

struct HealthService {
    said: watch::Receiver<Said>,
    places: Arc<Semaphore>,
}

#[async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(request.get_ref()) {
            return Err(status::unknown_to_health());
        }
        Ok(Response::new(message(self.said.borrow().status())))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let place =
            Arc::clone(&self.places).try_acquire_owned().map_err(|_| status::overloaded())?;
        let watching = Watching {
            said: self.said.clone(),
            is_known: is_known(request.get_ref()),
            told: None,
            ending: ending_of(request.extensions()),
            _place: place,
        };
        let told = stream::unfold(watching, async |mut watching| {
            let status = watching.next().await?;
            Some((Ok(message(status)), watching))
        });
        Ok(Response::new(Box::pin(told)))
    }
}

/// A stream that watches one name.
struct Watching {
    said: watch::Receiver<Said>,
    is_known: bool,
    told: Option<ServingStatus>,
    ending: Option<Ending>,
    _place: OwnedSemaphorePermit,
}

impl Watching {
    /// What there is to tell next; `None`: nothing more. The last that was said is told in any case.
    async fn next(&mut self) -> Option<ServingStatus> {
        let mut is_ending = false;
        loop {
            let said = *self.said.borrow_and_update();
            let now = if self.is_known { said.status() } else { ServingStatus::ServiceUnknown };
            if self.told != Some(now) {
                self.told = Some(now);
                return self.told;
            }
            if said.is_last || is_ending {
                return None;
            }
            tokio::select! {
                changed = self.said.changed() => changed.ok()?,
                _ = reached(&mut self.ending, ConnectionStage::Ending) => is_ending = true,
            }
        }
    }
}

fn is_known(request: &HealthCheckRequest) -> bool {
    NAMES.contains(&request.service.as_str())
}

fn message(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
