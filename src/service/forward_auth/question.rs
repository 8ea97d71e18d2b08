//! What a proxy asks about, read from its question.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header::HOST, request::Parts};

use super::dialect::{Asks, Dialect, ProxyHeader};
use crate::{
    observability::{
        log_limiter::{LogLimiter, log_limited},
        metrics::MetricLabel,
    },
    routes::target_text,
    service::gateway::Refusal,
};

/// A request that a proxy asks about.
#[derive(Debug, Default)]
pub(super) struct Question<'a> {
    pub(super) method: &'a str,
    /// Path and query.
    pub(super) target: Cow<'a, str>,
    pub(super) host: Option<&'a str>,
}

/// Why a question cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unreadable {
    pub(super) header: ProxyHeader,
    problem: &'static str,
    /// The proxy is not set up for this dialect. Otherwise its client has sent what no host or path can be.
    pub(super) is_misconfigured: bool,
}

/// What the operator has been told lately: a line a minute for each header.
#[derive(Debug)]
pub(super) struct Told([LogLimiter; ProxyHeader::ALL.len()]);

impl Default for Told {
    fn default() -> Self {
        Self([const { LogLimiter::once_in(Duration::from_mins(1)) }; ProxyHeader::ALL.len()])
    }
}

impl<'a> Question<'a> {
    /// Reads what is asked about. `rest`: what follows the dialect's name in the path.
    ///
    /// A client may have sent any header, so only the names that this kind of proxy always sets are
    /// read, and each must occur exactly once.
    pub(super) fn read(
        dialect: Dialect,
        rest: &'a str,
        parts: &'a Parts,
    ) -> Result<Self, Unreadable> {
        let headers = &parts.headers;
        match dialect.asks() {
            Asks::InHeaders { method, target, host } => Ok(Self {
                method: text(headers, method)?,
                target: target_text(needed(headers, target)?.as_bytes()),
                host: match only(headers, host)? {
                    // A proxy that names no host passes on the client's.
                    None => only(headers, ProxyHeader::Host)?.and_then(as_text),
                    Some(host) => as_text(host),
                },
            }),
            Asks::WithUrl { method, url } => {
                let (host, target) = parts_of_url(needed(headers, url)?.as_bytes())
                    .ok_or(Unreadable::odd(url, "is not a URL with a host and a path"))?;
                Ok(Self {
                    method: text(headers, method)?,
                    target: target_text(target),
                    host: Some(host),
                })
            }
            Asks::InItself => {
                let host = only(headers, ProxyHeader::Host)?.and_then(as_text);
                Ok(Self {
                    method: parts.method.as_str(),
                    target: rest.into(),
                    host: host.or(parts.uri.authority().map(http::uri::Authority::as_str)),
                })
            }
        }
    }
}

impl Unreadable {
    /// No dialect has the name in the path.
    pub(super) const NO_DIALECT: Self =
        Self::misconfigured(ProxyHeader::Path, "names no dialect of forward auth (/auth/NAME)");

    const fn misconfigured(header: ProxyHeader, problem: &'static str) -> Self {
        Self { header, problem, is_misconfigured: true }
    }

    const fn odd(header: ProxyHeader, problem: &'static str) -> Self {
        Self { header, problem, is_misconfigured: false }
    }

    /// What its client reads.
    pub(super) fn refusal(self) -> Refusal {
        Refusal::unreadable(self.header.word(), self.problem)
    }

    /// Tells the operator.
    pub(super) fn warn(self, dialect: Dialect, told: &Told) {
        let (dialect, header, problem) = (dialect.word(), self.header.word(), self.problem);
        log_limited!(
            told.0[self.header.number()],
            warn,
            dialect,
            header,
            "a proxy is not set up as the dialect {dialect} needs: {header} {problem}"
        );
    }
}

/// A header's value, unless it is empty. Several values mean that a proxy adds to what a client has
/// sent.
fn only(headers: &HeaderMap, header: ProxyHeader) -> Result<Option<&HeaderValue>, Unreadable> {
    let name = match header {
        ProxyHeader::Host => HOST,
        _ => HeaderName::from_static(header.word()),
    };
    let mut values = headers.get_all(name).iter();
    let (value, more) = (values.next(), values.next());
    if more.is_some() {
        return Err(Unreadable::misconfigured(header, "came more than once"));
    }
    Ok(value.filter(|value| !value.is_empty()))
}

fn needed(headers: &HeaderMap, header: ProxyHeader) -> Result<&HeaderValue, Unreadable> {
    let missing = || Unreadable::misconfigured(header, "is not set by the proxy");
    only(headers, header)?.ok_or_else(missing)
}

fn text(headers: &HeaderMap, header: ProxyHeader) -> Result<&str, Unreadable> {
    let value = needed(headers, header)?;
    as_text(value).ok_or(Unreadable::odd(header, "is not readable as text"))
}

/// A host that is not ASCII names nobody.
fn as_text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// Host and port, and path with query, of `scheme://host/path?query`. A client chooses its host: one
/// that holds what ends a host elsewhere could move the place at which the path begins.
fn parts_of_url(url: &[u8]) -> Option<(&str, &[u8])> {
    let start = url.windows(3).position(|part| part == b"://")? + 3;
    let after = &url[start..];
    let (host, target) = after.split_at(after.iter().position(|byte| *byte == b'/')?);
    let host = str::from_utf8(host).ok()?;
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(is_of_host)).then_some((host, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_url_begins_after_a_host_and_nowhere_else() {
        let of = |url: &'static str| {
            parts_of_url(url.as_bytes())
                .map(|(host, target)| (host, str::from_utf8(target).unwrap()))
        };
        assert_eq!(
            of("https://acme.erp.example/a?b=https://c/d"),
            Some(("acme.erp.example", "/a?b=https://c/d"))
        );
        assert_eq!(of("http://[::1]:80//a"), Some(("[::1]:80", "//a")));
        for url in [
            "",
            "/a",
            "https://",
            "https:///a",
            "https://host",
            "https://host?/a",
            "https://a?b/c",
            "https://a#b/c",
            "https://a\\b/c",
            "https://u@h/a",
            "https://caf\u{e9}/a",
            "https://a b/c",
            "x",
        ] {
            assert_eq!(of(url), None, "{url}");
        }
    }
}
