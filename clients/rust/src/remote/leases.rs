//! Having leases signed. Nothing is changed by it, so it is asked again as other questions are.

use tonic::{Code, Request, Status, transport::Channel};
use uuid::Uuid;

use super::Remote;
use crate::{
    IssuedLease, LeaseRequest, convert,
    proto::v1::{IssueLeaseRequest, lease_service_client::LeaseServiceClient},
};

const SERVICE_NAME: &str = "entitlement.v1.LeaseService";

impl Remote {
    pub(super) async fn issued(
        self,
        tenant: Uuid,
        wanted: LeaseRequest,
        min_revision: u64,
    ) -> Result<IssuedLease, Status> {
        let request = convert::lease_request(tenant, wanted, min_revision)?;
        let ask = |channel: Channel, request: Request<IssueLeaseRequest>| async move {
            LeaseServiceClient::new(channel).issue_lease(request).await
        };
        let answer = self.call_of(SERVICE_NAME, "IssueLease", request, ask).await;
        convert::issued_lease(answer.map_err(newer)?)
    }
}

/// What is said where a server does not know the method.
fn newer(status: Status) -> Status {
    match status.code() {
        Code::Unimplemented => {
            Status::unimplemented("the server is older than signed leases: upgrade it")
        }
        _ => status,
    }
}
