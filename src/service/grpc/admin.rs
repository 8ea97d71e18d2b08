//! TenantAdminService: every method first states which role it needs.

use tonic::{Request, Status, async_trait};

use super::{Answer, compression::sized, convert};
use crate::{
    domain::Role,
    proto::v1::{
        ChangePlanRequest, ChangePlanResponse, CheckSubdomainRequest, CheckSubdomainResponse,
        DeleteTenantRequest, DeleteTenantResponse, DisableModulesRequest, DisableModulesResponse,
        EnableModulesRequest, EnableModulesResponse, GetTenantRequest, GetTenantResponse,
        ListAuditEventsRequest, ListAuditEventsResponse, ListModulesRequest, ListModulesResponse,
        ListPlansRequest, ListPlansResponse, ListTenantsRequest, ListTenantsResponse,
        OnboardTenantRequest, OnboardTenantResponse, PreviewChangeRequest, PreviewChangeResponse,
        RetryProvisioningRequest, RetryProvisioningResponse, SetTenantStatusRequest,
        SetTenantStatusResponse, UpsertModuleRequest, UpsertModuleResponse, UpsertPlanRequest,
        UpsertPlanResponse, tenant_admin_service_server::TenantAdminService,
    },
    service::admin::{AdminApi, AdminError, Administrator},
};

/// The administrator that makes a request, if they have the needed role.
pub(super) fn admit<T>(request: &Request<T>, needed: Role) -> Result<Administrator, Status> {
    // The front has put it there; a request that bypassed the front has none.
    let administrator: &Administrator =
        request.extensions().get().ok_or(AdminError::Unauthenticated)?;
    administrator.may(needed)?;
    Ok(administrator.clone())
}

#[async_trait]
impl TenantAdminService for AdminApi {
    async fn list_modules(
        &self,
        request: Request<ListModulesRequest>,
    ) -> Answer<ListModulesResponse> {
        admit(&request, Role::Viewer)?;
        sized(convert::modules_response(
            self.modules(convert::modules_query(request.into_inner())).await?,
        ))
    }

    async fn list_plans(&self, request: Request<ListPlansRequest>) -> Answer<ListPlansResponse> {
        admit(&request, Role::Viewer)?;
        sized(convert::plans_response(
            self.plans(convert::plans_query(request.into_inner())).await?,
        ))
    }

    async fn upsert_module(
        &self,
        request: Request<UpsertModuleRequest>,
    ) -> Answer<UpsertModuleResponse> {
        let actor = admit(&request, Role::Owner)?.name;
        let query = convert::module_upsert_query(request.into_inner())?;
        sized(convert::module_upsert_response(self.upsert_module(actor, query).await?))
    }

    async fn upsert_plan(&self, request: Request<UpsertPlanRequest>) -> Answer<UpsertPlanResponse> {
        let actor = admit(&request, Role::Owner)?.name;
        let query = convert::plan_upsert_query(request.into_inner())?;
        sized(convert::plan_upsert_response(self.upsert_plan(actor, query).await?))
    }

    async fn get_tenant(&self, request: Request<GetTenantRequest>) -> Answer<GetTenantResponse> {
        admit(&request, Role::Viewer)?;
        sized(convert::tenant_response(self.tenant(convert::tenant_key(request.get_ref())?).await?))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Answer<ListTenantsResponse> {
        admit(&request, Role::Viewer)?;
        let filter = convert::list_tenants_query(request.get_ref())?;
        sized(convert::list_tenants_response(self.list_tenants(filter).await?))
    }

    async fn check_subdomain(
        &self,
        request: Request<CheckSubdomainRequest>,
    ) -> Answer<CheckSubdomainResponse> {
        admit(&request, Role::Viewer)?;
        sized(convert::subdomain_response(
            self.check_subdomain(convert::subdomain_query(request.get_ref())).await?,
        ))
    }

    async fn onboard_tenant(
        &self,
        request: Request<OnboardTenantRequest>,
    ) -> Answer<OnboardTenantResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        sized(convert::onboard_response(
            self.onboard(actor, convert::onboard_query(request.into_inner())?).await?,
        ))
    }

    async fn retry_provisioning(
        &self,
        request: Request<RetryProvisioningRequest>,
    ) -> Answer<RetryProvisioningResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        sized(convert::provision_response(
            self.provision(actor, convert::provision_query(request.get_ref())?).await?,
        ))
    }

    async fn set_tenant_status(
        &self,
        request: Request<SetTenantStatusRequest>,
    ) -> Answer<SetTenantStatusResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        sized(convert::status_response(
            self.mutate(actor, convert::status_query(request.get_ref())?).await?,
        ))
    }

    async fn enable_modules(
        &self,
        request: Request<EnableModulesRequest>,
    ) -> Answer<EnableModulesResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        sized(convert::enable_response(
            self.mutate(actor, convert::enable_query(request.get_ref())?).await?,
        ))
    }

    async fn disable_modules(
        &self,
        request: Request<DisableModulesRequest>,
    ) -> Answer<DisableModulesResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        sized(convert::disable_response(
            self.mutate(actor, convert::disable_query(request.get_ref())?).await?,
        ))
    }

    async fn change_plan(&self, request: Request<ChangePlanRequest>) -> Answer<ChangePlanResponse> {
        let actor = admit(&request, Role::Operator)?.name;
        sized(convert::plan_change_response(
            self.mutate(actor, convert::plan_change_query(request.get_ref())?).await?,
        ))
    }

    async fn preview_change(
        &self,
        request: Request<PreviewChangeRequest>,
    ) -> Answer<PreviewChangeResponse> {
        admit(&request, Role::Viewer)?;
        sized(convert::preview_response(
            self.preview(convert::preview_query(request.get_ref())?).await?,
        ))
    }

    async fn delete_tenant(
        &self,
        request: Request<DeleteTenantRequest>,
    ) -> Answer<DeleteTenantResponse> {
        let actor = admit(&request, Role::Owner)?.name;
        sized(convert::delete_response(
            self.delete(actor, convert::delete_query(request.get_ref())?).await?,
        ))
    }

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Answer<ListAuditEventsResponse> {
        let role = admit(&request, Role::Viewer)?.role;
        sized(convert::audit_response(
            self.audit_events(convert::audit_query(request.get_ref())?, role).await?,
        ))
    }
}
