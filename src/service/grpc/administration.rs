//! The services of the admin listener: TenantAdminService and FeatureAdminService.

use http::Request;
use hyper::body::Incoming;
use tonic::Status;
use tower_service::Service;

use super::{
    compression::ENCODING,
    front::{Answering, Limit, Services},
    methods::{Home, home},
};
use crate::{
    domain::limits::MAX_REQUEST_BYTES,
    proto::{
        Method,
        v1::{
            feature_admin_service_server::FeatureAdminServiceServer,
            tenant_admin_service_server::TenantAdminServiceServer,
        },
    },
    service::{Peer, Presence, admin::AdminApi, watch::Ending},
};

/// What the paths of FeatureAdminService begin with.
const FEATURES: &str = "/entitlement.v1.FeatureAdminService/";

/// What the admin listener answers.
#[derive(Clone)]
pub(crate) struct AdminServices {
    api: AdminApi,
    tenants: TenantAdminServiceServer<AdminApi>,
    features: FeatureAdminServiceServer<AdminApi>,
}

impl AdminServices {
    /// Answers with this API.
    pub(crate) fn new(api: AdminApi) -> Self {
        let tenants = TenantAdminServiceServer::new(api.clone())
            .accept_compressed(ENCODING)
            .send_compressed(ENCODING)
            .max_decoding_message_size(MAX_REQUEST_BYTES);
        let features = FeatureAdminServiceServer::new(api.clone())
            .accept_compressed(ENCODING)
            .send_compressed(ENCODING)
            .max_decoding_message_size(MAX_REQUEST_BYTES);
        Self { api, tenants, features }
    }
}

impl Services for AdminServices {
    fn limit(&self, method: Method) -> Option<Limit> {
        match home(method) {
            Home::Admin(limit) => Some(limit),
            Home::Data(_) => None,
        }
    }

    /// An unknown token is refused before anything of its request is read.
    fn admit(
        &self,
        _method: Method,
        request: &mut Request<Incoming>,
        peer: &Peer,
        _ending: &Ending,
    ) -> Result<(), Status> {
        let administrator = self.api.identify(request.headers(), peer)?;
        request.extensions_mut().insert(administrator);
        Ok(())
    }

    fn call(&self, method: Method, request: Request<Incoming>, peer: &Peer) -> Answering {
        // An administrator's connection keeps its seat while a request is under way.
        let under_way = Presence::enter(&peer.presence);
        let of_features = method.path().starts_with(FEATURES);
        let answering = if of_features {
            self.features.clone().call(request)
        } else {
            self.tenants.clone().call(request)
        };
        Box::pin(async move {
            let _under_way = under_way;
            answering.await
        })
    }
}
