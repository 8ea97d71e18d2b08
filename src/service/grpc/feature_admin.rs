//! FeatureAdminService: every method first states which role it needs.

use tonic::{Request, async_trait};

use super::{Answer, admin::admit, compression::sized, convert};
use crate::{
    domain::Role,
    proto::v1::{
        DeleteTenantFlagRequest, DeleteTenantFlagResponse, EndKeptFeatureRequest,
        EndKeptFeatureResponse, EndKeptLimitRequest, EndKeptLimitResponse, EndLimitOverrideRequest,
        EndLimitOverrideResponse, ListFeaturesRequest, ListFeaturesResponse, ListLimitsRequest,
        ListLimitsResponse, PreviewFeatureChangeRequest, PreviewFeatureChangeResponse,
        SetLimitOverrideRequest, SetLimitOverrideResponse, SetPlanFeatureRequest,
        SetPlanFeatureResponse, SetPlanLimitRequest, SetPlanLimitResponse, SetTenantFlagRequest,
        SetTenantFlagResponse, SetTimeZoneRequest, SetTimeZoneResponse, UpsertFeatureRequest,
        UpsertFeatureResponse, UpsertLimitRequest, UpsertLimitResponse,
        feature_admin_service_server::FeatureAdminService,
    },
    service::admin::AdminApi,
};

#[async_trait]
impl FeatureAdminService for AdminApi {
    async fn list_features(
        &self,
        request: Request<ListFeaturesRequest>,
    ) -> Answer<ListFeaturesResponse> {
        admit(&request, Role::Viewer)?;
        let module = convert::features_query(request.into_inner())?;
        sized(convert::features_response(self.features(module).await?))
    }

    async fn list_limits(&self, request: Request<ListLimitsRequest>) -> Answer<ListLimitsResponse> {
        admit(&request, Role::Viewer)?;
        sized(convert::limits_response(self.limits().await?))
    }

    async fn upsert_feature(
        &self,
        request: Request<UpsertFeatureRequest>,
    ) -> Answer<UpsertFeatureResponse> {
        let actor = admit(&request, Role::Owner)?.name;
        let query = convert::feature_upsert_query(request.into_inner())?;
        sized(convert::feature_upsert_response(self.change_features(actor, query).await?))
    }

    async fn upsert_limit(
        &self,
        request: Request<UpsertLimitRequest>,
    ) -> Answer<UpsertLimitResponse> {
        let actor = admit(&request, Role::Owner)?.name;
        let query = convert::limit_upsert_query(request.into_inner())?;
        sized(convert::limit_upsert_response(self.change_features(actor, query).await?))
    }

    async fn set_tenant_flag(
        &self,
        request: Request<SetTenantFlagRequest>,
    ) -> Answer<SetTenantFlagResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        let query = convert::set_flag_query(request.into_inner())?;
        sized(convert::set_flag_response(self.change_features(actor, query).await?))
    }

    async fn delete_tenant_flag(
        &self,
        request: Request<DeleteTenantFlagRequest>,
    ) -> Answer<DeleteTenantFlagResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        let query = convert::delete_flag_query(request.into_inner())?;
        sized(convert::delete_flag_response(self.change_features(actor, query).await?))
    }

    async fn set_limit_override(
        &self,
        request: Request<SetLimitOverrideRequest>,
    ) -> Answer<SetLimitOverrideResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        let query = convert::set_override_query(request.into_inner())?;
        sized(convert::set_override_response(self.change_features(actor, query).await?))
    }

    async fn end_limit_override(
        &self,
        request: Request<EndLimitOverrideRequest>,
    ) -> Answer<EndLimitOverrideResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        let query = convert::end_override_query(request.into_inner())?;
        sized(convert::end_override_response(self.change_features(actor, query).await?))
    }

    async fn end_kept_feature(
        &self,
        request: Request<EndKeptFeatureRequest>,
    ) -> Answer<EndKeptFeatureResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        let query = convert::end_kept_feature_query(request.into_inner())?;
        sized(convert::end_kept_feature_response(self.change_features(actor, query).await?))
    }

    async fn end_kept_limit(
        &self,
        request: Request<EndKeptLimitRequest>,
    ) -> Answer<EndKeptLimitResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        let query = convert::end_kept_limit_query(request.into_inner())?;
        sized(convert::end_kept_limit_response(self.change_features(actor, query).await?))
    }

    async fn set_time_zone(
        &self,
        request: Request<SetTimeZoneRequest>,
    ) -> Answer<SetTimeZoneResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        let query = convert::time_zone_query(request.into_inner(), self.core.api.zone)?;
        sized(convert::time_zone_response(self.change_features(actor, query).await?))
    }

    async fn set_plan_feature(
        &self,
        request: Request<SetPlanFeatureRequest>,
    ) -> Answer<SetPlanFeatureResponse> {
        let actor = admit(&request, Role::Owner)?.name;
        let query = convert::plan_feature_query(request.into_inner())?;
        sized(convert::plan_feature_response(self.change_features(actor, query).await?))
    }

    async fn set_plan_limit(
        &self,
        request: Request<SetPlanLimitRequest>,
    ) -> Answer<SetPlanLimitResponse> {
        let actor = admit(&request, Role::Owner)?.name;
        let query = convert::plan_limit_query(request.into_inner())?;
        sized(convert::plan_limit_response(self.change_features(actor, query).await?))
    }

    async fn preview_feature_change(
        &self,
        request: Request<PreviewFeatureChangeRequest>,
    ) -> Answer<PreviewFeatureChangeResponse> {
        admit(&request, Role::Viewer)?;
        let query = convert::feature_preview_query(request.into_inner(), self.core.api.zone)?;
        sized(convert::feature_preview_response(self.preview_features(query).await?))
    }
}
