//! The parts of an answer to Envoy, encoded directly.
//!
//! An answer that lets a request pass holds some thirty strings in messages four levels deep. If it
//! were made of messages, each of them would be allocated, and measured once for every message
//! around it: that took longer than the judgement.

use prost::encoding::{WireType, encode_varint, encoded_len_varint};

/// A capacity that is enough for most parts.
const ROOM: usize = 512;

/// An `OkHttpResponse`: headers that replace the upstream's headers with these names, and headers
/// that are removed.
pub(super) fn ok_response<'a, 'b>(
    set: impl Iterator<Item = (&'a str, &'a str)>,
    remove: impl Iterator<Item = &'b str>,
) -> Vec<u8> {
    let mut part = Vec::with_capacity(ROOM);
    for (name, value) in set {
        let header = length(name.len()) + length(value.len());
        // HeaderValueOption.append is false, which is a BoolValue that holds nothing.
        begin(&mut part, 2, length(header) + length(0));
        begin(&mut part, 1, header);
        text(&mut part, 1, name);
        text(&mut part, 2, value);
        begin(&mut part, 2, 0);
    }
    remove.for_each(|name| text(&mut part, 5, name));
    part
}

/// A `google.protobuf.Struct` of strings.
pub(super) fn texts<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut part = Vec::with_capacity(ROOM);
    for (name, value) in fields {
        let string_value = length(value.len());
        begin(&mut part, 1, length(name.len()) + length(string_value));
        text(&mut part, 1, name);
        begin(&mut part, 2, string_value);
        text(&mut part, 3, value);
    }
    part
}

/// The encoded length of a field with `held` bytes. All tags here are below 16, so that a key is
/// one byte.
fn length(held: usize) -> usize {
    1 + encoded_len_varint(held as u64) + held
}

/// Writes the key and length of a field that will hold `held` bytes.
fn begin(part: &mut Vec<u8>, tag: u8, held: usize) {
    part.push(tag << 3 | WireType::LengthDelimited as u8);
    match u8::try_from(held) {
        Ok(held @ ..0x80) => part.push(held),
        _ => encode_varint(held as u64, part),
    }
}

fn text(part: &mut Vec<u8>, tag: u8, text: &str) {
    begin(part, tag, text.len());
    part.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use prost_types::{Struct, Value, value::Kind};

    use super::*;
    use crate::proto::envoy::{
        config::core::v3::{HeaderValue, HeaderValueOption},
        service::auth::v3::OkHttpResponse,
    };

    fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
        prop::collection::vec((".{0,20}", ".{0,300}"), 0..9)
    }

    fn borrowed(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
        pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    proptest! {
        #[test]
        fn prost_reads_what_was_written(set in pairs(), remove in prop::collection::vec(".{0,200}", 0..9)) {
            let written = ok_response(borrowed(&set), remove.iter().map(String::as_str));
            let headers = set.into_iter().map(|(key, value)| HeaderValueOption {
                header: Some(HeaderValue { key, value, raw_value: Vec::new() }),
                append: Some(false),
            });
            let wanted = OkHttpResponse { headers: headers.collect(), headers_to_remove: remove };
            prop_assert_eq!(OkHttpResponse::decode(&*written).unwrap(), wanted);
        }

        #[test]
        fn a_struct_holds_each_text_under_its_name(fields in pairs()) {
            let written = texts(borrowed(&fields));
            let value = |text| Value { kind: Some(Kind::StringValue(text)) };
            let wanted = fields.into_iter().map(|(name, text)| (name, value(text))).collect();
            prop_assert_eq!(Struct::decode(&*written).unwrap(), Struct { fields: wanted });
        }
    }
}
