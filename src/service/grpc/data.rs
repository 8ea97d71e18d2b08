//! The services of the data listener: EntitlementService, UsageService, LeaseService, ReplicationService, and Envoy's
//! Authorization.

use http::Request;
use hyper::body::Incoming;
use tonic::{Extensions, Status};
use tower_service::Service;

use super::{
    compression::ENCODING,
    front::{Answering, Limit, Services},
    methods::{Home, home, max_request_bytes_of, may_be_large},
    status,
};
use crate::{
    proto::{
        Method,
        envoy::service::auth::v3::authorization_server::AuthorizationServer,
        replication::replication_service_server::ReplicationServiceServer,
        v1::{
            entitlement_service_server::EntitlementServiceServer,
            lease_service_server::LeaseServiceServer, usage_service_server::UsageServiceServer,
        },
    },
    security::callers::CallerService,
    service::{
        Api, Peer,
        caller::{Credentials, NotAdmitted, Scope},
        error::RequestError,
        watch::Ending,
    },
};

/// What the data listener answers.
#[derive(Clone)]
pub(crate) struct DataServices {
    api: Api,
    /// The generated servers are called directly: axum's router would cost more than the decision.
    entitlement: EntitlementServiceServer<Api>,
    authorization: AuthorizationServer<Api>,
    usage: UsageServiceServer<Api>,
    replication: ReplicationServiceServer<Api>,
    /// The same, for methods whose answers are compressed where that pays.
    large: Large,
}

/// What answers methods whose answers may be large.
#[derive(Clone)]
struct Large {
    entitlement: EntitlementServiceServer<Api>,
    usage: UsageServiceServer<Api>,
    replication: ReplicationServiceServer<Api>,
    leases: LeaseServiceServer<Api>,
}

impl DataServices {
    /// Answers with this API.
    pub(crate) fn new(api: Api) -> Self {
        let authorization = AuthorizationServer::new(api.clone())
            .accept_compressed(ENCODING)
            .max_decoding_message_size(max_request_bytes_of(CallerService::ExtAuthz));
        let usage = UsageServiceServer::new(api.clone())
            .accept_compressed(ENCODING)
            .max_decoding_message_size(max_request_bytes_of(CallerService::Usage));
        let entitlement = EntitlementServiceServer::new(api.clone())
            .accept_compressed(ENCODING)
            .max_decoding_message_size(max_request_bytes_of(CallerService::Entitlement));
        let replication = ReplicationServiceServer::new(api.clone())
            .accept_compressed(ENCODING)
            .max_decoding_message_size(max_request_bytes_of(CallerService::Replication));
        let leases = LeaseServiceServer::new(api.clone())
            .accept_compressed(ENCODING)
            .max_decoding_message_size(max_request_bytes_of(CallerService::Leases));
        let large = Large {
            entitlement: entitlement.clone().send_compressed(ENCODING),
            usage: usage.clone().send_compressed(ENCODING),
            replication: replication.clone().send_compressed(ENCODING),
            leases: leases.send_compressed(ENCODING),
        };
        Self { api, entitlement, authorization, usage, replication, large }
    }
}

/// The service of a method that is answered here.
fn service(method: Method) -> Option<CallerService> {
    match home(method) {
        Home::Data(service) => Some(service),
        Home::Admin(_) => None,
    }
}

impl Services for DataServices {
    fn limit(&self, method: Method) -> Option<Limit> {
        service(method).map(|_| if method.streams() { Limit::Stream } else { Limit::Request })
    }

    fn admit(
        &self,
        method: Method,
        request: &mut Request<Incoming>,
        peer: &Peer,
        ending: &Ending,
    ) -> Result<(), Status> {
        if method.streams() {
            let credentials = Credentials::of(peer, request.headers());
            request.extensions_mut().insert(credentials);
            request.extensions_mut().insert(ending.clone());
        }
        let service = service(method);
        if service == Some(CallerService::Usage) && self.api.database.is_none() {
            return Err(RequestError::NeedsDatabase.into());
        }
        // What they give cannot be taken back.
        let is_closed = matches!(
            service,
            Some(CallerService::Usage | CallerService::Leases | CallerService::Replication)
        );
        if is_closed && !self.api.is_guarded {
            let refused = NotAdmitted::NotAllowed(Scope::Service);
            return Err(status::not_admitted(self.api.counted(refused)));
        }
        let Some(service) = service.filter(|_| !self.api.callers.is_open()) else {
            return Ok(());
        };
        let admitted = self.api.callers.admit(service, peer, request.headers());
        let caller = admitted.map_err(|refused| status::not_admitted(self.api.counted(refused)))?;
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        Ok(())
    }

    fn call(&self, method: Method, request: Request<Incoming>, _peer: &Peer) -> Answering {
        match (service(method), may_be_large(method)) {
            (Some(CallerService::ExtAuthz), _) => self.authorization.clone().call(request),
            (Some(CallerService::Usage), false) => self.usage.clone().call(request),
            (Some(CallerService::Usage), true) => self.large.usage.clone().call(request),
            (Some(CallerService::Replication), false) => self.replication.clone().call(request),
            (Some(CallerService::Replication), true) => {
                self.large.replication.clone().call(request)
            }
            (Some(CallerService::Leases), _) => self.large.leases.clone().call(request),
            (_, false) => self.entitlement.clone().call(request),
            (_, true) => self.large.entitlement.clone().call(request),
        }
    }
}

/// Resolves when the connection of a request is to end; `None` if the request did not come over a
/// connection.
pub(super) fn ending_of(extensions: &Extensions) -> Option<Ending> {
    extensions.get().cloned()
}
