//! Requests for methods of no service.

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

/// Refuses what none of these services answers, once it has been heard out, or `patience` is at its
/// end.
///
/// A refusal may go out before its request has come in (RFC 9113, 8.1), but what is wrong with the
/// rest is then told to a stream that has ended already: a caller's mistake shows or not as it
/// happens to be in time.
pub(in crate::service) fn refuse_unknown(services: Routes, patience: Duration) -> Routes {
    let refuse = async move |request: Request<AxumBody>| {
        // The answer is the same, whichever of them ended.
        _ = timeout(patience, hear_out(request.into_body())).await;
        status::unknown_method().into_http::<Body>()
    };
    services.into_axum_router().fallback(refuse).into()
}

/// Until it ends, breaks off, or is more than a request may be. Nothing of it is kept: nobody need
/// be admitted to send it.
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
