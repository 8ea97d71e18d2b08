//! Public keys, and what they have signed.

use std::collections::HashMap;

use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{LeaseError, json};

/// `typ` of the header of a lease: no other token has it.
const LEASE_TYPE: &str = "entitlement-lease+jwt";

/// The most bytes that a set of keys may have, and the most keys.
const MAX_SET_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 100;

/// The length of a public key, in bytes.
const KEY_BYTES: usize = 32;

/// A set of keys that cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseKeysError {
    /// Not JSON, or no JWK set.
    #[error("it is no JWK set (RFC 7517), or larger than one may be")]
    NotJwks,
    /// There is no key for EdDSA that has a name.
    #[error("it holds no Ed25519 key that has a kid")]
    NoKey,
    /// A private key: whoever has it can sign leases.
    #[error("it holds a private key, which must not leave the server: take the published set")]
    Private,
    /// Nobody could tell which one has signed.
    #[error("two of its keys have one kid")]
    SameId,
}

/// Keys by their names.
pub(super) struct Keys(HashMap<String, ParsedPublicKey>);

impl Keys {
    /// Reads a set. Members that are for something else are passed over (RFC 7517, section 5).
    pub(super) fn parse(jwks: &[u8]) -> Result<Self, LeaseKeysError> {
        let set = Some(jwks).filter(|jwks| jwks.len() <= MAX_SET_BYTES).and_then(json::object);
        let members = set.as_ref().and_then(|set| set.get("keys")?.as_array());
        let members = members.filter(|all| all.len() <= MAX_KEYS).ok_or(LeaseKeysError::NotJwks)?;
        if members.iter().any(|member| member.get("d").is_some()) {
            return Err(LeaseKeysError::Private);
        }
        let mut keys = HashMap::new();
        for (id, key) in members.iter().filter_map(read) {
            if keys.insert(id, key).is_some() {
                return Err(LeaseKeysError::SameId);
            }
        }
        if keys.is_empty() { Err(LeaseKeysError::NoKey) } else { Ok(Self(keys)) }
    }

    /// What a lease says, as far as it is one and signed by one of these keys.
    pub(super) fn payload(&self, lease: &str) -> Result<Vec<u8>, LeaseError> {
        let parts: Vec<&str> = lease.split('.').collect();
        let [header, payload, signature] = parts[..] else { return Err(LeaseError::Malformed) };
        if !lease.is_ascii() {
            return Err(LeaseError::Malformed);
        }
        let key = self.signer(&decoded(header)?)?;
        let signed = &lease[..header.len() + 1 + payload.len()];
        let signature = decoded(signature)?;
        key.verify_sig(signed.as_bytes(), &signature).map_err(|_| LeaseError::BadSignature)?;
        decoded(payload)
    }

    /// The key that a header names. Type and algorithm are pinned: nothing that a token says of itself
    /// chooses how it is verified.
    fn signer(&self, header: &[u8]) -> Result<&ParsedPublicKey, LeaseError> {
        let header = json::object(header).ok_or(LeaseError::Malformed)?;
        let text = |name| header.get(name).and_then(Value::as_str);
        if text("alg") != Some("EdDSA") {
            return Err(LeaseError::WrongAlgorithm);
        }
        if text("typ") != Some(LEASE_TYPE) {
            return Err(LeaseError::WrongType);
        }
        // RFC 7515, section 4.1.11: what must be understood, and is not.
        if header.contains_key("crit") {
            return Err(LeaseError::Malformed);
        }
        text("kid").and_then(|id| self.0.get(id)).ok_or(LeaseError::UnknownKey)
    }
}

/// Base64url without padding, in the one way in which it can be written.
fn decoded(part: &str) -> Result<Vec<u8>, LeaseError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| LeaseError::Malformed)
}

/// A key that verifies EdDSA with Ed25519, and its name.
fn read(member: &Value) -> Option<(String, ParsedPublicKey)> {
    let is = |name, wanted: &[&str]| {
        member.get(name).is_none_or(|value| value.as_str().is_some_and(|it| wanted.contains(&it)))
    };
    let has = |name, wanted: &str| member.get(name).is_some_and(|value| value == wanted);
    let verifies = member.get("key_ops").is_none_or(|all| {
        all.as_array().is_some_and(|all| all.iter().any(|operation| operation == "verify"))
    });
    let is_ours = has("kty", "OKP")
        && has("crv", "Ed25519")
        && is("use", &["sig"])
        && is("alg", &["EdDSA", "Ed25519"])
        && verifies;
    if !is_ours {
        return None;
    }
    let id = member.get("kid")?.as_str()?.to_owned();
    let key = URL_SAFE_NO_PAD.decode(member.get("x")?.as_str()?).ok()?;
    let key = Some(key).filter(|key| key.len() == KEY_BYTES)?;
    Some((id, ParsedPublicKey::new(&ED25519, key).ok()?))
}
