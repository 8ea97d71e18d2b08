//! Why a request does not pass, and what its client receives.

use std::{error::Error, time::Duration};

use http::StatusCode;
use serde_json::json;

use crate::{
    cache::LoadError,
    domain::{Reason, resolve::Unresolved},
    proto::v1::ErrorReason,
    routes::{RefusedMethod, RefusedPath},
    security::token::InvalidToken,
    service::{caller::NotAdmitted, check::Judgement, error::Unidentified, grpc::status},
    store::StoreError,
};

/// When to retry after the database was unreachable.
const RETRY: Duration = Duration::from_secs(1);

const LATER: &str = "The request cannot be judged at the moment. Please try again later.";

const NOT_FOR_YOU: &str = "The gateway may not ask about this request.";

/// Why a request does not pass, in terms for its client.
#[derive(Clone, Debug)]
pub(in crate::service) struct Refusal {
    pub(in crate::service) status: StatusCode,
    /// A code for programs.
    pub(in crate::service) reason: &'static str,
    /// A sentence for people.
    detail: String,
    plan_slugs: Vec<String>,
}

impl Refusal {
    fn new(status: StatusCode, reason: ErrorReason, detail: impl Into<String>) -> Self {
        Self { status, reason: status::word(reason), detail: detail.into(), plan_slugs: Vec::new() }
    }

    pub(super) fn method(refused: RefusedMethod) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorReason::InvalidField, sentence(refused))
    }

    pub(super) fn path(refused: RefusedPath) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorReason::PathRefused, sentence(refused))
    }

    pub(in crate::service) fn unreadable(header: &str, problem: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            ErrorReason::InvalidField,
            format!("The header {header} {problem}."),
        )
    }

    /// The judgement took too long.
    pub(in crate::service) fn too_late() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorReason::DeadlineExceeded, LATER)
    }

    pub(super) fn not_mapped() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            ErrorReason::RouteNotMapped,
            "This path is open to nobody.",
        )
    }

    pub(super) fn closed() -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorReason::RouteClosed, "This path is closed.")
    }

    pub(super) fn not_verified() -> Self {
        let detail = "Only a token that names the tenant is accepted here. Please login.";
        Self::new(StatusCode::UNAUTHORIZED, ErrorReason::TenantNotVerified, detail)
    }

    pub(super) fn unidentified(error: Unidentified) -> Self {
        match error {
            Unidentified::Token(InvalidToken::NoKeysYet) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorReason::TokenKeysUnavailable, LATER)
            }
            Unidentified::Token(error) => {
                status::log_refused_token(&error);
                let detail = "The bearer token is not valid. Please login.";
                Self::new(StatusCode::UNAUTHORIZED, ErrorReason::TokenInvalid, detail)
            }
            Unidentified::Load(error) => Self::load(error),
            Unidentified::Unresolved(error) => Self::unresolved(error),
            Unidentified::NotAdmitted(refused) => Self::not_admitted(refused),
        }
    }

    /// The proxy itself may not ask.
    pub(in crate::service) fn not_admitted(refused: NotAdmitted) -> Self {
        match refused {
            NotAdmitted::Unknown => {
                Self::new(StatusCode::FORBIDDEN, ErrorReason::CallerUnauthenticated, NOT_FOR_YOU)
            }
            NotAdmitted::NotAllowed(_) => {
                Self::new(StatusCode::FORBIDDEN, ErrorReason::CallerNotAllowed, NOT_FOR_YOU)
            }
            NotAdmitted::TooMany(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorReason::CallerTooFast, LATER)
            }
        }
    }

    fn unresolved(error: Unresolved) -> Self {
        match error {
            // The sentence that the ERP's clients already show.
            Unresolved::NotNamed => {
                let detail = "Tenant context not found. Please login.";
                Self::new(StatusCode::UNAUTHORIZED, ErrorReason::TenantNotFound, detail)
            }
            Unresolved::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                ErrorReason::TenantNotFound,
                Reason::TenantNotFound.message(""),
            ),
            Unresolved::Conflict => {
                let detail = "Token, header and host do not name the same account.";
                Self::new(StatusCode::FORBIDDEN, ErrorReason::TenantConflict, detail)
            }
            Unresolved::NotServed(reason) => Self {
                reason: reason.word(),
                ..Self::new(StatusCode::FORBIDDEN, ErrorReason::TenantNotServed, reason.message(""))
            },
        }
    }

    pub(super) fn load(error: LoadError) -> Self {
        match error {
            LoadError::Store(StoreError::Unreadable { .. }) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorReason::StoreUnreadable, LATER)
            }
            LoadError::Overloaded | LoadError::Store(StoreError::PoolExhausted) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorReason::Overloaded, LATER)
            }
            _ => Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorReason::StoreUnavailable, LATER),
        }
    }

    pub(super) fn denied(judgement: Judgement<'_>) -> Self {
        let reason = judgement.decision.reason;
        Self {
            status: StatusCode::FORBIDDEN,
            reason: reason.word(),
            detail: reason.message(judgement.module),
            plan_slugs: judgement.plan_slugs,
        }
    }

    /// The headers of the client's response.
    pub(in crate::service) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", "application/problem+json".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("x-entitlement-reason", self.reason.to_owned()),
        ];
        match self.status {
            // RFC 6750, section 3.
            StatusCode::UNAUTHORIZED if self.reason == status::word(ErrorReason::TokenInvalid) => {
                headers.push(("www-authenticate", r#"Bearer error="invalid_token""#.to_owned()));
            }
            StatusCode::UNAUTHORIZED => headers.push(("www-authenticate", "Bearer".to_owned())),
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.push(("retry-after", RETRY.as_secs().to_string()));
            }
            _ => {}
        }
        headers
    }

    /// `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), as the callers' libraries write it.
    pub(in crate::service) fn body(&self) -> String {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "reason": self.reason,
        });
        if !self.plan_slugs.is_empty() {
            body["plan_slugs"] = json!(self.plan_slugs);
        }
        body.to_string()
    }
}

/// An error's message as a sentence. Messages begin with an ASCII letter.
fn sentence(error: impl Error) -> String {
    let mut sentence = error.to_string();
    sentence[..1].make_ascii_uppercase();
    sentence + "."
}
