//! EntitlementService: unwrap a request, answer it, wrap the response.

use std::pin::Pin;

use futures_util::{Stream, stream};
use tonic::{Request, Status, async_trait};

use super::{Answer, answer, compression::sized, convert, data::ending_of};
use crate::{
    proto::v1::{
        AuthorizeRequest, AuthorizeResponse, BatchCheckFeaturesRequest, BatchCheckFeaturesResponse,
        BatchCheckModulesRequest, BatchCheckModulesResponse, CheckFeatureRequest,
        CheckFeatureResponse, CheckLimitRequest, CheckLimitResponse, CheckModuleRequest,
        CheckModuleResponse, ExplainFeatureRequest, ExplainFeatureResponse, ExplainLimitRequest,
        ExplainLimitResponse, ExplainModuleRequest, ExplainModuleResponse,
        ListEnabledModulesRequest, ListEnabledModulesResponse, ListTenantIdsRequest,
        ListTenantIdsResponse, ResolveTenantRequest, ResolveTenantResponse, WatchChangesRequest,
        WatchChangesResponse, entitlement_service_server::EntitlementService,
    },
    service::{Api, watch::Watcher},
};

#[async_trait]
impl EntitlementService for Api {
    async fn resolve_tenant(
        &self,
        request: Request<ResolveTenantRequest>,
    ) -> Answer<ResolveTenantResponse> {
        answer(convert::resolve_response(self.resolve(convert::resolve_query(&request)?).await?))
    }

    async fn check_module(
        &self,
        request: Request<CheckModuleRequest>,
    ) -> Answer<CheckModuleResponse> {
        answer(convert::check_response(self.check(convert::check_query(&request)?).await?))
    }

    async fn batch_check_modules(
        &self,
        request: Request<BatchCheckModulesRequest>,
    ) -> Answer<BatchCheckModulesResponse> {
        sized(convert::batch_response(self.batch_check(convert::batch_query(&request)?).await?))
    }

    async fn list_enabled_modules(
        &self,
        request: Request<ListEnabledModulesRequest>,
    ) -> Answer<ListEnabledModulesResponse> {
        sized(convert::list_response(&self.list_enabled(convert::list_query(&request)?).await?))
    }

    async fn check_feature(
        &self,
        request: Request<CheckFeatureRequest>,
    ) -> Answer<CheckFeatureResponse> {
        answer(convert::feature_response(
            self.check_feature(convert::feature_query(&request)?).await?,
        ))
    }

    async fn batch_check_features(
        &self,
        request: Request<BatchCheckFeaturesRequest>,
    ) -> Answer<BatchCheckFeaturesResponse> {
        sized(convert::feature_batch_response(
            self.batch_check_features(convert::feature_batch_query(&request)?).await?,
        ))
    }

    async fn check_limit(&self, request: Request<CheckLimitRequest>) -> Answer<CheckLimitResponse> {
        answer(convert::limit_response(self.check_limit(convert::limit_query(&request)?).await?))
    }

    async fn authorize(&self, request: Request<AuthorizeRequest>) -> Answer<AuthorizeResponse> {
        answer(convert::authorize_response(
            self.authorize(convert::authorize_query(&request)?).await?,
        ))
    }

    async fn explain_module(
        &self,
        request: Request<ExplainModuleRequest>,
    ) -> Answer<ExplainModuleResponse> {
        sized(convert::explain_response(self.explain(convert::explain_query(&request)?).await?))
    }

    async fn explain_feature(
        &self,
        request: Request<ExplainFeatureRequest>,
    ) -> Answer<ExplainFeatureResponse> {
        sized(convert::feature_explanation(
            self.explain_feature(convert::feature_why(&request)?).await?,
        ))
    }

    async fn explain_limit(
        &self,
        request: Request<ExplainLimitRequest>,
    ) -> Answer<ExplainLimitResponse> {
        sized(convert::limit_explanation(self.explain_limit(convert::limit_why(&request)?).await?))
    }

    async fn list_tenant_ids(
        &self,
        request: Request<ListTenantIdsRequest>,
    ) -> Answer<ListTenantIdsResponse> {
        sized(convert::tenants_response(
            &self.list_tenants(convert::tenants_query(&request)?).await?,
        ))
    }

    type WatchChangesStream =
        Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Answer<Self::WatchChangesStream> {
        let ending = ending_of(request.extensions());
        answer(Box::pin(stream_of(self.watch(convert::watch_query(&request)?, ending)?)))
    }
}

/// What a watcher receives, as messages. An error is the last.
fn stream_of(watcher: Watcher) -> impl Stream<Item = Result<WatchChangesResponse, Status>> + Send {
    stream::unfold(Some(watcher), async |watcher| {
        let mut watcher = watcher?;
        let told = watcher.next().await?;
        let goes_on = told.is_ok().then_some(watcher);
        Some((told.map(convert::watch_response).map_err(Status::from), goes_on))
    })
}
