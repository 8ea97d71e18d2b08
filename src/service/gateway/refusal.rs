//! Why a request does not pass, and what its client receives.

use std::{error::Error, time::Duration};

use http::StatusCode;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::json;

use super::{Obstacle, RefusalKind};
use crate::{
    cache::LoadError,
    domain::{FeatureReason, Reason, resolve::Unresolved},
    routes::{RefusedMethod, RefusedPath},
    security::token::InvalidToken,
    service::{
        caller::NotAdmitted, check::Judgement, error::Unidentified, feature::FeatureJudgement,
        grpc::status,
    },
    store::StoreError,
};

/// When to retry after the database was unreachable.
const RETRY: Duration = Duration::from_secs(1);

const LATER: &str = "The request cannot be judged at the moment. Please try again later.";

const NOT_FOR_YOU: &str = "The gateway may not ask about this request.";

/// Why a request does not pass, in terms for its client.
#[derive(Clone, Debug)]
pub(in crate::service) struct Refusal {
    /// What kind of refusal it is.
    pub(in crate::service) kind: RefusalKind,
    /// A sentence for people.
    detail: String,
    plan_slugs: Vec<String>,
}

impl Refusal {
    fn new(kind: impl Into<RefusalKind>, detail: impl Into<String>) -> Self {
        Self { kind: kind.into(), detail: detail.into(), plan_slugs: Vec::new() }
    }

    /// The status of the client's response.
    pub(in crate::service) fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// A code for programs.
    pub(in crate::service) fn reason(&self) -> &'static str {
        self.kind.reason()
    }

    pub(super) fn method(refused: RefusedMethod) -> Self {
        Self::new(Obstacle::InvalidField, sentence(refused))
    }

    pub(super) fn path(refused: RefusedPath) -> Self {
        Self::new(Obstacle::PathRefused, sentence(refused))
    }

    pub(in crate::service) fn unreadable(header: &str, problem: &str) -> Self {
        Self::new(Obstacle::InvalidField, format!("The header {header} {problem}."))
    }

    /// A header of which one is expected came more than once.
    pub(in crate::service) fn repeated(header: &str) -> Self {
        Self::unreadable(header, "came more than once")
    }

    /// The judgement took too long.
    pub(super) fn too_late() -> Self {
        Self::new(Obstacle::DeadlineExceeded, LATER)
    }

    pub(super) fn not_mapped() -> Self {
        Self::new(Obstacle::RouteNotMapped, "This path is open to nobody.")
    }

    pub(super) fn closed() -> Self {
        Self::new(Obstacle::RouteClosed, "This path is closed.")
    }

    pub(super) fn not_verified() -> Self {
        let detail = "Only a token that names the tenant is accepted here. Please login.";
        Self::new(Obstacle::TenantNotVerified, detail)
    }

    pub(super) fn unidentified(error: Unidentified) -> Self {
        match error {
            Unidentified::Token(InvalidToken::NoKeysYet) => {
                Self::new(Obstacle::TokenKeysUnavailable, LATER)
            }
            Unidentified::Token(error) => {
                status::log_refused_token(&error);
                let detail = "The bearer token is not valid. Please login.";
                Self::new(Obstacle::TokenInvalid, detail)
            }
            Unidentified::Load(error) => Self::load(error),
            Unidentified::Unresolved(error) => Self::unresolved(error),
            Unidentified::NotAdmitted(refused) => Self::not_admitted(refused),
        }
    }

    /// The proxy itself may not ask.
    pub(in crate::service) fn not_admitted(refused: NotAdmitted) -> Self {
        match refused {
            NotAdmitted::Unknown => Self::new(Obstacle::CallerUnauthenticated, NOT_FOR_YOU),
            NotAdmitted::NotAllowed(_) => Self::new(Obstacle::CallerNotAllowed, NOT_FOR_YOU),
            NotAdmitted::TooMany(_) => Self::new(Obstacle::CallerTooFast, LATER),
        }
    }

    fn unresolved(error: Unresolved) -> Self {
        match error {
            // The sentence that the ERP's clients already show.
            Unresolved::NotNamed => {
                let detail = "Tenant context not found. Please login.";
                Self::new(Obstacle::TenantNotNamed, detail)
            }
            Unresolved::NotFound => {
                Self::new(Obstacle::TenantNotFound, Reason::TenantNotFound.message(""))
            }
            Unresolved::Conflict => {
                let detail = "Token, header and host do not name the same account.";
                Self::new(Obstacle::TenantConflict, detail)
            }
            Unresolved::NotServed(reason) => {
                Self::new(RefusalKind::Denied(reason), reason.message(""))
            }
        }
    }

    pub(super) fn load(error: LoadError) -> Self {
        let kind = match error {
            LoadError::Store(StoreError::Unreadable { .. }) => Obstacle::StoreUnreadable,
            LoadError::Overloaded | LoadError::Store(StoreError::PoolExhausted) => {
                Obstacle::Overloaded
            }
            _ => Obstacle::StoreUnavailable,
        };
        Self::new(kind, LATER)
    }

    pub(super) fn denied(judgement: Judgement<'_>) -> Self {
        let reason = judgement.decision.reason;
        let detail = reason.message(judgement.module);
        let plan_slugs = judgement.plan_slugs;
        Self { plan_slugs, ..Self::new(RefusalKind::Denied(reason), detail) }
    }

    /// The module is denied, or the feature is off: the words are those of CheckFeature.
    pub(super) fn feature_off(judgement: FeatureJudgement<'_>) -> Self {
        let kind = match judgement.reason {
            FeatureReason::ModuleDenied => RefusalKind::Denied(judgement.module.reason),
            reason => RefusalKind::FeatureOff(reason),
        };
        let detail = judgement.message();
        Self { plan_slugs: judgement.plan_slugs, ..Self::new(kind, detail) }
    }

    /// The headers of the client's response, but for the type of its body.
    pub(in crate::service) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("cache-control", "no-store".to_owned()),
            ("x-entitlement-reason", self.reason().to_owned()),
        ];
        match self.status() {
            // RFC 6750, section 3.
            StatusCode::UNAUTHORIZED if self.kind == Obstacle::TokenInvalid.into() => {
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

    /// A sentence for people.
    pub(in crate::service) fn detail(&self) -> &str {
        &self.detail
    }

    /// The code of gRPC for a client that speaks it. Where a client only gets a status of HTTP, it makes
    /// other codes of 400 and 404 ([gRPC's mapping](https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md)).
    pub(in crate::service) fn grpc_status(&self) -> &'static str {
        match self.status() {
            StatusCode::BAD_REQUEST => "3",
            StatusCode::NOT_FOUND => "5",
            StatusCode::FORBIDDEN => "7",
            StatusCode::INTERNAL_SERVER_ERROR => "13",
            StatusCode::UNAUTHORIZED => "16",
            _ => "14",
        }
    }

    /// The sentence as a header of gRPC has it: what is not visible ASCII, and `%`, is percent-encoded.
    pub(in crate::service) fn grpc_message(&self) -> String {
        const ENCODED: &AsciiSet = &CONTROLS.add(b'%');
        utf8_percent_encode(&self.detail, ENCODED).to_string()
    }

    /// The type of [`Self::problem`].
    pub(in crate::service) const PROBLEM_TYPE: &'static str = "application/problem+json";

    /// `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), as the callers' libraries write it.
    pub(in crate::service) fn problem(&self) -> String {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status().canonical_reason(),
            "status": self.status().as_u16(),
            "detail": self.detail,
            "reason": self.reason(),
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
