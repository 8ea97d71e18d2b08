//! How a refusal is written.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use tonic::{Code, Status};

use crate::Refusal;

/// How a service speaks with its callers: [`Http`] or [`Grpc`].
pub trait Protocol<B> {
    /// The refusal as a response.
    fn write(refusal: Refusal) -> Response<B>;
}

/// Refuses with `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), the sentence as `detail`.
#[derive(Clone, Copy, Debug)]
pub enum Http {}

/// Refuses with a gRPC status that carries an `ErrorInfo`.
#[derive(Clone, Copy, Debug)]
pub enum Grpc {}

impl<B: From<String>> Protocol<B> for Http {
    fn write(refusal: Refusal) -> Response<B> {
        problem(&refusal)
    }
}

impl<B: Default> Protocol<B> for Grpc {
    fn write(refusal: Refusal) -> Response<B> {
        Status::from(refusal).into_http()
    }
}

pub(crate) fn problem<B: From<String>>(refusal: &Refusal) -> Response<B> {
    let status = status(refusal.code);
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": refusal.detail,
        "reason": refusal.reason,
    });
    if !refusal.plan_slugs.is_empty() {
        body["plan_slugs"] = json!(refusal.plan_slugs);
    }
    let mut response = Response::new(B::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(delay) = refusal.retry_after {
        // Whole seconds, rounded up: nobody should retry too early.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
