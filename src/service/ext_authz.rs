//! Envoy's external authorization.

use tonic::{Request, Response, Status, async_trait};

use super::{Api, convert};
use crate::proto::envoy::service::auth::v3::{CheckRequest, CheckResponse, authorization_server::Authorization};

#[async_trait]
impl Authorization for Api {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let headers = convert::asked_headers(request.get_ref(), &self.gateway.settings.tenant_header);
        let by_certificate = self.callers.vouched_for(convert::principal(request.get_ref()));
        let inquiry = convert::inquiry(&request, &headers, by_certificate)?;
        Ok(Response::new(convert::check_ruling(&self.rule_on(inquiry).await)))
    }
}
