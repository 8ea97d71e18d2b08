//! Words of the domain, as the wire has them.

use crate::{
    domain::{Reason, TenantStatus, explain::LineOutcome, resolve::TenantSource},
    proto::v1 as pb,
};

pub(in crate::service::grpc::convert) fn reason(reason: Reason) -> pb::DecisionReason {
    match reason {
        Reason::TenantNotFound => pb::DecisionReason::TenantNotFound,
        Reason::TenantSuspended => pb::DecisionReason::TenantSuspended,
        Reason::TenantCancelled => pb::DecisionReason::TenantCancelled,
        Reason::TenantNotServed => pb::DecisionReason::TenantNotServed,
        Reason::ModuleNotFound => pb::DecisionReason::ModuleNotFound,
        Reason::NotSubscribed => pb::DecisionReason::NotSubscribed,
        Reason::SubscriptionSuspended => pb::DecisionReason::SubscriptionSuspended,
        Reason::SubscriptionCancelled => pb::DecisionReason::SubscriptionCancelled,
        Reason::SubscriptionExpired => pb::DecisionReason::SubscriptionExpired,
        Reason::SubscriptionInactive => pb::DecisionReason::SubscriptionInactive,
        Reason::SubscriptionNotStarted => pb::DecisionReason::SubscriptionNotStarted,
        Reason::TrialEnded => pb::DecisionReason::TrialEnded,
        Reason::Enabled => pb::DecisionReason::Enabled,
    }
}

pub(in crate::service::grpc::convert) fn tenant_status(status: TenantStatus) -> pb::TenantStatus {
    match status {
        TenantStatus::Active => pb::TenantStatus::Active,
        TenantStatus::Pending => pb::TenantStatus::Pending,
        TenantStatus::PendingSetup => pb::TenantStatus::PendingSetup,
        TenantStatus::Suspended => pb::TenantStatus::Suspended,
        TenantStatus::Cancelled => pb::TenantStatus::Cancelled,
        TenantStatus::Failed => pb::TenantStatus::Failed,
        TenantStatus::Other => pb::TenantStatus::Other,
    }
}

pub(super) fn tenant_source(source: TenantSource) -> pb::TenantSource {
    match source {
        TenantSource::BearerToken => pb::TenantSource::BearerToken,
        TenantSource::TenantId => pb::TenantSource::TenantId,
        TenantSource::Host => pb::TenantSource::Host,
        TenantSource::Certificate => pb::TenantSource::Certificate,
    }
}

pub(in crate::service::grpc::convert) fn outcome(outcome: LineOutcome) -> pb::RuleOutcome {
    match outcome {
        LineOutcome::Passed => pb::RuleOutcome::Passed,
        LineOutcome::Decides => pb::RuleOutcome::Decides,
        LineOutcome::NotReached => pb::RuleOutcome::NotReached,
    }
}
