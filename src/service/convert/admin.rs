//! The messages of TenantAdminService.

use crate::{
    domain::SubdomainRefusal,
    proto::v1::{CheckSubdomainRequest, CheckSubdomainResponse, SubdomainReason},
    service::admin::SubdomainVerdict,
};

pub(in crate::service) fn subdomain_query(request: &CheckSubdomainRequest) -> &str {
    &request.subdomain
}

pub(in crate::service) fn subdomain_response(verdict: SubdomainVerdict) -> CheckSubdomainResponse {
    let SubdomainVerdict { schema, refusal } = verdict;
    let reason = match refusal {
        None => SubdomainReason::Available,
        Some(SubdomainRefusal::Invalid(_)) => SubdomainReason::Invalid,
        Some(SubdomainRefusal::Reserved) => SubdomainReason::Reserved,
        Some(SubdomainRefusal::Taken) => SubdomainReason::Taken,
        Some(SubdomainRefusal::SchemaTaken) => SubdomainReason::SchemaTaken,
    };
    CheckSubdomainResponse {
        available: refusal.is_none(),
        reason: reason.into(),
        message: refusal.map(|refusal| refusal.to_string()).unwrap_or_default(),
        database_schema: schema.unwrap_or_default(),
    }
}
