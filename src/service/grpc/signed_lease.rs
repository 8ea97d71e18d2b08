//! LeaseService: unwrap a request, answer it, wrap the response.

use tonic::{Request, async_trait};

use super::{Answer, compression::sized, convert};
use crate::{
    proto::v1::{IssueLeaseRequest, IssueLeaseResponse, lease_service_server::LeaseService},
    service::Api,
};

#[async_trait]
impl LeaseService for Api {
    async fn issue_lease(&self, request: Request<IssueLeaseRequest>) -> Answer<IssueLeaseResponse> {
        sized(convert::signed_lease_response(
            self.issue_lease(convert::signed_lease_query(&request)?).await?,
        ))
    }
}
