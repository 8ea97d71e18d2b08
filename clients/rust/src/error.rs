//! What can go wrong.

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{Answer, FeatureAnswer, LimitDecision, Reservation};

/// Why there is no grant or no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tenant may not use the module. From [`require`](crate::Entitlements::require) only.
    #[error("{}", .0.message())]
    Denied(Answer),
    /// The feature is off. From [`require_feature`](crate::Entitlements::require_feature) only.
    #[error("{}", .0.message())]
    FeatureOff(FeatureAnswer),
    /// It is not within the limit. From
    /// [`require_within_limit`](crate::Entitlements::require_within_limit) only.
    #[error("{}", .0.message())]
    BeyondLimit(Box<LimitDecision>),
    /// So much of the limit was not to be had. From
    /// [`reserve_guarded`](crate::Entitlements::reserve_guarded) and
    /// [`keep`](crate::ReservationGuard::keep) only.
    #[error("{}", .0.message())]
    NotReserved(Box<Reservation>),
    /// The server cannot be asked, and no answer is held. Try again later.
    #[error("entitlementd cannot be asked: {}", .0.message())]
    Unavailable(Status),
    /// The server refused the question; asking again does not help.
    #[error("entitlementd refused: {}", .0.message())]
    Refused(Status),
}

impl Error {
    /// The server's word for it: the reason of a denial, or the one in the status's `ErrorInfo`,
    /// such as `TENANT_CONFLICT`.
    pub fn word(&self) -> String {
        match self {
            Self::Denied(answer) => answer.reason().as_str().to_owned(),
            Self::FeatureOff(answer) => answer.word().to_owned(),
            Self::BeyondLimit(decision) => decision.word().to_owned(),
            Self::NotReserved(reservation) => reservation.word().to_owned(),
            Self::Unavailable(status) | Self::Refused(status) => {
                let told = status.get_details_error_info().map(|info| info.reason);
                told.unwrap_or_else(|| format!("{:?}", status.code()).to_uppercase())
            }
        }
    }
}

/// Does it mean that the server does not answer, rather than that it refuses? See the table in
/// `clients/README.md`.
pub(crate) fn is_outage(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Unknown
    )
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        if is_outage(&status) { Self::Unavailable(status) } else { Self::Refused(status) }
    }
}
