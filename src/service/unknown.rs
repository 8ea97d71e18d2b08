//! Requests for methods of no service here.

use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};

use super::{front::Answering, status};
use crate::domain::limits::MAX_REQUEST_BYTES;

/// Refuses a request once it has been heard out.
///
/// A refusal may go out before its request has come in (RFC 9113, 8.1), but what is wrong with the rest is then told to
/// a stream that has ended already: a caller's mistake shows or not as it happens to be in time.
pub(super) fn refuse(request: Request<Incoming>) -> Answering {
    Box::pin(async {
        hear_out(request.into_body()).await;
        Ok(status::unknown_method().into_http())
    })
}

/// Until it ends, breaks off, or is more than a request may be.
async fn hear_out(mut body: Incoming) {
    let mut left = MAX_REQUEST_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
