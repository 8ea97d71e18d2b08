//! Extractors and responses for axum handlers.

use axum_core::{
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::request::Parts;

use crate::{Error, Refusal, Resolved, layers::problem};

/// The tenant that a layer found. Refuses with 401 if there is none, which includes public paths
/// and routes without a layer.
impl<S: Sync> FromRequestParts<S> for Resolved {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get().cloned().ok_or_else(Refusal::no_tenant)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        problem::<Body>(&self)
    }
}

/// For `?` in a handler.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Refusal::from(self).into_response()
    }
}
