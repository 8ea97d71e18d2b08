//! Where each method is answered, and for whom.

use super::front::Limit;
use crate::{
    domain::limits::{MAX_AUTHZ_REQUEST_BYTES, MAX_REQUEST_BYTES, MAX_USAGE_REQUEST_BYTES},
    proto::Method,
    security::callers::CallerService,
    service::admin::SETUP_TIMEOUT,
};

/// The listener that answers a method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Home {
    /// The data listener, for callers that may use this service.
    Data(CallerService),
    /// The admin listener, within this limit.
    Admin(Limit),
}

/// Every method has a place here, or the program does not compile.
pub(super) fn home(method: Method) -> Home {
    match method {
        Method::ResolveTenant
        | Method::CheckModule
        | Method::BatchCheckModules
        | Method::CheckFeature
        | Method::BatchCheckFeatures
        | Method::CheckLimit
        | Method::ListEnabledModules
        | Method::Authorize
        | Method::ExplainModule
        | Method::ExplainFeature
        | Method::ExplainLimit
        | Method::ListTenantIds
        | Method::WatchChanges => Home::Data(CallerService::Entitlement),
        Method::ReserveUsage
        | Method::ReleaseUsage
        | Method::ReconcileUsage
        | Method::AcquireUsageLease
        | Method::SettleUsageLease
        | Method::RecordUsage
        | Method::QueryUsage => Home::Data(CallerService::Usage),
        Method::GetFacts | Method::GetCatalogue | Method::ListTenantKeys | Method::FollowFacts => {
            Home::Data(CallerService::Replication)
        }
        Method::IssueLease => Home::Data(CallerService::Leases),
        Method::Check => Home::Data(CallerService::ExtAuthz),
        Method::ListModules
        | Method::ListPlans
        | Method::UpsertModule
        | Method::UpsertPlan
        | Method::GetTenant
        | Method::ListTenants
        | Method::CheckSubdomain
        | Method::SetTenantStatus
        | Method::EnableModules
        | Method::DisableModules
        | Method::ChangePlan
        | Method::PreviewChange
        | Method::ListAuditEvents
        | Method::ListFeatures
        | Method::ListLimits
        | Method::UpsertFeature
        | Method::UpsertLimit
        | Method::SetTenantFlag
        | Method::DeleteTenantFlag
        | Method::SetLimitOverride
        | Method::EndLimitOverride
        | Method::EndKeptFeature
        | Method::EndKeptLimit
        | Method::SetTimeZone
        | Method::SetPlanFeature
        | Method::SetPlanLimit
        | Method::PreviewFeatureChange => Home::Admin(Limit::Request),
        // These methods make or drop a schema.
        Method::OnboardTenant | Method::RetryProvisioning | Method::DeleteTenant => {
            Home::Admin(Limit::LongRequest(SETUP_TIMEOUT))
        }
    }
}

/// How large a request of a method may be, in bytes.
pub(super) fn max_request_bytes(method: Method) -> usize {
    match home(method) {
        Home::Data(service) => max_request_bytes_of(service),
        Home::Admin(_) => MAX_REQUEST_BYTES,
    }
}

/// The same for all methods of a service.
pub(super) fn max_request_bytes_of(service: CallerService) -> usize {
    match service {
        CallerService::ExtAuthz => MAX_AUTHZ_REQUEST_BYTES,
        CallerService::Usage | CallerService::UsageCorrections => MAX_USAGE_REQUEST_BYTES,
        CallerService::Entitlement
        | CallerService::ForwardAuth
        | CallerService::Leases
        | CallerService::Replication => MAX_REQUEST_BYTES,
    }
}

/// May an answer of a method on the data listener be so large that it is worth compressing?
/// Messages of streams are small: there are just many of them.
pub(super) fn may_be_large(method: Method) -> bool {
    matches!(
        method,
        Method::BatchCheckModules
            | Method::BatchCheckFeatures
            | Method::ListEnabledModules
            | Method::ExplainModule
            | Method::ExplainFeature
            | Method::ExplainLimit
            | Method::ListTenantIds
            | Method::ReconcileUsage
            | Method::QueryUsage
            | Method::GetFacts
            | Method::GetCatalogue
            | Method::ListTenantKeys
            | Method::FollowFacts
            | Method::IssueLease
    )
}
