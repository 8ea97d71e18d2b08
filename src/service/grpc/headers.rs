//! The headers that every request may have, whatever its method.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::service::request_id::request_id_of;

/// What they say.
pub(super) struct CommonHeaders {
    /// The id of the request: its caller's, or a new one.
    pub(super) request_id: HeaderValue,
    /// Its caller's trace context.
    pub(super) traceparent: Option<HeaderValue>,
    /// Its caller's deadline.
    pub(super) timeout: Option<Duration>,
}

impl CommonHeaders {
    /// Reads them in one go: a request has few headers, and a search for each of these costs more than a
    /// look at all. Of several with one name the first counts.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let (mut request_id, mut traceparent, mut timeout) = (None, None, None);
        for (name, value) in headers {
            let place = match name.as_str() {
                "x-request-id" => &mut request_id,
                "traceparent" => &mut traceparent,
                "grpc-timeout" => &mut timeout,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        Self {
            request_id: request_id_of(request_id),
            traceparent: traceparent.cloned(),
            timeout: timeout.and_then(grpc_timeout),
        }
    }
}

/// The caller's deadline: at most eight digits and a unit (gRPC over HTTP/2, "Timeout"). What is
/// malformed is ignored, as other servers do.
fn grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let value = value.to_str().ok()?;
    let (amount, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if amount.is_empty() || amount.len() > 8 || !amount.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = amount.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::service::{request_id::REQUEST_ID, trace::TRACEPARENT};

    #[test]
    fn of_several_headers_with_one_name_the_first_counts_and_others_do_not_matter() {
        let all = [
            (HeaderName::from_static("te"), "trailers"),
            (REQUEST_ID, "one"),
            (REQUEST_ID, "two"),
            (TRACEPARENT, "a"),
            (TRACEPARENT, "b"),
            (HeaderName::from_static("grpc-timeout"), "5S"),
            (HeaderName::from_static("grpc-timeout"), "1m"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(name, HeaderValue::from_static(value));
        }
        let read = CommonHeaders::of(&headers);
        assert_eq!(read.request_id, "one");
        assert_eq!(read.traceparent.unwrap(), "a");
        assert_eq!(read.timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_request_that_says_nothing_has_an_id_and_no_deadline() {
        let read = CommonHeaders::of(&HeaderMap::new());
        assert_eq!((read.request_id.len(), read.traceparent, read.timeout), (16, None, None));
    }
}
