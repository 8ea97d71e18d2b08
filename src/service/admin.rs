//! TenantAdminService: for operators, on a listener of its own. Every method first says who may ask.

mod catalogue;
mod front;
mod gate;
mod subdomain;
mod tenant;

pub(super) use self::{subdomain::SubdomainVerdict, tenant::TenantRecord};
use tonic::{Request, async_trait};

pub use self::{
    front::{AdminFront, Peer},
    gate::Gate,
};
use super::{Answer, Api, answer, convert};
use crate::{
    domain::Role,
    proto::v1::{
        CheckSubdomainRequest, CheckSubdomainResponse, GetTenantRequest, GetTenantResponse, ListModulesRequest,
        ListModulesResponse, ListPlansRequest, ListPlansResponse, tenant_admin_service_server::TenantAdminService,
    },
};

/// Everything that an administrator's answer is made from.
#[derive(Clone, Debug)]
pub struct AdminApi {
    /// What the others' answers are made from.
    pub api: Api,
    /// Who may ask.
    pub gate: Gate,
}

#[async_trait]
impl TenantAdminService for AdminApi {
    async fn list_modules(&self, request: Request<ListModulesRequest>) -> Answer<ListModulesResponse> {
        self.admit(&request, Role::Viewer)?;
        answer(convert::modules_response(self.modules(convert::modules_query(request.into_inner())).await?))
    }

    async fn list_plans(&self, request: Request<ListPlansRequest>) -> Answer<ListPlansResponse> {
        self.admit(&request, Role::Viewer)?;
        answer(convert::plans_response(self.plans(convert::plans_query(request.into_inner())).await?))
    }

    async fn get_tenant(&self, request: Request<GetTenantRequest>) -> Answer<GetTenantResponse> {
        self.admit(&request, Role::Viewer)?;
        answer(convert::tenant_response(self.tenant(convert::tenant_key(request.get_ref())?).await?))
    }

    async fn check_subdomain(&self, request: Request<CheckSubdomainRequest>) -> Answer<CheckSubdomainResponse> {
        self.admit(&request, Role::Viewer)?;
        answer(convert::subdomain_response(self.check_subdomain(convert::subdomain_query(request.get_ref())).await?))
    }
}
