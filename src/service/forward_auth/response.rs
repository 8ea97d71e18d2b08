//! Responses to a proxy that asks over HTTP.

use std::fmt::Write;

use http::{HeaderName, HeaderValue, Response, StatusCode};
use tonic::body::Body;

use super::dialect::Understands;
use crate::service::gateway::{AuthzDecision, Refusal, TRUSTED, Verdict};

/// The status that the answer would have, for a proxy that cannot pass it on.
const STATUS: &str = "x-entitlement-status";
/// The body that the answer would have.
const PROBLEM: &str = "x-entitlement-problem";
/// The status of gRPC that the answer would have.
const GRPC_STATUS: &str = "x-entitlement-grpc-status";
/// Its message.
const GRPC_MESSAGE: &str = "x-entitlement-grpc-message";

/// Room for the headers of most answers.
const ROOM: usize = 16;

/// What a proxy is told. `speaks_grpc`: so does its client.
pub(super) fn response(
    authz_decision: &AuthzDecision,
    proxy: Understands,
    speaks_grpc: bool,
) -> Response<Body> {
    match &authz_decision.verdict {
        Verdict::Refused(refusal) => refused(refusal, proxy, speaks_grpc),
        Verdict::Public | Verdict::Granted | Verdict::WouldDeny(_) => {
            let set = authz_decision.headers_to_set();
            let mut response = told_of(AuthzDecision::headers_to_remove(&set));
            add(&mut response, set);
            response
        }
    }
}

fn refused(refusal: &Refusal, proxy: Understands, speaks_grpc: bool) -> Response<Body> {
    let mut response = told_of(TRUSTED);
    add(&mut response, refusal.headers());
    *response.status_mut() = refusal.status();
    match (proxy, speaks_grpc) {
        (Understands::All | Understands::AllAndGrpc, false) => {
            add(&mut response, [("content-type", Refusal::PROBLEM_TYPE)]);
            *response.body_mut() = Body::new(refusal.problem());
        }
        (Understands::All, true) => {
            add(&mut response, [("content-type", "application/grpc")]);
            add(&mut response, [("grpc-status", refusal.grpc_status())]);
            add(&mut response, [("grpc-message", refusal.grpc_message())]);
        }
        // It makes the message of the body.
        (Understands::AllAndGrpc, true) => {
            add(&mut response, [("grpc-status", refusal.grpc_status())]);
            *response.body_mut() = Body::new(refusal.detail().to_owned());
        }
        (Understands::Few, _) => {
            add(&mut response, [(STATUS, refusal.status().as_str())]);
            if speaks_grpc {
                add(&mut response, [(GRPC_STATUS, refusal.grpc_status())]);
                add(&mut response, [(GRPC_MESSAGE, refusal.grpc_message())]);
            } else {
                add(&mut response, [("content-type", Refusal::PROBLEM_TYPE)]);
                add(&mut response, [(PROBLEM, in_ascii(&refusal.problem()))]);
            }
            if refusal.status() != StatusCode::UNAUTHORIZED {
                *response.status_mut() = StatusCode::FORBIDDEN;
            }
        }
    }
    response
}

/// JSON with only the characters that a header may have.
fn in_ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => ascii.push(char::from(byte)),
            _ => _ = write!(ascii, "\\u{unit:04x}"),
        }
    }
    ascii
}

/// An answer with these headers that the upstream trusts, each of them empty. It is to have all of them: a
/// proxy that copies an answer's headers then overwrites those that a client has sent. It does so even
/// if it lets refused requests pass.
fn told_of(unset: impl IntoIterator<Item = &'static str>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().reserve(ROOM);
    for name in unset {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(""));
    }
    response
}

fn add(
    response: &mut Response<Body>,
    headers: impl IntoIterator<Item = (&'static str, impl AsRef<str>)>,
) {
    for (name, value) in headers {
        // The code that makes a value has made sure that it is valid in a header.
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}
