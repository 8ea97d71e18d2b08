//! Keys as members of JWK sets ([RFC 8037](https://www.rfc-editor.org/rfc/rfc8037)).

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{InvalidLeaseKey, LEASE_TYPE, LeaseKey};

/// The length of either half of a key, in bytes.
const KEY_BYTES: usize = 32;

impl LeaseKey {
    /// A key that goes by its thumbprint, if it has no other name.
    pub(super) fn new(pair: Ed25519KeyPair, id: Option<String>) -> Self {
        let public = URL_SAFE_NO_PAD.encode(pair.public_key());
        let id = id.unwrap_or_else(|| thumbprint(&public));
        let header = json!({ "alg": "EdDSA", "kid": id, "typ": LEASE_TYPE }).to_string();
        Self { id, pair, header: URL_SAFE_NO_PAD.encode(header), public }
    }

    /// Its public half.
    pub(super) fn published(&self) -> Value {
        let Self { id, public, .. } = self;
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id, "x": public })
    }
}

/// A name that is that of no other key ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)).
pub(super) fn thumbprint(public: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

/// A new key, both halves of it, from 32 random bytes.
pub(super) fn private(seed: &[u8; KEY_BYTES]) -> Option<Value> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    let mut member = LeaseKey::new(pair, None).published();
    member["d"] = URL_SAFE_NO_PAD.encode(seed).into();
    Some(member)
}

/// A private key that signs leases.
pub(super) fn read(member: &Value) -> Result<LeaseKey, InvalidLeaseKey> {
    let text = |name| member.get(name).map(Value::as_str);
    if (text("kty"), text("crv")) != (Some(Some("OKP")), Some(Some("Ed25519"))) {
        return Err(InvalidLeaseKey::OtherKind);
    }
    let signs = member.get("key_ops").is_none_or(|all| {
        all.as_array().is_some_and(|all| all.iter().any(|operation| operation == "sign"))
    });
    // RFC 9864 calls the same algorithm Ed25519.
    let is_alg = matches!(text("alg"), None | Some(Some("EdDSA" | "Ed25519")));
    if !signs || !is_alg || !matches!(text("use"), None | Some(Some("sig"))) {
        return Err(InvalidLeaseKey::OtherUse);
    }
    let id = match text("kid") {
        None => None,
        Some(id) => Some(id.filter(|id| is_id(id)).ok_or(InvalidLeaseKey::Id)?.to_owned()),
    };
    let half = |name| -> Result<[u8; KEY_BYTES], InvalidLeaseKey> {
        let read = text(name).flatten().and_then(|half| URL_SAFE_NO_PAD.decode(half).ok());
        read.and_then(|half| half.try_into().ok()).ok_or(InvalidLeaseKey::Unreadable)
    };
    if member.get("d").is_none() {
        return Err(InvalidLeaseKey::Public);
    }
    let pair = Ed25519KeyPair::from_seed_and_public_key(&half("d")?, &half("x")?);
    Ok(LeaseKey::new(pair.map_err(|_| InvalidLeaseKey::Mismatch)?, id))
}

fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|letter| letter.is_ascii_graphic())
}
