//! The kinds of refusals, each with its status and its reason: a closed set, which is counted by.

use http::StatusCode;

use crate::{
    domain::{FeatureReason, Reason},
    observability::metrics::{MetricLabel, label},
};

/// A kind of refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::service) enum RefusalKind {
    /// The tenant is not served, or may not use the module.
    Denied(Reason),
    /// The module may be used, and the feature is off.
    FeatureOff(FeatureReason),
    /// It does not come to a decision.
    Obstacle(Obstacle),
}

label! {
    /// Why a request does not come to a decision, each with the word that `ErrorReason` has for it.
    pub(in crate::service) enum Obstacle {
        /// The method or a header cannot be read.
        InvalidField => "INVALID_FIELD",
        /// The path is spelled in a way that services may read differently.
        PathRefused => "PATH_REFUSED",
        /// The judgement took too long.
        DeadlineExceeded => "DEADLINE_EXCEEDED",
        /// No rule is about the request.
        RouteNotMapped => "ROUTE_NOT_MAPPED",
        /// A rule closes the path.
        RouteClosed => "ROUTE_CLOSED",
        /// Nothing vouches for the tenant.
        TenantNotVerified => "TENANT_NOT_VERIFIED",
        /// No tenant is named.
        TenantNotNamed => "TENANT_NOT_FOUND",
        /// There is no such tenant.
        TenantNotFound => "TENANT_NOT_FOUND",
        /// Several tenants are named.
        TenantConflict => "TENANT_CONFLICT",
        /// The bearer token is not valid.
        TokenInvalid => "TOKEN_INVALID",
        /// The keys for bearer tokens are not there yet.
        TokenKeysUnavailable => "TOKEN_KEYS_UNAVAILABLE",
        /// The proxy is not known.
        CallerUnauthenticated => "CALLER_UNAUTHENTICATED",
        /// The proxy may not ask this.
        CallerNotAllowed => "CALLER_NOT_ALLOWED",
        /// The proxy exceeds its rate.
        CallerTooFast => "CALLER_TOO_FAST",
        /// A row of the database cannot be read.
        StoreUnreadable => "STORE_UNREADABLE",
        /// The database cannot be asked.
        StoreUnavailable => "STORE_UNAVAILABLE",
        /// Too many loads wait for the database.
        Overloaded => "OVERLOADED",
    }
}

impl From<Obstacle> for RefusalKind {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

impl RefusalKind {
    /// How many kinds there are.
    pub(in crate::service) const COUNT: usize =
        Reason::ALL.len() + FeatureReason::ALL.len() + Obstacle::ALL.len();

    /// All kinds, in the order of their numbers.
    pub(in crate::service) fn all() -> impl Iterator<Item = Self> {
        let obstacles = Obstacle::ALL.iter().copied().map(Self::Obstacle);
        let features = FeatureReason::ALL.into_iter().map(Self::FeatureOff);
        Reason::ALL.into_iter().map(Self::Denied).chain(features).chain(obstacles)
    }

    /// Its place among all.
    pub(in crate::service) fn number(self) -> usize {
        match self {
            Self::Denied(reason) => reason.number(),
            Self::FeatureOff(reason) => Reason::ALL.len() + reason.number(),
            Self::Obstacle(obstacle) => {
                Reason::ALL.len() + FeatureReason::ALL.len() + obstacle.number()
            }
        }
    }

    /// The status of the client's response.
    pub(in crate::service) fn status(self) -> StatusCode {
        match self {
            Self::Denied(_) | Self::FeatureOff(_) => StatusCode::FORBIDDEN,
            Self::Obstacle(obstacle) => obstacle.status(),
        }
    }

    /// A code for programs.
    pub(in crate::service) fn reason(self) -> &'static str {
        match self {
            Self::Denied(reason) => reason.word(),
            Self::FeatureOff(reason) => reason.word(),
            Self::Obstacle(obstacle) => obstacle.word(),
        }
    }
}

impl Obstacle {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidField | Self::PathRefused => StatusCode::BAD_REQUEST,
            Self::TenantNotVerified | Self::TenantNotNamed | Self::TokenInvalid => {
                StatusCode::UNAUTHORIZED
            }
            Self::RouteNotMapped
            | Self::RouteClosed
            | Self::TenantConflict
            | Self::CallerUnauthenticated
            | Self::CallerNotAllowed => StatusCode::FORBIDDEN,
            Self::TenantNotFound => StatusCode::NOT_FOUND,
            Self::StoreUnreadable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::DeadlineExceeded
            | Self::TokenKeysUnavailable
            | Self::CallerTooFast
            | Self::StoreUnavailable
            | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::ErrorReason;

    #[test]
    fn each_kind_has_its_number_and_no_two_would_be_one_series() {
        let all: Vec<_> = RefusalKind::all().collect();
        assert_eq!(all.len(), RefusalKind::COUNT);
        let mut series = Vec::new();
        for (number, kind) in all.into_iter().enumerate() {
            assert_eq!(kind.number(), number, "{kind:?}");
            series.push((kind.reason(), kind.status()));
        }
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), RefusalKind::COUNT);
    }

    #[test]
    fn each_obstacle_is_a_reason_of_the_api() {
        for obstacle in Obstacle::ALL {
            let name = format!("ERROR_REASON_{}", obstacle.word());
            assert!(ErrorReason::from_str_name(&name).is_some(), "{name}");
        }
    }
}
