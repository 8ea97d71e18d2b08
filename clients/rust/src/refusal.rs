//! What a service answers when it refuses a request.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{Answer, Error, FeatureAnswer, FeatureReason, LimitDecision, LimitReason, Reservation};

const NO_TENANT: &str = "Tenant context not found. Please login.";
const LATER: &str = "The request cannot be judged at the moment. Please try again later.";
/// The `ErrorInfo.domain` of the server's statuses.
const DOMAIN: &str = "entitlement.v1";
/// When to retry if the server does not say.
const RETRY: Duration = Duration::from_secs(1);

/// Why a service refuses a request, in words for its own caller: problem+json over HTTP, a status
/// over gRPC.
///
/// | | HTTP | gRPC |
/// |---|---|---|
/// | no tenant, an unknown one, a token that is not valid | 401 | UNAUTHENTICATED |
/// | the tenant may not, is not served, or two are named | 403 | PERMISSION_DENIED |
/// | what names the tenant cannot be read | 400 | INVALID_ARGUMENT |
/// | an outage | 503 with `retry-after` | UNAVAILABLE with RetryInfo |
/// | entitlementd refuses the service itself | 500 | INTERNAL |
#[derive(Clone, Debug)]
#[must_use]
pub struct Refusal {
    pub(crate) code: Code,
    pub(crate) detail: String,
    pub(crate) reason: String,
    pub(crate) plan_slugs: Vec<String>,
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// The gRPC code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// A sentence that can be shown to a person.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// A code for programs: `NOT_SUBSCRIBED`, `TENANT_CONFLICT`, or `UNSPECIFIED` if the reason is
    /// not known.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The slugs of the plans on sale that contain the module, cheapest first.
    pub fn plan_slugs(&self) -> &[String] {
        &self.plan_slugs
    }

    fn new(code: Code, detail: &str, reason: &str) -> Self {
        let (detail, reason) = (detail.to_owned(), reason.to_owned());
        Self { code, detail, reason, plan_slugs: Vec::new(), retry_after: None }
    }

    /// Nothing that the request carries names a tenant.
    pub(crate) fn no_tenant() -> Self {
        Self::new(Code::Unauthenticated, NO_TENANT, "TENANT_NOT_FOUND")
    }

    /// A header that names the tenant cannot be read.
    #[cfg(feature = "tower")]
    pub(crate) fn unreadable(header: &str) -> Self {
        Self::new(
            Code::InvalidArgument,
            &format!("The header {header} cannot be read."),
            "INVALID_FIELD",
        )
    }

    fn later(status: &Status) -> Self {
        let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
        Self {
            retry_after: told.or(Some(RETRY)),
            ..Self::new(Code::Unavailable, LATER, "UNSPECIFIED")
        }
    }

    /// A denial; 503 if the outage rule denied, because it is not known whether the tenant may use
    /// the module.
    pub(crate) fn of_denial(answer: &Answer) -> Self {
        let said = (answer.message(), answer.reason.as_str());
        Self::of_no(answer.by_outage_rule, said, answer.plan_slugs())
    }

    /// A feature that is off, likewise.
    fn of_feature(answer: &FeatureAnswer) -> Self {
        // What a stale list says is known.
        let by_rule = answer.by_outage_rule && answer.reason == FeatureReason::Unspecified;
        Self::of_no(by_rule, (answer.message(), answer.word()), answer.plan_slugs())
    }

    /// What is beyond a limit, likewise.
    fn of_limit(decision: &LimitDecision) -> Self {
        let by_rule = decision.by_outage_rule() && decision.reason() == LimitReason::Unspecified;
        Self::of_no(by_rule, (decision.message(), decision.word()), decision.plan_slugs())
    }

    /// What was not to be had of a limit. No outage rule says so.
    fn of_reservation(reservation: &Reservation) -> Self {
        let said = (reservation.message(), reservation.word());
        Self::of_no(false, said, reservation.plan_slugs())
    }

    fn of_no(by_outage_rule: bool, (message, reason): (&str, &str), plan_slugs: &[String]) -> Self {
        if by_outage_rule {
            return Self {
                retry_after: Some(RETRY),
                ..Self::new(Code::Unavailable, message, reason)
            };
        }
        let plan_slugs = plan_slugs.to_vec();
        Self { plan_slugs, ..Self::new(Code::PermissionDenied, message, reason) }
    }

    /// The server refuses: its message is passed on if it concerns what the request carried, and
    /// withheld if it concerns a mistake of the service itself.
    fn of_refused(status: &Status, reason: &str) -> Self {
        match status.code() {
            Code::NotFound => Self::no_tenant(),
            code @ (Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied)
                if !reason.starts_with("CALLER_") =>
            {
                Self::new(code, status.message(), reason)
            }
            _ => Self::broken(status),
        }
    }

    /// The service asks incorrectly, or may not ask: nothing that its own caller could fix.
    pub(crate) fn broken(status: &Status) -> Self {
        tracing::error!(code = ?status.code(), "entitlementd refuses this service: {}", status.message());
        Self::new(Code::Internal, LATER, "UNSPECIFIED")
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match &error {
            Error::Denied(answer) => Self::of_denial(answer),
            Error::FeatureOff(answer) => Self::of_feature(answer),
            Error::BeyondLimit(decision) => Self::of_limit(decision),
            Error::NotReserved(reservation) => Self::of_reservation(reservation),
            Error::Unavailable(status) => Self::later(status),
            Error::Refused(status) => Self::of_refused(status, &error.word()),
        }
    }
}

impl From<Refusal> for Status {
    fn from(Refusal { code, detail, reason, retry_after, .. }: Refusal) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, HashMap::new());
        if let Some(delay) = retry_after {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(code, detail, details)
    }
}

/// For `?` in a method of a tonic service.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Refusal::from(error).into()
    }
}
