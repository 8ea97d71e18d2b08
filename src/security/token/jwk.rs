//! Members of a JWK set: which of them are keys that can be used.

use aws_lc_rs::{
    rsa::PublicEncryptingKey,
    signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RsaPublicKeyComponents},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

/// A key that verifies tokens with one algorithm.
pub(super) struct Usable {
    pub(super) id: Option<String>,
    pub(super) verifier: DecodingKey,
    pub(super) algorithm: Algorithm,
}

/// Is it a key at all, of any kind?
pub(super) fn is_key(member: &Value) -> bool {
    member.get("kty").is_some_and(Value::is_string)
}

/// A public key for RS256, ES256 or EdDSA. `None`: it is for something else, or cannot verify
/// anything, and RFC 7517, section 5, requires it to be ignored.
pub(super) fn read(member: Value) -> Option<Usable> {
    let jwk: Jwk = serde_json::from_value(member).ok()?;
    let algorithm = algorithm_of(&jwk)?;
    let verifier = DecodingKey::from_jwk(&jwk).ok().filter(|key| is_sound(key, algorithm))?;
    Some(Usable { id: jwk.common.key_id, verifier, algorithm })
}

/// The one algorithm that a public key is for; `None` if it is for something else.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    let common = &jwk.common;
    let verifies = common
        .public_key_use
        .as_ref()
        .is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    let declared = common.key_algorithm.map(|declared| declared.to_string());
    let agrees = declared.is_none_or(|declared| declared == format!("{algorithm:?}"));
    (verifies && agrees).then_some(algorithm)
}

/// Could it verify anything? The library finds that out only with the first token, whose refusal
/// would then be about the key.
fn is_sound(key: &DecodingKey, algorithm: Algorithm) -> bool {
    match (key.kind(), algorithm) {
        (DecodingKeyKind::RsaModulusExponent { n, e }, Algorithm::RS256) => {
            // A product of two primes is odd, and so is an exponent; with 1, anybody could sign.
            // The last check is of the sizes that the verification accepts.
            let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
            let key: Result<PublicEncryptingKey, _> = RsaPublicKeyComponents { n, e }.try_into();
            is_odd(n) && is_odd(e) && e[..] != [1] && key.is_ok()
        }
        (DecodingKeyKind::SecretOrDer(point), Algorithm::ES256) => {
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).is_ok()
        }
        (DecodingKeyKind::SecretOrDer(point), Algorithm::EdDSA) => {
            ParsedPublicKey::new(&ED25519, point).is_ok()
        }
        _ => false,
    }
}
