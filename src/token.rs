//! Bearer tokens: from a JWT to the tenant that it vouches for.
//!
//! Each key is bound to one algorithm when it is read. What a token says of its own algorithm only selects among the
//! keys, so neither `none` nor an asymmetric key used as a shared secret gets anywhere.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::domain::{TenantId, limits::MAX_TOKEN_BYTES};

/// How far two clocks may differ, by RFC 7519, section 4.1.4: "no more than a few minutes".
const LEEWAY: TimeDelta = TimeDelta::seconds(60);

/// A JWKS with more keys is a mistake; each one could cost a verification.
const MOST_KEYS: usize = 100;

/// What a token must say beside being signed.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// The wanted `iss`; `None`: any.
    pub issuer: Option<String>,
    /// The wanted entry of `aud`; `None`: any.
    pub audience: Option<String>,
    /// The claim that names the tenant.
    pub tenant_claim: String,
}

/// What a good token comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Vouched {
    /// The tenant it names; `None`: it names none.
    pub tenant: Option<TenantId>,
    /// Its `exp`: what it vouches for must not be kept longer.
    pub expires_at: DateTime<Utc>,
}

/// The token is not one that we can vouch for. The text is for the log; a caller learns no more than that.
#[derive(Debug, Error)]
pub enum InvalidToken {
    /// There is nothing to verify it with.
    #[error("no key is configured")]
    NoKey,
    /// More than [`MAX_TOKEN_BYTES`].
    #[error("it is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// No key has its algorithm and key id.
    #[error("no key for its algorithm and key id")]
    UnknownKey,
    /// Malformed, or the signature does not match.
    #[error("{0}")]
    Refused(#[from] jsonwebtoken::errors::Error),
    /// A claim is missing or not as wanted.
    #[error("its claim {0:?} is missing or not as wanted")]
    Claim(String),
    /// `exp` has passed.
    #[error("it has expired")]
    Expired,
    /// `nbf` lies ahead.
    #[error("it is not valid yet")]
    NotYetValid,
}

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

/// The keys that vouch for tokens, and what tokens must say.
pub struct Tokens {
    keys: Vec<Key>,
    rules: TokenRules,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("keys", &self.keys.len()).field("rules", &self.rules).finish()
    }
}

impl Tokens {
    /// No keys: every token is refused until some are added.
    pub fn new(rules: TokenRules) -> Self {
        Self { keys: Vec::new(), rules }
    }

    /// Adds a shared secret, for HS256. A line break at its end is not part of it.
    pub fn add_secret(&mut self, secret: &[u8]) -> Result<(), InvalidKeys> {
        let secret = secret.trim_ascii_end();
        if secret.is_empty() {
            return Err(InvalidKeys::EmptySecret);
        }
        self.add(None, DecodingKey::from_secret(secret), Algorithm::HS256);
        Ok(())
    }

    /// Adds the public keys of a JWK set, for RS256, ES256 and EdDSA. Keys for other purposes are passed over.
    pub fn add_jwks(&mut self, json: &[u8]) -> Result<(), InvalidKeys> {
        let set: Jwks = serde_json::from_slice(json).map_err(InvalidKeys::NotJwks)?;
        if set.keys.len() > MOST_KEYS {
            return Err(InvalidKeys::TooMany);
        }
        let before = self.keys.len();
        // A kind of key that is not known is passed over (RFC 7517, section 5).
        for jwk in set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()) {
            let id = jwk.common.key_id.clone();
            let name = || id.clone().unwrap_or_else(|| "without a key id".to_owned());
            if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
                return Err(InvalidKeys::Symmetric(name()));
            }
            let Some(algorithm) = algorithm_of(&jwk) else { continue };
            let key = DecodingKey::from_jwk(&jwk).map_err(|_| InvalidKeys::Unreadable(name()))?;
            self.add(id, key, algorithm);
        }
        if self.keys.len() == before { Err(InvalidKeys::NoKey) } else { Ok(()) }
    }

    fn add(&mut self, id: Option<String>, key: DecodingKey, algorithm: Algorithm) {
        let mut validation = Validation::new(algorithm);
        // Only the signature is left to the library: it would judge times by a clock of its own.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        self.keys.push(Key { id, verifier: key, validation });
    }

    /// Verifies a token, with or without `Bearer ` before it.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Vouched, InvalidToken> {
        let token = strip_scheme(token);
        if token.len() > MAX_TOKEN_BYTES {
            return Err(InvalidToken::TooLong);
        }
        if self.keys.is_empty() {
            return Err(InvalidToken::NoKey);
        }
        let claims = self.verify_signature(token)?;
        self.judge(&claims, now)
    }

    fn verify_signature(&self, token: &str) -> Result<Map<String, Value>, InvalidToken> {
        let header = decode_header(token)?;
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

    fn judge(&self, claims: &Map<String, Value>, now: DateTime<Utc>) -> Result<Vouched, InvalidToken> {
        let bad = |claim: &str| InvalidToken::Claim(claim.to_owned());
        let expires_at = claims.get("exp").and_then(numeric_date).ok_or_else(|| bad("exp"))?;
        if expires_at <= now - LEEWAY {
            return Err(InvalidToken::Expired);
        }
        if let Some(not_before) = claims.get("nbf")
            && now + LEEWAY < numeric_date(not_before).ok_or_else(|| bad("nbf"))?
        {
            return Err(InvalidToken::NotYetValid);
        }
        if !self.rules.issuer.as_ref().is_none_or(|wanted| claims.get("iss").is_some_and(|iss| iss == wanted)) {
            return Err(bad("iss"));
        }
        if !self.rules.audience.as_ref().is_none_or(|wanted| names_audience(claims.get("aud"), wanted)) {
            return Err(bad("aud"));
        }
        let claim = &self.rules.tenant_claim;
        let tenant = match claims.get(claim) {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(TenantId::parse(id).map_err(|_| bad(claim))?),
            Some(_) => return Err(bad(claim)),
        };
        Ok(Vouched { tenant, expires_at })
    }
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

/// Seconds since 1970, fractions allowed (RFC 7519, section 2, `NumericDate`), up to the year 9999. A fraction of a
/// second is well within the leeway.
fn numeric_date(value: &Value) -> Option<DateTime<Utc>> {
    const LATEST: f64 = 253_402_300_799.0;
    let seconds = value.as_f64()?.floor();
    #[expect(clippy::cast_possible_truncation, reason = "whole, and far from the ends of an i64")]
    (0.0..=LATEST).contains(&seconds).then(|| DateTime::from_timestamp(seconds as i64, 0)).flatten()
}

fn names_audience(aud: Option<&Value>, wanted: &str) -> bool {
    match aud {
        Some(Value::String(aud)) => aud == wanted,
        Some(Value::Array(all)) => all.iter().any(|aud| aud == wanted),
        _ => false,
    }
}

/// The scheme's name has no case (RFC 9110, section 11.1).
fn strip_scheme(token: &str) -> &str {
    match token.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("Bearer ") => rest.trim_matches(' '),
        _ => token,
    }
}
