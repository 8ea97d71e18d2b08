//! What a signed lease says: the claims of its JWT. docs/signed-leases.md describes each.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::domain::{LeaseTerm, Setting, TenantId};

/// The claims of a lease. Instants are seconds since 1970.
#[derive(Debug, Serialize)]
pub struct LeaseClaims<'a> {
    iss: &'a str,
    sub: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    aud: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    revision: u64,
    as_of: i64,
    asked: LeaseAsked<'a>,
    modules: BTreeMap<&'a str, i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    features: BTreeMap<&'a str, BTreeMap<&'a str, LeaseFeature>>,
}

/// Which modules were asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LeaseAsked<'a> {
    /// All: one that is not granted is denied.
    All,
    /// These. Of others the lease says nothing.
    These(Vec<&'a str>),
}

/// A feature that was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct LeaseFeature {
    on: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

/// What a lease rests on, and for whom it is.
#[derive(Clone, Copy, Debug)]
pub struct LeaseSubject<'a> {
    /// The name of who issues it.
    pub issuer: &'a str,
    /// Whose modules it names.
    pub tenant: TenantId,
    /// Who may accept it; empty: anybody.
    pub audience: &'a str,
    /// The revision of the tenant's facts.
    pub revision: u64,
    /// When they were read.
    pub as_of: DateTime<Utc>,
}

impl<'a> LeaseClaims<'a> {
    /// A lease that grants nothing yet.
    pub fn new(subject: LeaseSubject<'a>, term: LeaseTerm, asked: LeaseAsked<'a>) -> Self {
        let LeaseSubject { issuer, tenant, audience, revision, as_of } = subject;
        let issued_at = term.issued_at.timestamp();
        Self {
            iss: issuer,
            sub: tenant.to_string(),
            aud: audience,
            iat: issued_at,
            nbf: issued_at,
            exp: term.expires_at.timestamp(),
            revision,
            as_of: as_of.timestamp(),
            asked,
            modules: BTreeMap::new(),
            features: BTreeMap::new(),
        }
    }

    /// Grants a module until then.
    pub fn grant(&mut self, module: &'a str, until: DateTime<Utc>) {
        self.modules.insert(module, until.timestamp());
    }

    /// Says whether a feature is on while its module is granted, and its value.
    pub fn add_feature(
        &mut self,
        module: &'a str,
        key: &'a str,
        is_on: bool,
        value: Option<&Setting>,
    ) {
        let value = value.filter(|_| is_on).map(json);
        self.features.entry(module).or_default().insert(key, LeaseFeature { on: is_on, value });
    }
}

impl Serialize for LeaseAsked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("*"),
            Self::These(codes) => codes.serialize(serializer),
        }
    }
}

/// A value as it is: whole numbers keep their digits, which the wire's do not.
fn json(value: &Setting) -> Value {
    match value {
        Setting::Bool(value) => Value::from(*value),
        Setting::Int64(value) => Value::from(*value),
        Setting::String(text) => Value::from(text.as_ref()),
        Setting::Json(text) => serde_json::from_str(text).unwrap_or_default(),
        // What cannot be read is never on.
        Setting::Unreadable => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_lease_says_what_was_asked_for_and_what_of_it_is_granted() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let subject = LeaseSubject {
            issuer: "entitlementd",
            tenant: Uuid::nil().into(),
            audience: "",
            revision: 7,
            as_of: at(90),
        };
        let term = LeaseTerm { issued_at: at(100), expires_at: at(200) };
        let asked = LeaseAsked::These(vec!["finance", "hrms"]);
        let mut claims = LeaseClaims::new(subject, term, asked);
        claims.grant("finance", at(150));
        let most = Setting::Int64(i64::MAX);
        claims.add_feature("finance", "rows", true, Some(&most));
        claims.add_feature("finance", "beta", false, Some(&most));
        assert_eq!(
            serde_json::to_string(&claims).unwrap(),
            r#"{"iss":"entitlementd","sub":"00000000-0000-0000-0000-000000000000","iat":100,"nbf":100,"exp":200,"revision":7,"as_of":90,"asked":["finance","hrms"],"modules":{"finance":150},"features":{"finance":{"beta":{"on":false},"rows":{"on":true,"value":9223372036854775807}}}}"#
        );
        let all =
            LeaseClaims::new(LeaseSubject { audience: "till-7", ..subject }, term, LeaseAsked::All);
        let all = serde_json::to_value(&all).unwrap();
        assert_eq!((&all["asked"], &all["aud"]), (&"*".into(), &"till-7".into()));
    }
}
