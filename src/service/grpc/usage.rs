//! UsageService: unwrap a request, answer it, wrap the response.

use tonic::{Request, async_trait};

use super::{Answer, answer, convert};
use crate::{
    proto::v1::{
        ReconcileUsageRequest, ReconcileUsageResponse, ReleaseUsageRequest, ReleaseUsageResponse,
        ReserveUsageRequest, ReserveUsageResponse, usage_service_server::UsageService,
    },
    service::Api,
};

#[async_trait]
impl UsageService for Api {
    async fn reserve_usage(
        &self,
        request: Request<ReserveUsageRequest>,
    ) -> Answer<ReserveUsageResponse> {
        answer(convert::reserve_response(
            self.reserve_usage(convert::reserve_query(&request)?).await?,
        ))
    }

    async fn release_usage(
        &self,
        request: Request<ReleaseUsageRequest>,
    ) -> Answer<ReleaseUsageResponse> {
        let (released, state) = self.release_usage(convert::release_query(&request)?).await?;
        answer(convert::release_response(released, state))
    }

    async fn reconcile_usage(
        &self,
        request: Request<ReconcileUsageRequest>,
    ) -> Answer<ReconcileUsageResponse> {
        let query = convert::reconcile_query(&request)?;
        let (counted, released, state) = self.reconcile_usage(query).await?;
        answer(convert::reconcile_response(counted, released, state))
    }
}
