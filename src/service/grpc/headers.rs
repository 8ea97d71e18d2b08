//! Headers that every request may have: its id and its deadline.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::limits::MAX_REQUEST_ID_BYTES;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The caller's id for a request, if it is suitable for a log line, or else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
            && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    let mut id = given.cloned().unwrap_or_else(|| {
        // Half a UUID distinguishes a day's requests, and costs half as much to compress. It is not
        // a secret, so any randomness will do.
        let mut buffer = uuid::Uuid::encode_buffer();
        let text =
            uuid::Uuid::from_u64_pair(fastrand::u64(..), 0).simple().encode_lower(&mut buffer);
        // Hexadecimal digits are visible ASCII; the fallback is never taken.
        HeaderValue::from_str(&text[..16]).unwrap_or(HeaderValue::from_static("unknown"))
    });
    // Each id is new: values that never recur would flush HPACK's table.
    id.set_sensitive(true);
    id
}

/// The caller's deadline: at most eight digits and a unit (gRPC over HTTP/2, "Timeout"). What is
/// malformed is ignored, as other servers do.
pub(super) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
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
