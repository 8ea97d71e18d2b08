//! Tests of the parent module.

use std::collections::HashMap;

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::proto::envoy::{
    config::core::v3::{HeaderMap, HeaderValue},
    service::auth::v3::{
        AttributeContext,
        attribute_context::{HttpRequest, Peer, Request},
    },
};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("x-tenant-id".to_owned()),
        Just("authorization".to_owned()),
        Just("origin".to_owned()),
        Just("access-control-request-method".to_owned()),
        Just("x-request-id".to_owned()),
        Just("traceparent".to_owned()),
        "[a-z:-]{0,12}",
    ]
}

fn listed() -> impl Strategy<Value = HeaderValue> {
    (name(), ".{0,9}", prop::collection::vec(any::<u8>(), 0..9))
        .prop_map(|(key, value, raw_value)| HeaderValue { key, value, raw_value })
}

prop_compose! {
    fn http()(
        id in ".{0,9}", method in "[A-Z]{0,9}", path in ".{0,200}", host in ".{0,40}",
        headers in prop::collection::hash_map(name(), ".{0,200}", 0..9),
        listed in prop::option::of(prop::collection::vec(listed(), 0..9)),
    ) -> HttpRequest {
        HttpRequest { id, method, headers, header_map: listed.map(|headers| HeaderMap { headers }), path, host }
    }
}

prop_compose! {
    fn context()(
        source in prop::option::of(".{0,40}"), http in prop::option::of(prop::option::of(http())),
    ) -> AttributeContext {
        AttributeContext {
            source: source.map(|principal| Peer { principal }),
            request: http.map(|http| Request { http }),
        }
    }
}

/// A header, read through the messages that prost generates.
fn header(http: &HttpRequest, name: &str) -> Option<String> {
    let listed =
        http.header_map.iter().flat_map(|map| &map.headers).filter(|header| header.key == name);
    let listed = listed.map(|header| match &*header.raw_value {
        [] => header.value.clone(),
        raw => String::from_utf8_lossy(raw).into_owned(),
    });
    let listed: Vec<String> = listed.collect();
    let listed = (!listed.is_empty()).then(|| listed.join(","));
    http.headers.get(name).cloned().or(listed).filter(|value| !value.is_empty())
}

proptest! {
    #[test]
    fn what_is_read_in_place_is_what_prost_reads(context in context()) {
        let bytes = context.encode_to_vec();
        let read = Attributes::read(&bytes, "x-tenant-id").unwrap();
        prop_assert_eq!(read.principal, context.source.map(|peer| peer.principal).unwrap_or_default());
        let http = context.request.and_then(|request| request.http);
        prop_assert_eq!(read.is_http, http.is_some());
        let http = http.unwrap_or_default();
        prop_assert_eq!((read.method, &*read.path, read.host), (&*http.method, &*http.path, &*http.host));
        for (read, name) in [
            (&read.tenant_id, "x-tenant-id"),
            (&read.authorization, "authorization"),
            (&read.origin, "origin"),
            (&read.access_control_request_method, "access-control-request-method"),
            (&read.request_id, "x-request-id"),
            (&read.traceparent, "traceparent"),
        ] {
            prop_assert_eq!(read.value().map(str::to_owned), header(&http, name));
        }
    }

    #[test]
    fn what_prost_refuses_is_refused_and_two_messages_in_a_row_are_one(
        one in context(), other in context(), cut in any::<prop::sample::Index>(), flip in any::<u8>(),
    ) {
        let mut bytes = [one.encode_to_vec(), other.encode_to_vec()].concat();
        let whole = AttributeContext::decode(&*bytes).unwrap();
        let http = whole.request.and_then(|request| request.http).unwrap_or_default();
        let headers: HashMap<_, _> = http.headers;
        let read = Attributes::read(&bytes, "x-tenant-id").unwrap();
        prop_assert_eq!((read.method, &*read.path, read.host), (&*http.method, &*http.path, &*http.host));
        prop_assert_eq!(read.authorization.joined, headers.get("authorization").map(String::as_str));
        if !bytes.is_empty() {
            let place = cut.index(bytes.len());
            bytes[place] ^= flip;
            bytes.truncate(bytes.len() - place / 2);
            // Fields that are not read may hold anything here, although prost wants text.
            if Attributes::read(&bytes, "x-tenant-id").is_err() {
                prop_assert!(AttributeContext::decode(&*bytes).is_err());
            }
        }
    }
}
