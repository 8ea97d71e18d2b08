//! Envoy's external authorization.

use tonic::{Request, Response, Status, async_trait};

use super::convert;
use crate::{
    proto::envoy::{
        CheckRequest, CheckResponse, service::auth::v3::authorization_server::Authorization,
    },
    service::{Api, caller::CallerIdentity, gateway::ProxyProtocol},
};

#[async_trait]
impl Authorization for Api {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let tenant_header = &self.gateway.settings.tenant_header;
        let attributes = convert::proxy_attributes(request.get_ref(), tenant_header)?;
        let caller = CallerIdentity::of(request.extensions(), request.metadata().as_ref());
        let by_certificate = self.callers.vouched_for(attributes.principal());
        let authz_request = attributes.authz_request(caller, by_certificate, tenant_header);
        // The front limits how long it takes.
        let judging = self.decide_http(ProxyProtocol::ExtAuthz, authz_request, None);
        let authz_decision = judging.await;
        Ok(Response::new(convert::authz_response(&authz_decision, attributes.speaks_grpc())))
    }
}
