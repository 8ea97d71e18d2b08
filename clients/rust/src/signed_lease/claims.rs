//! What a lease says.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{LeaseError, json};
use crate::clock::Micros;

/// The end of the year 9999, in seconds since 1970: no instant lies beyond.
const LATEST: i64 = 253_402_300_799;

/// The claims of a lease. Instants are microseconds since 1970.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) issuer: String,
    pub(super) tenant: Uuid,
    pub(super) audience: Option<String>,
    pub(super) issued_at: Micros,
    pub(super) not_before: Micros,
    pub(super) expires_at: Micros,
    pub(super) revision: u64,
    pub(super) as_of: Micros,
    pub(super) asked: Asked,
    pub(super) modules: BTreeMap<String, Micros>,
    pub(super) features: BTreeMap<String, BTreeMap<String, Feature>>,
}

/// Which modules were asked for.
#[derive(Debug)]
pub(super) enum Asked {
    All,
    These(HashSet<String>),
}

impl Asked {
    pub(super) fn names(&self, module: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(codes) => codes.contains(module),
        }
    }
}

/// A feature that was asked for.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) on: bool,
    pub(super) value: Option<Value>,
}

impl Claims {
    /// Reads a payload whose signature is good. Claims that are not known are passed over.
    pub(super) fn read(payload: &[u8]) -> Result<Self, LeaseError> {
        let claims = json::object(payload).ok_or(LeaseError::Malformed)?;
        let text = |name| claims.get(name).and_then(Value::as_str);
        let instant = |name| instant(claims.get(name)).ok_or(LeaseError::BadClaim(name));
        let bad = LeaseError::BadClaim;
        Ok(Self {
            issuer: text("iss").ok_or(bad("iss"))?.to_owned(),
            tenant: text("sub").and_then(tenant).ok_or(bad("sub"))?,
            audience: match claims.get("aud") {
                None => None,
                Some(audience) => Some(audience.as_str().ok_or(bad("aud"))?.to_owned()),
            },
            issued_at: instant("iat")?,
            not_before: instant("nbf")?,
            expires_at: instant("exp")?,
            revision: claims.get("revision").and_then(Value::as_u64).ok_or(bad("revision"))?,
            as_of: instant("as_of")?,
            asked: claims.get("asked").and_then(asked).ok_or(bad("asked"))?,
            modules: claims.get("modules").and_then(modules).ok_or(bad("modules"))?,
            features: match claims.get("features") {
                None => BTreeMap::new(),
                Some(all) => features(all).ok_or(bad("features"))?,
            },
        })
    }
}

/// Whole seconds since 1970, as servers write them.
fn instant(value: Option<&Value>) -> Option<Micros> {
    let seconds = value?.as_i64().filter(|seconds| (0..=LATEST).contains(seconds))?;
    Some(seconds * 1_000_000)
}

/// A UUID in its form of 36 characters.
fn tenant(text: &str) -> Option<Uuid> {
    Some(text).filter(|text| text.len() == 36).and_then(|text| text.parse().ok())
}

fn asked(value: &Value) -> Option<Asked> {
    match value {
        Value::String(all) if all == "*" => Some(Asked::All),
        Value::Array(codes) => {
            let codes = codes.iter().map(|code| code.as_str().map(str::to_owned));
            codes.collect::<Option<_>>().map(Asked::These)
        }
        _ => None,
    }
}

fn modules(value: &Value) -> Option<BTreeMap<String, Micros>> {
    let read = |(code, until): (&String, &Value)| Some((code.clone(), instant(Some(until))?));
    value.as_object()?.iter().map(read).collect()
}

fn features(value: &Value) -> Option<BTreeMap<String, BTreeMap<String, Feature>>> {
    let of_module = |(code, features): (&String, &Value)| {
        let features = features
            .as_object()?
            .iter()
            .map(|(key, said)| Some((key.clone(), feature(said.as_object()?)?)));
        Some((code.clone(), features.collect::<Option<_>>()?))
    };
    value.as_object()?.iter().map(of_module).collect()
}

fn feature(said: &Map<String, Value>) -> Option<Feature> {
    Some(Feature { on: said.get("on")?.as_bool()?, value: said.get("value").cloned() })
}
