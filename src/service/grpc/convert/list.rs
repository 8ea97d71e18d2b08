//! The messages of ListTenants and DeleteTenant.

use tonic::Status;

use super::{mutations::change, requests::Fields, responses::tenant_status};
use crate::{
    domain::{
        TenantId, TenantStatus,
        limits::{DEFAULT_PAGE, MAX_SEARCH_CHARS},
    },
    proto::v1::{
        self as pb, DeleteTenantRequest, DeleteTenantResponse, ListTenantsRequest,
        ListTenantsResponse,
    },
    service::admin::{DeleteQuery, TenantListPage},
    store::{Deletion, ListedTenant, Mutated, TenantFilter},
};

pub(in crate::service) fn list_tenants_query(
    request: &ListTenantsRequest,
) -> Result<TenantFilter, Status> {
    let ListTenantsRequest { statuses, plan_slug, module_code, text, page_size, page_token } =
        request;
    let mut fields = Fields::default();
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    if !module_code.is_empty() {
        fields.codes("module_code", std::slice::from_ref(module_code));
    }
    if text.chars().count() > MAX_SEARCH_CHARS || text.contains('\0') {
        fields.violated(
            "text",
            format!("must be at most {MAX_SEARCH_CHARS} characters, none of them NUL"),
        );
    }
    if plan_slug.contains('\0') {
        fields.violated("plan_slug", "must not contain NUL");
    }
    let filter = TenantFilter {
        statuses: statuses.iter().filter_map(|status| fields.status(*status)).collect(),
        plan: given(plan_slug),
        module: given(module_code),
        text: given(text),
        after: fields.page_token(page_token, |token| TenantId::parse(token).ok()),
        size: fields.page_size(*page_size, DEFAULT_PAGE),
    };
    fields.all_good(Some(filter))
}

impl Fields {
    fn status(&mut self, status: i32) -> Option<TenantStatus> {
        match pb::TenantStatus::try_from(status) {
            Ok(pb::TenantStatus::Active) => Some(TenantStatus::Active),
            Ok(pb::TenantStatus::Pending) => Some(TenantStatus::Pending),
            Ok(pb::TenantStatus::PendingSetup) => Some(TenantStatus::PendingSetup),
            Ok(pb::TenantStatus::Suspended) => Some(TenantStatus::Suspended),
            Ok(pb::TenantStatus::Cancelled) => Some(TenantStatus::Cancelled),
            Ok(pb::TenantStatus::Failed) => Some(TenantStatus::Failed),
            Ok(pb::TenantStatus::Other) => Some(TenantStatus::Other),
            Ok(pb::TenantStatus::Unspecified) | Err(_) => {
                self.violated("statuses", "must be statuses of tenants");
                None
            }
        }
    }
}

pub(in crate::service) fn list_tenants_response(page: TenantListPage) -> ListTenantsResponse {
    let TenantListPage { list, next } = page;
    ListTenantsResponse {
        tenants: list.tenants.into_iter().map(listed).collect(),
        next_page_token: next.as_ref().map(TenantId::to_string).unwrap_or_default(),
        total: list.total,
    }
}

fn listed(tenant: ListedTenant) -> pb::ListedTenant {
    let ListedTenant { id, name, subdomain, database_schema, status, plan_slug } = tenant;
    pb::ListedTenant {
        id: id.to_string(),
        name,
        subdomain,
        database_schema,
        status: tenant_status(TenantStatus::of(&status)).into(),
        status_word: status,
        plan_slug,
    }
}

pub(in crate::service) fn delete_query(
    request: &DeleteTenantRequest,
) -> Result<DeleteQuery, Status> {
    let DeleteTenantRequest { tenant, name, force, reason, request_id, keep_schema } = request;
    let mut fields = Fields::default();
    let key = fields.tenant_key("tenant", tenant);
    if name.is_empty() {
        fields.violated("name", "must be the tenant's name, repeated");
    }
    let purpose = fields.purpose(reason, request_id);
    let deletion =
        |key| Deletion { key, name: name.clone(), force: *force, keep_schema: *keep_schema };
    let query = key.map(|key| DeleteQuery { deletion: deletion(key), purpose });
    fields.all_good(query)
}

pub(in crate::service) fn delete_response(mutated: Mutated) -> DeleteTenantResponse {
    DeleteTenantResponse { change: Some(change(mutated)) }
}
