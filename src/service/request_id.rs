//! The id of a request, by which it is found again in logs.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::limits::MAX_REQUEST_ID_BYTES;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Is it suitable for a log line?
pub(super) fn is_request_id(id: impl AsRef<[u8]>) -> bool {
    let id = id.as_ref();
    (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// The caller's id for a request, if it is suitable for a log line, or else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    request_id_of(headers.get(REQUEST_ID))
}

/// The same, where the header has been looked up.
pub(super) fn request_id_of(given: Option<&HeaderValue>) -> HeaderValue {
    let given = given.filter(|id| is_request_id(id));
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
