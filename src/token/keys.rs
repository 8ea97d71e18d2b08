//! Keys that verify tokens, each bound to one algorithm.

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde_json::{Map, Value};
use thiserror::Error;

use super::InvalidToken;

/// A JWKS with more keys is a mistake; each one could cost a verification.
const MOST_KEYS: usize = 100;

/// A file of keys that cannot be used.
#[derive(Debug, Error)]
pub enum InvalidKeys {
    /// Nothing in it.
    #[error("is empty: expected a shared secret")]
    EmptySecret,
    /// Not JSON, or not a JWK set.
    #[error("is not a JWK set (RFC 7517): {0}")]
    NotJwks(serde_json::Error),
    /// Too many.
    #[error("holds more than {MOST_KEYS} keys")]
    TooMany,
    /// A symmetric key does not belong among public ones.
    #[error("holds a symmetric key ({0}): give a shared secret with --jwt-secret-file")]
    Symmetric(String),
    /// A key whose parameters are wrong.
    #[error("holds a key ({0}) that cannot be read")]
    Unreadable(String),
    /// Not one key that can be used.
    #[error("holds no key for RS256, ES256 or EdDSA")]
    NoKey,
}

#[derive(serde::Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

struct Key {
    id: Option<String>,
    verifier: DecodingKey,
    validation: Validation,
}

/// Keys that come from one place.
#[derive(Default)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A shared secret, for HS256. A line break at its end is not part of it.
    pub(super) fn of_secret(secret: &[u8]) -> Result<Self, InvalidKeys> {
        let secret = secret.trim_ascii_end();
        if secret.is_empty() {
            return Err(InvalidKeys::EmptySecret);
        }
        Ok(Self(vec![key(None, DecodingKey::from_secret(secret), Algorithm::HS256)]))
    }

    /// The public keys of a JWK set, for RS256, ES256 and EdDSA. Keys for other purposes are passed over.
    pub(super) fn of_jwks(json: &[u8]) -> Result<Self, InvalidKeys> {
        let set: Jwks = serde_json::from_slice(json).map_err(InvalidKeys::NotJwks)?;
        if set.keys.len() > MOST_KEYS {
            return Err(InvalidKeys::TooMany);
        }
        let mut keys = Vec::with_capacity(set.keys.len());
        // A kind of key that is not known is passed over (RFC 7517, section 5).
        for jwk in set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()) {
            let id = jwk.common.key_id.clone();
            let name = || id.clone().unwrap_or_else(|| "without a key id".to_owned());
            if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
                return Err(InvalidKeys::Symmetric(name()));
            }
            let Some(algorithm) = algorithm_of(&jwk) else { continue };
            let verifier = DecodingKey::from_jwk(&jwk).map_err(|_| InvalidKeys::Unreadable(name()))?;
            keys.push(key(id, verifier, algorithm));
        }
        if keys.is_empty() { Err(InvalidKeys::NoKey) } else { Ok(Self(keys)) }
    }

    /// The claims of a token that one of the keys has signed.
    pub(super) fn verify_signature(&self, token: &str) -> Result<Map<String, Value>, InvalidToken> {
        let header = decode_header(token)?;
        let fits = |key: &&Key| {
            let named = header.kid.is_none() || key.id.is_none() || header.kid == key.id;
            key.validation.algorithms.contains(&header.alg) && named
        };
        let mut outcome = Err(InvalidToken::UnknownKey);
        for key in self.0.iter().filter(fits) {
            match decode(token, &key.verifier, &key.validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => outcome = Err(error.into()),
            }
        }
        outcome
    }
}

fn key(id: Option<String>, verifier: DecodingKey, algorithm: Algorithm) -> Key {
    let mut validation = Validation::new(algorithm);
    // Only the signature is left to the library: it would judge times by a clock of its own.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    Key { id, verifier, validation }
}

/// The one algorithm that a public key is for; `None` where it is for something else.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let declared = jwk.common.key_algorithm.map(|declared| declared.to_string());
    declared.is_none_or(|declared| declared == format!("{algorithm:?}")).then_some(algorithm)
}
