//! Subdomains that new tenants may have, and the schemas that go with them.

use thiserror::Error;

use super::limits::{MAX_IDENTIFIER_BYTES, MAX_LABEL_BYTES, MIN_SUBDOMAIN_BYTES};

/// Subdomains that no new tenant may have, in addition to those that operators reserve: names that
/// the ERP itself, its mail and its pages may need. [`super::host::RESERVED_LABELS`] are among
/// them.
pub const RESERVED_SUBDOMAINS: [&str; 33] = [
    "account",
    "admin",
    "api",
    "app",
    "assets",
    "auth",
    "blog",
    "cdn",
    "dashboard",
    "demo",
    "download",
    "email",
    "files",
    "forum",
    "ftp",
    "help",
    "localhost",
    "login",
    "mail",
    "my",
    "register",
    "sandbox",
    "shop",
    "signup",
    "smtp",
    "static",
    "status",
    "store",
    "support",
    "test",
    "uploads",
    "webmail",
    "www",
];

/// A subdomain that a tenant could be given: 3 to 63 of a-z, 0-9 and -, a letter or digit at both
/// ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subdomain(Box<str>);

/// The text is not a valid subdomain.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "A subdomain has {MIN_SUBDOMAIN_BYTES} to {MAX_LABEL_BYTES} of a-z, 0-9 and -, a letter or digit at both ends."
)]
pub struct InvalidSubdomain;

impl Subdomain {
    /// Takes the text as it is: capitals and line breaks are refused, not corrected.
    pub fn parse(text: &str) -> Result<Self, InvalidSubdomain> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (MIN_SUBDOMAIN_BYTES..=MAX_LABEL_BYTES).contains(&text.len());
        let [first, .., last] = text.as_bytes() else { return Err(InvalidSubdomain) };
        let known = text.bytes().all(|byte| is_plain(byte) || byte == b'-');
        if fits && known && is_plain(*first) && is_plain(*last) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidSubdomain)
        }
    }

    /// The subdomain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The schema of the tenant.
    pub fn database_schema(&self) -> String {
        database_schema(&self.0)
    }
}

/// The schema of the tenant with this subdomain: `tenant_` and the subdomain, as the ERP names it.
/// PostgreSQL silently truncates names to 63 bytes, and so does this: the name that is compared is
/// the one that will be created.
pub fn database_schema(subdomain: &str) -> String {
    let mut name = format!("tenant_{subdomain}");
    name.truncate(MAX_IDENTIFIER_BYTES);
    name
}

/// Why a subdomain is not available.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SubdomainRefusal {
    /// It is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidSubdomain),
    /// It is reserved.
    #[error("This subdomain is reserved.")]
    Reserved,
    /// A tenant has it already.
    #[error("This subdomain is already taken.")]
    Taken,
    /// Its schema exists already, or is another tenant's.
    #[error("This subdomain is too much like one that is already taken.")]
    SchemaTaken,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::RESERVED_LABELS;

    #[test]
    fn a_subdomain_is_what_the_rule_says() {
        let longest = "a".repeat(63);
        for good in ["abc", "a-b", "a--b", "123", "0a9", &longest] {
            assert_eq!(Subdomain::parse(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in [
            "", "a", "ab", "-ab", "ab-", "Abc", "a.b", "a_b", "a b", "admin\n", "abc\0", "äbc",
            "---", &too_long,
        ] {
            assert_eq!(Subdomain::parse(bad), Err(InvalidSubdomain), "{bad:?}");
        }
    }

    #[test]
    fn a_schema_is_named_as_postgresql_keeps_it() {
        assert_eq!(
            Subdomain::parse("test-company").unwrap().database_schema(),
            "tenant_test-company"
        );
        let [one, other] =
            ["x", "y"].map(|end| Subdomain::parse(&format!("{}{end}", "a".repeat(56))).unwrap());
        assert_eq!(one.database_schema().len(), 63);
        assert_eq!(one.database_schema(), other.database_schema());
    }

    #[test]
    fn labels_that_name_no_tenant_are_reserved() {
        assert!(RESERVED_LABELS.iter().all(|label| RESERVED_SUBDOMAINS.contains(label)));
        assert!(RESERVED_SUBDOMAINS.is_sorted());
    }
}
