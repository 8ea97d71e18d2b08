//! The front of the admin listener: every request passes here, before and after the service that answers it.

use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::{Status, body::Body, service::Routes};
use tower_service::Service;
use tracing::{Instrument, Span};

use super::{
    front::{Answering, is_tonics_refusal},
    status,
    unknown::refuse_unknown,
};
use crate::{
    domain::limits::MAX_REQUEST_BYTES,
    proto::v1::tenant_admin_service_server::{SERVICE_NAME, TenantAdminServiceServer},
    service::{
        Peer, Presence, Tracer,
        admin::{AdminApi, Gate, SETUP_TIMEOUT},
    },
};

/// Methods that make or drop a schema.
const TAKE_LONG: [&str; 3] = [
    "/entitlement.v1.TenantAdminService/DeleteTenant",
    "/entitlement.v1.TenantAdminService/OnboardTenant",
    "/entitlement.v1.TenantAdminService/RetryProvisioning",
];

/// Routes a request to the service that answers it.
#[derive(Clone)]
pub struct AdminFront {
    routes: Routes,
    gate: Gate,
    request_timeout: Duration,
    tracer: Tracer,
}

impl AdminFront {
    /// The API, and beside it the services that need no token: health and reflection.
    pub fn new(api: AdminApi, others: Routes, request_timeout: Duration) -> Self {
        let (tracer, gate) = (api.api.tracer, api.gate.clone());
        let admin = TenantAdminServiceServer::new(api).max_decoding_message_size(MAX_REQUEST_BYTES);
        let routes = refuse_unknown(others.add_service(admin), request_timeout);
        Self { routes, gate, request_timeout, tracer }
    }

    /// Answers a request.
    pub fn answer(&self, mut request: Request<Incoming>, peer: &Peer) -> Answering {
        request.extensions_mut().insert(peer.clone());
        let is_ours = request.uri().path().strip_prefix('/').is_some_and(|path| path.starts_with(SERVICE_NAME));
        let (mut routes, mut request_timeout) = (self.routes.clone(), self.request_timeout);
        let is_known = self.gate.knows(request.headers());
        if is_known && TAKE_LONG.contains(&request.uri().path()) {
            request_timeout = request_timeout.max(SETUP_TIMEOUT);
        }
        let span = self.tracer.span(request.headers(), request.uri().path()).filter(|_| is_ours);
        // What nobody known asks keeps no place: its connection may have to leave in the middle of it.
        let under_way = is_known.then(|| Presence::enter(&peer.presence));
        let answering = async move {
            let _under_way = under_way;
            match tokio::time::timeout(request_timeout, routes.call(request)).await {
                Ok(Ok(response)) => Ok(if is_ours { in_our_words(response) } else { response }),
                Ok(Err(never)) => match never {},
                Err(_) => Ok(status::deadline_exceeded().into_http()),
            }
        };
        Box::pin(answering.instrument(span.unwrap_or_else(Span::none)))
    }
}

fn in_our_words(response: Response<Body>) -> Response<Body> {
    let refused = Status::from_header_map(response.headers()).is_some_and(|failure| is_tonics_refusal(&failure));
    if refused { status::malformed_request().into_http() } else { response }
}
