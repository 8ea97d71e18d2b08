//! Envoy's report about an HTTP request, read in place from the encoded message.
//!
//! A proxy asks about every request of its clients and sends all of their headers along. Only a few
//! of its fields matter, and they matter only until the answer is made: nothing is copied.
//!
//! What pays for it (`cargo bench --bench gateway`): 0.74 of `CheckModule`'s throughput instead of
//! 0.70. See `docs/decisions/0007-ext-authz-messages-read-by-hand.md`.

use std::borrow::Cow;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::routes::target_text;

/// The bytes are not an `AttributeContext`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct MalformedAttributes;

/// The relevant fields of an `AttributeContext`. Of a repeated field the last one counts, and
/// repeated messages are merged, as in protobuf.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Attributes<'a> {
    pub(super) principal: &'a str,
    /// Is it about an HTTP request at all?
    pub(super) is_http: bool,
    pub(super) method: &'a str,
    pub(super) path: Cow<'a, str>,
    pub(super) host: &'a str,
    pub(super) tenant_id: Header<'a>,
    pub(super) authorization: Header<'a>,
    pub(super) origin: Header<'a>,
    pub(super) access_control_request_method: Header<'a>,
    pub(super) request_id: Header<'a>,
    pub(super) traceparent: Header<'a>,
    pub(super) content_type: Header<'a>,
}

/// A header, in either of the forms in which Envoy sends headers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Header<'a> {
    /// Joined by Envoy.
    joined: Option<&'a str>,
    /// As received. Several headers with one name form one list (RFC 9110, section 5.3).
    listed: Option<Cow<'a, str>>,
}

impl Header<'_> {
    /// Its value; `None`: it is absent, or empty.
    pub(super) fn value(&self) -> Option<&str> {
        self.joined.or(self.listed.as_deref()).filter(|value| !value.is_empty())
    }
}

impl<'a> Attributes<'a> {
    /// Reads the fields of an `AttributeContext`. A client names its tenant in `tenant_header`.
    pub(super) fn read(
        message: &'a [u8],
        tenant_header: &str,
    ) -> Result<Self, MalformedAttributes> {
        let mut read = Self::default();
        for field in WireFields(message) {
            match field? {
                (1, peer) => read.peer(peer)?,
                (4, request) => read.request(request, tenant_header)?,
                _ => {}
            }
        }
        Ok(read)
    }

    fn peer(&mut self, message: &'a [u8]) -> Result<(), MalformedAttributes> {
        for field in WireFields(message) {
            if let (4, principal) = field? {
                self.principal = text(principal)?;
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        message: &'a [u8],
        tenant_header: &str,
    ) -> Result<(), MalformedAttributes> {
        for field in WireFields(message) {
            if let (2, http) = field? {
                self.is_http = true;
                self.http(http, tenant_header)?;
            }
        }
        Ok(())
    }

    fn http(&mut self, message: &'a [u8], tenant_header: &str) -> Result<(), MalformedAttributes> {
        for field in WireFields(message) {
            match field? {
                (2, method) => self.method = text(method)?,
                (4, path) => self.path = target_text(path),
                (5, host) => self.host = text(host)?,
                (3, entry) => {
                    let [key, value, _] = strings(entry)?;
                    self.headers(key, tenant_header, |header| {
                        header.joined = Some(text(value)?);
                        Ok(())
                    })?;
                }
                (13, map) => self.header_map(map, tenant_header)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn header_map(
        &mut self,
        message: &'a [u8],
        tenant_header: &str,
    ) -> Result<(), MalformedAttributes> {
        for field in WireFields(message) {
            let (1, header) = field? else { continue };
            let [key, value, raw] = strings(header)?;
            self.headers(key, tenant_header, |header| {
                let value =
                    if raw.is_empty() { text(value)?.into() } else { String::from_utf8_lossy(raw) };
                match &mut header.listed {
                    Some(list) => {
                        let list = list.to_mut();
                        list.push(',');
                        list.push_str(&value);
                    }
                    None => header.listed = Some(value),
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Calls `tell` with each header that has this name and matters. Most do not, and are not read
    /// any further.
    fn headers(
        &mut self,
        name: &[u8],
        tenant_header: &str,
        mut tell: impl FnMut(&mut Header<'a>) -> Result<(), MalformedAttributes>,
    ) -> Result<(), MalformedAttributes> {
        if name == tenant_header.as_bytes() {
            tell(&mut self.tenant_id)?;
        }
        match name {
            b"authorization" => tell(&mut self.authorization),
            b"origin" => tell(&mut self.origin),
            b"access-control-request-method" => tell(&mut self.access_control_request_method),
            b"x-request-id" => tell(&mut self.request_id),
            b"traceparent" => tell(&mut self.traceparent),
            b"content-type" => tell(&mut self.content_type),
            _ => Ok(()),
        }
    }
}

/// The first three fields of a message, which are strings or bytes.
fn strings(message: &[u8]) -> Result<[&[u8]; 3], MalformedAttributes> {
    let mut strings = [&[][..]; 3];
    for field in WireFields(message) {
        let (tag, value) = field?;
        if let Some(string) = strings.get_mut(tag as usize - 1) {
            *string = value;
        }
    }
    Ok(strings)
}

fn text(bytes: &[u8]) -> Result<&str, MalformedAttributes> {
    std::str::from_utf8(bytes).map_err(|_| MalformedAttributes)
}

/// The length-delimited fields of a message (strings, bytes, messages): their tags, counted from 1,
/// and their contents.
struct WireFields<'a>(&'a [u8]);

impl<'a> Iterator for WireFields<'a> {
    type Item = Result<(u32, &'a [u8]), MalformedAttributes>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            if let Some(field) = self.field().transpose() {
                return Some(field);
            }
        }
        None
    }
}

impl<'a> WireFields<'a> {
    /// `None`: it is of another kind. After an error there is nothing to go on with: the reader
    /// gives up.
    fn field(&mut self) -> Result<Option<(u32, &'a [u8])>, MalformedAttributes> {
        // Nearly all have a key of one byte and a length of one byte.
        if let [key @ 0x08..0x80, length @ 0..0x80, rest @ ..] = self.0
            && key & 0x07 == WireType::LengthDelimited as u8
        {
            let value = rest.split_at_checked((*length).into());
            let (value, rest) = value.ok_or(MalformedAttributes)?;
            self.0 = rest;
            return Ok(Some((u32::from(key >> 3), value)));
        }
        let (tag, kind) = decode_key(&mut self.0).map_err(|_| MalformedAttributes)?;
        if kind != WireType::LengthDelimited {
            skip_field(kind, tag, &mut self.0, DecodeContext::default())
                .map_err(|_| MalformedAttributes)?;
            return Ok(None);
        }
        let length = decode_varint(&mut self.0).map_err(|_| MalformedAttributes)?;
        let length = usize::try_from(length).map_err(|_| MalformedAttributes)?;
        let (value, rest) = self.0.split_at_checked(length).ok_or(MalformedAttributes)?;
        self.0 = rest;
        Ok(Some((tag, value)))
    }
}

#[cfg(test)]
mod tests;
