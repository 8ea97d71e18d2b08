//! Keys that verify tokens, each bound to one algorithm.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{InvalidToken, jwk};

/// The maximum number of usable keys in a set; a larger set is a mistake, and each key could cost a
/// verification.
const MAX_KEYS: usize = 100;

/// A file of keys that cannot be used.
#[derive(Debug, Error)]
pub enum InvalidKeys {
    /// It is empty.
    #[error("is empty: expected a shared secret")]
    EmptySecret,
    /// Not JSON, or not a JWK set.
    #[error("is not a JWK set (RFC 7517): {0}")]
    NotJwks(serde_json::Error),
    /// It has too many usable keys.
    #[error("holds more than {MAX_KEYS} keys for RS256, ES256 and EdDSA")]
    TooMany,
    /// It contains no keys of any kind.
    #[error("holds no key")]
    Empty,
    /// It contains keys, but none that can be used.
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

/// The result of reading a set of keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AddedKeys {
    /// The number of keys that verify tokens.
    pub keys: usize,
    /// The number of keys that are for something else, or cannot verify anything.
    pub passed_over: usize,
}

/// Keys from one source.
pub struct KeySet {
    keys: Vec<Key>,
    passed_over: usize,
}

/// Keys from a file, which may be replaced.
pub struct HeldKeys(ArcSwap<KeySet>);

impl HeldKeys {
    pub(super) fn new(keys: KeySet) -> Self {
        Self(ArcSwap::from_pointee(keys))
    }

    pub(super) fn current(&self) -> Guard<Arc<KeySet>> {
        self.0.load()
    }

    /// From now on these count, and those before do not.
    pub fn replace(&self, keys: KeySet) {
        self.0.store(Arc::new(keys));
    }

    /// The result of reading them.
    pub fn taken(&self) -> AddedKeys {
        self.current().taken()
    }
}

impl KeySet {
    /// The result of reading the set.
    pub fn taken(&self) -> AddedKeys {
        AddedKeys { keys: self.keys.len(), passed_over: self.passed_over }
    }

    /// A shared secret, for HS256. A line break at its end is not part of it.
    pub fn of_secret(secret: &[u8]) -> Result<Self, InvalidKeys> {
        let secret = secret.trim_ascii_end();
        if secret.is_empty() {
            return Err(InvalidKeys::EmptySecret);
        }
        let key = Key::new(None, DecodingKey::from_secret(secret), Algorithm::HS256);
        Ok(Self { keys: vec![key], passed_over: 0 })
    }

    /// The public keys of a JWK set, for RS256, ES256 and EdDSA. Keys that are for something else,
    /// or that cannot verify anything, are skipped.
    ///
    /// There may be none left. That is still a statement of the issuer: it has keys, and has
    /// withdrawn the previous ones. But a set without any key is what a broken issuer sends, and
    /// means nothing.
    pub(super) fn of_jwks(json: &[u8]) -> Result<Self, InvalidKeys> {
        let members = serde_json::from_slice::<Jwks>(json).map_err(InvalidKeys::NotJwks)?.keys;
        if !members.iter().any(jwk::is_key) {
            return Err(InvalidKeys::Empty);
        }
        let all = members.len();
        let usable = members.into_iter().filter_map(jwk::read);
        let keys: Vec<Key> =
            usable.map(|key| Key::new(key.id, key.verifier, key.algorithm)).collect();
        if keys.len() > MAX_KEYS {
            return Err(InvalidKeys::TooMany);
        }
        Ok(Self { passed_over: all - keys.len(), keys })
    }

    /// The same of a file, in which at least one key must be usable: nobody else would say that it is
    /// a mistake.
    pub fn of_file(json: &[u8]) -> Result<Self, InvalidKeys> {
        let keys = Self::of_jwks(json)?;
        if keys.keys.is_empty() { Err(InvalidKeys::NoKey) } else { Ok(keys) }
    }

    /// The claims of a token with this header that one of the keys has signed.
    pub(super) fn verify_signature(
        &self,
        token: &str,
        header: &Header,
    ) -> Result<Map<String, Value>, InvalidToken> {
        let fits = |key: &&Key| {
            let named = header.kid.is_none() || key.id.is_none() || header.kid == key.id;
            key.validation.algorithms.contains(&header.alg) && named
        };
        let mut outcome = Err(InvalidToken::UnknownKey);
        for key in self.keys.iter().filter(fits) {
            match decode(token, &key.verifier, &key.validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => outcome = Err(error.into()),
            }
        }
        outcome
    }
}

impl Key {
    fn new(id: Option<String>, verifier: DecodingKey, algorithm: Algorithm) -> Self {
        let mut validation = Validation::new(algorithm);
        // The library only checks the signature: it would check times by a clock of its own.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self { id, verifier, validation }
    }
}
