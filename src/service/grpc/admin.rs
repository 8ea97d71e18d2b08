//! TenantAdminService: every method first says who may ask.

use tonic::{Request, Status, async_trait};

use super::{Answer, answer, convert};
use crate::{
    domain::{ActorName, Role},
    proto::v1::{
        ChangePlanRequest, ChangePlanResponse, CheckSubdomainRequest, CheckSubdomainResponse, DeleteTenantRequest,
        DeleteTenantResponse, DisableModulesRequest, DisableModulesResponse, EnableModulesRequest,
        EnableModulesResponse, GetTenantRequest, GetTenantResponse, ListAuditEventsRequest, ListAuditEventsResponse,
        ListModulesRequest, ListModulesResponse, ListPlansRequest, ListPlansResponse, ListTenantsRequest,
        ListTenantsResponse, OnboardTenantRequest, OnboardTenantResponse, PreviewChangeRequest, PreviewChangeResponse,
        RetryProvisioningRequest, RetryProvisioningResponse, SetTenantStatusRequest, SetTenantStatusResponse,
        UpsertModuleRequest, UpsertModuleResponse, UpsertPlanRequest, UpsertPlanResponse,
        tenant_admin_service_server::TenantAdminService,
    },
    service::admin::AdminApi,
};

/// Who asks, if their token is of such a role.
fn admit<T>(api: &AdminApi, request: &Request<T>, needed: Role) -> Result<ActorName, Status> {
    admit_as(api, request, needed).map(|(name, _)| name)
}

/// The same, and which role their token has.
fn admit_as<T>(api: &AdminApi, request: &Request<T>, needed: Role) -> Result<(ActorName, Role), Status> {
    Ok(api.admit(request.metadata().as_ref(), request.extensions(), needed)?)
}

#[async_trait]
impl TenantAdminService for AdminApi {
    async fn list_modules(&self, request: Request<ListModulesRequest>) -> Answer<ListModulesResponse> {
        admit(self, &request, Role::Viewer)?;
        answer(convert::modules_response(self.modules(convert::modules_query(request.into_inner())).await?))
    }

    async fn list_plans(&self, request: Request<ListPlansRequest>) -> Answer<ListPlansResponse> {
        admit(self, &request, Role::Viewer)?;
        answer(convert::plans_response(self.plans(convert::plans_query(request.into_inner())).await?))
    }

    async fn upsert_module(&self, request: Request<UpsertModuleRequest>) -> Answer<UpsertModuleResponse> {
        let actor = admit(self, &request, Role::Owner)?;
        let query = convert::module_upsert_query(request.into_inner())?;
        answer(convert::module_upsert_response(self.upsert_module(actor, query).await?))
    }

    async fn upsert_plan(&self, request: Request<UpsertPlanRequest>) -> Answer<UpsertPlanResponse> {
        let actor = admit(self, &request, Role::Owner)?;
        let query = convert::plan_upsert_query(request.into_inner())?;
        answer(convert::plan_upsert_response(self.upsert_plan(actor, query).await?))
    }

    async fn get_tenant(&self, request: Request<GetTenantRequest>) -> Answer<GetTenantResponse> {
        admit(self, &request, Role::Viewer)?;
        answer(convert::tenant_response(self.tenant(convert::tenant_key(request.get_ref())?).await?))
    }

    async fn list_tenants(&self, request: Request<ListTenantsRequest>) -> Answer<ListTenantsResponse> {
        admit(self, &request, Role::Viewer)?;
        let filter = convert::list_tenants_query(request.get_ref())?;
        answer(convert::list_tenants_response(self.list_tenants(filter).await?))
    }

    async fn check_subdomain(&self, request: Request<CheckSubdomainRequest>) -> Answer<CheckSubdomainResponse> {
        admit(self, &request, Role::Viewer)?;
        answer(convert::subdomain_response(self.check_subdomain(convert::subdomain_query(request.get_ref())).await?))
    }

    async fn onboard_tenant(&self, request: Request<OnboardTenantRequest>) -> Answer<OnboardTenantResponse> {
        let actor = admit(self, &request, Role::Operator)?;
        answer(convert::onboard_response(self.onboard(actor, convert::onboard_query(request.into_inner())?).await?))
    }

    async fn retry_provisioning(
        &self,
        request: Request<RetryProvisioningRequest>,
    ) -> Answer<RetryProvisioningResponse> {
        let actor = admit(self, &request, Role::Operator)?;
        answer(convert::provision_response(self.provision(actor, convert::provision_query(request.get_ref())?).await?))
    }

    async fn set_tenant_status(&self, request: Request<SetTenantStatusRequest>) -> Answer<SetTenantStatusResponse> {
        let actor = admit(self, &request, Role::Operator)?;
        answer(convert::status_response(self.mutate(actor, convert::status_query(request.get_ref())?).await?))
    }

    async fn enable_modules(&self, request: Request<EnableModulesRequest>) -> Answer<EnableModulesResponse> {
        let actor = admit(self, &request, Role::Operator)?;
        answer(convert::enable_response(self.mutate(actor, convert::enable_query(request.get_ref())?).await?))
    }

    async fn disable_modules(&self, request: Request<DisableModulesRequest>) -> Answer<DisableModulesResponse> {
        let actor = admit(self, &request, Role::Operator)?;
        answer(convert::disable_response(self.mutate(actor, convert::disable_query(request.get_ref())?).await?))
    }

    async fn change_plan(&self, request: Request<ChangePlanRequest>) -> Answer<ChangePlanResponse> {
        let actor = admit(self, &request, Role::Operator)?;
        answer(convert::plan_change_response(self.mutate(actor, convert::plan_change_query(request.get_ref())?).await?))
    }

    async fn preview_change(&self, request: Request<PreviewChangeRequest>) -> Answer<PreviewChangeResponse> {
        admit(self, &request, Role::Viewer)?;
        answer(convert::preview_response(self.preview(convert::preview_query(request.get_ref())?).await?))
    }

    async fn delete_tenant(&self, request: Request<DeleteTenantRequest>) -> Answer<DeleteTenantResponse> {
        let actor = admit(self, &request, Role::Owner)?;
        answer(convert::delete_response(self.delete(actor, convert::delete_query(request.get_ref())?).await?))
    }

    async fn list_audit_events(&self, request: Request<ListAuditEventsRequest>) -> Answer<ListAuditEventsResponse> {
        let (_, role) = admit_as(self, &request, Role::Viewer)?;
        answer(convert::audit_response(self.audit_events(convert::audit_query(request.get_ref())?, role).await?))
    }
}
