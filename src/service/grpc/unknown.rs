//! Requests for unknown methods.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use tokio::time::timeout;
use tonic::{
    body::Body,
    service::{AxumBody, Routes},
};

use super::status;
use crate::domain::limits::MAX_REQUEST_BYTES;

/// Refuses requests that none of these services answers, once the request has been received
/// completely, or `patience` has run out.
///
/// A refusal may be sent before its request has been received (RFC 9113, 8.1), but an error in the
/// rest is then reported on a stream that has already ended: whether a caller sees its mistake
/// depends on timing.
pub(in crate::service) fn refuse_unknown(services: Routes, patience: Duration) -> Routes {
    let refuse = async move |request: Request<AxumBody>| {
        // The answer does not depend on which of them ended.
        _ = timeout(patience, hear_out(request.into_body())).await;
        status::unknown_method().into_http::<Body>()
    };
    services.into_axum_router().fallback(refuse).into()
}

/// Reads until the body ends, breaks off, or exceeds the size of a request. Nothing of it is kept:
/// the sender need not have been admitted.
async fn hear_out(mut body: AxumBody) {
    let mut left = MAX_REQUEST_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
