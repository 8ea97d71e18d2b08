//! Which hosts name a tenant: exactly one label under a base domain.

use std::{borrow::Borrow, collections::HashSet, fmt, net::IpAddr};

use thiserror::Error;

use super::limits::{MAX_LABEL_BYTES, MAX_NAME_BYTES};

/// Labels that never name a tenant.
pub const RESERVED_LABELS: [&str; 4] = ["www", "api", "admin", "localhost"];

/// A tenant's label under a base domain: lower-case letters, digits and inner hyphens, 1 to 63
/// bytes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Label(Box<str>);

impl Label {
    /// Parses a label, in any case; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        is_label(text).then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Label {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a domain under which tenants can have a label.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "{0:?} is not a domain name: expected labels of letters, digits and hyphens, for example ilms.ai"
)]
pub struct InvalidBaseDomain(String);

/// The domains under which one label names a tenant, and the labels that name none.
#[derive(Clone, Debug, Default)]
pub struct BaseDomains {
    domains: Vec<String>,
    reserved: HashSet<String>,
}

impl BaseDomains {
    /// Takes the configured base domains and the labels that are reserved in addition to
    /// [`RESERVED_LABELS`].
    pub fn new(domains: &[String], reserved: &[String]) -> Result<Self, InvalidBaseDomain> {
        let domains = domains
            .iter()
            .map(|domain| readable_name(domain).ok_or_else(|| InvalidBaseDomain(domain.clone())))
            .collect::<Result<_, _>>()?;
        let more = reserved.iter().map(|label| label.trim().to_ascii_lowercase());
        let reserved = RESERVED_LABELS.iter().map(ToString::to_string).chain(more).collect();
        Ok(Self { domains, reserved })
    }

    /// Is this a label that names no tenant?
    pub fn is_reserved(&self, label: &str) -> bool {
        self.reserved.contains(label)
    }

    /// The label by which a host names a tenant; `None` if it names none: the apex, a reserved
    /// label, an address, a foreign domain, a deeper name, or something that is not a host at all.
    pub fn label_of(&self, host: &str) -> Option<Label> {
        let host = without_port(host)?;
        // Most hosts are the service's own: what is under none of these domains is not read any further.
        let (_, above) = host.split_once('.')?;
        let above = above.strip_suffix('.').unwrap_or(above);
        if !self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(above)) {
            return None;
        }
        let name = readable_name(host)?;
        // One base domain may be within another: the apex of the inner one does not name a tenant
        // of the outer one.
        if self.domains.contains(&name) {
            return None;
        }
        let (label, _) = name.split_once('.')?;
        (!self.is_reserved(label)).then(|| Label(label.into()))
    }
}

/// Drops a port. `None` if what follows the colon is not a port, as in `[::1]:80`.
fn without_port(host: &str) -> Option<&str> {
    match host.split_once(':') {
        None => Some(host),
        Some((name, port)) => {
            let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
            is_port.then_some(name)
        }
    }
}

/// Lower-cases a name and drops one trailing dot. `None` if it is an address, or not a DNS name.
fn readable_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let readable = name.len() <= MAX_NAME_BYTES
        && name.split('.').all(is_label)
        && name.parse::<IpAddr>().is_err();
    readable.then(|| name.to_ascii_lowercase())
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=MAX_LABEL_BYTES).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_domains() -> BaseDomains {
        let domains = ["ilms.ai", "ERP.example.", "eu.ilms.ai"].map(String::from);
        BaseDomains::new(&domains, &["Status".to_owned()]).unwrap()
    }

    #[test]
    fn one_label_under_a_base_domain_names_a_tenant() {
        for (host, label) in [
            ("acme.ilms.ai", "acme"),
            ("ACME.Ilms.AI", "acme"),
            ("acme.ilms.ai.", "acme"),
            ("acme.ilms.ai:8443", "acme"),
            ("acme.ilms.ai.:443", "acme"),
            ("a-1.erp.example", "a-1"),
            ("10.ilms.ai", "10"),
            ("acme.eu.ilms.ai", "acme"),
        ] {
            assert_eq!(
                mk_domains().label_of(host).as_ref().map(Label::as_str),
                Some(label),
                "{host}"
            );
        }
    }

    #[test]
    fn every_other_host_names_none() {
        for host in [
            "",
            ".",
            ":",
            "ilms.ai",
            "eu.ilms.ai",
            "www.ilms.ai",
            "API.ilms.ai",
            "status.ilms.ai",
            "localhost",
            "localhost:3000",
            "10.0.0.1",
            "10.0.0.1:80",
            "[::1]",
            "[::1]:80",
            "::1",
            "acme.evil.example",
            "acme.ilms.ai.evil.example",
            "deep.acme.ilms.ai",
            "acmeilms.ai",
            "acme.ilms.ai..",
            "acme..ilms.ai",
            ".ilms.ai",
            "-acme.ilms.ai",
            "acme-.ilms.ai",
            "ac_me.ilms.ai",
            "acme.ilms.ai:port",
            "acme.ilms.ai:+80",
            "acme.ilms.ai:99999",
            "acme.ilms.ai:80:80",
            "acme.ilms.ai/path",
            "user@acme.ilms.ai",
            "acme .ilms.ai",
            "acme.ilms.ai\n",
            "ac\0me.ilms.ai",
            "äcme.ilms.ai",
            "xn--.ilms.ai-",
        ] {
            assert_eq!(mk_domains().label_of(host), None, "{host:?}");
        }
        assert_eq!(mk_domains().label_of(&format!("{}.ilms.ai", "a".repeat(64))), None);
        assert!(mk_domains().label_of(&format!("{}.ilms.ai", "a".repeat(63))).is_some());
    }

    #[test]
    fn a_base_domain_must_be_a_domain_name() {
        for domain in ["", "*.ilms.ai", "https://ilms.ai", "ilms.ai:443", "10.0.0.1", "ilms..ai"] {
            assert!(BaseDomains::new(&[domain.to_owned()], &[]).is_err(), "{domain:?}");
        }
    }
}
