//! Envoy's external authorization.

use tonic::{Request, Response, Status, async_trait};

use super::convert;
use crate::{
    proto::envoy::{CheckRequest, CheckResponse, service::auth::v3::authorization_server::Authorization},
    service::{Api, asker::Asker},
};

#[async_trait]
impl Authorization for Api {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let told = convert::told(request.get_ref(), &self.gateway.settings.tenant_header)?;
        let by_certificate = self.callers.vouched_for(told.principal());
        let inquiry = told.inquiry(Asker::of(request.extensions()), by_certificate);
        Ok(Response::new(convert::check_ruling(&self.rule_on(inquiry).await)))
    }
}
