//! Keys that sign leases: from a file of private keys to signatures, and to the set of public keys that
//! is published.
//!
//! The first key of the file signs, and all are published: so a new key is known everywhere before it
//! signs, and an old one as long as something that it has signed may be shown.

mod file;
mod jwk;

use std::{collections::HashSet, fmt};

use arc_swap::ArcSwap;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use rustls::pki_types::{
    PrivatePkcs8KeyDer,
    pem::{self, PemObject},
};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;

pub use self::file::LeaseKeyFile;
use crate::domain::limits::MAX_SIGNED_LEASE_BYTES;

/// `typ` of the header of a signed lease (RFC 8725, section 3.11): no other token has it, and nothing that
/// has it is another token.
pub const LEASE_TYPE: &str = "entitlement-lease+jwt";

/// The most keys that a file may hold: a rotation needs two.
const MAX_KEYS: usize = 16;

/// A file of keys that cannot be used. No text of it is repeated.
#[derive(Debug, Error)]
pub enum InvalidLeaseKeys {
    /// Neither PEM nor JSON.
    #[error("holds neither private keys in PEM (PKCS#8) nor a JWK set (RFC 7517)")]
    NotKeys,
    /// PEM that cannot be read.
    #[error("is not PEM: {0}")]
    Pem(#[from] pem::Error),
    /// There is no key.
    #[error("holds no key: entitlementd lease-key new makes one")]
    Empty,
    /// There are too many.
    #[error("holds more than {MAX_KEYS} keys")]
    TooMany,
    /// This key is for something else, or broken.
    #[error("key number {0}: {1}")]
    Key(usize, InvalidLeaseKey),
    /// Two keys go by the same name, so that nobody could tell which one has signed.
    #[error("key number {0}: its kid is that of an earlier one")]
    SameId(usize),
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InvalidLeaseKey {
    /// It is of another kind.
    #[error("is not an Ed25519 key (\"kty\": \"OKP\", \"crv\": \"Ed25519\")")]
    OtherKind,
    /// It is meant for something else.
    #[error("is not for signing with EdDSA, as its use, alg or key_ops say")]
    OtherUse,
    /// It cannot sign.
    #[error("has no private half (d)")]
    Public,
    /// Its halves are not 32 bytes each in base64url.
    #[error("is unreadable: d and x must be 32 bytes each, in base64url without padding")]
    Unreadable,
    /// Its halves do not belong together.
    #[error("x is not the public half of d")]
    Mismatch,
    /// Its name cannot go into a header.
    #[error("its kid must be 1 to 128 printable ASCII characters")]
    Id,
    /// It is no Ed25519 key in PKCS#8.
    #[error("is not an Ed25519 key in PKCS#8")]
    Pkcs8,
}

/// A lease that is too large to be handed on.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the lease would be larger than {MAX_SIGNED_LEASE_BYTES} bytes")]
pub struct LeaseTooLarge;

/// A key.
struct LeaseKey {
    id: String,
    pair: Ed25519KeyPair,
    /// The header of what it signs, encoded.
    header: String,
    /// Its public half, encoded.
    public: String,
}

/// The keys of a file.
pub struct LeaseKeys {
    keys: Vec<LeaseKey>,
    /// The set that is published, as JSON.
    published: String,
}

impl fmt::Debug for LeaseKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl LeaseKeys {
    /// Reads a file: private keys in PEM, or a JWK set. The first key signs.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidLeaseKeys> {
        let keys = match text.trim_ascii_start() {
            text if text.starts_with(b"-----") => of_pem(text)?,
            text if text.starts_with(b"{") => of_jwks(text)?,
            [] => Vec::new(),
            _ => return Err(InvalidLeaseKeys::NotKeys),
        };
        if keys.is_empty() {
            return Err(InvalidLeaseKeys::Empty);
        }
        if keys.len() > MAX_KEYS {
            return Err(InvalidLeaseKeys::TooMany);
        }
        let mut ids = HashSet::new();
        if let Some(place) = keys.iter().position(|key| !ids.insert(&key.id)) {
            return Err(InvalidLeaseKeys::SameId(place + 1));
        }
        let published: Vec<_> = keys.iter().map(LeaseKey::published).collect();
        let published = json!({ "keys": published }).to_string();
        Ok(Self { keys, published })
    }

    /// The set of the public halves, as JSON: for everybody who verifies leases.
    pub fn published(&self) -> &str {
        &self.published
    }

    /// The names of the keys. The first is that of the one that signs.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// A JWT with these claims, in compact form (RFC 7515, section 7.1), signed with the first key.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, LeaseTooLarge> {
        // There is a key, and claims are plain JSON: neither can fail.
        let key = self.keys.first().ok_or(LeaseTooLarge)?;
        let claims = serde_json::to_vec(claims).map_err(|_| LeaseTooLarge)?;
        let mut token = format!("{}.{}", key.header, URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.pair.sign(token.as_bytes()));
        token.push('.');
        token.push_str(&signature);
        if token.len() > MAX_SIGNED_LEASE_BYTES { Err(LeaseTooLarge) } else { Ok(token) }
    }
}

/// Issues leases: the keys that count now, and what is the same for all leases. Keys may be replaced.
#[derive(Debug)]
pub struct LeaseIssuer {
    keys: ArcSwap<LeaseKeys>,
    /// The `iss` of leases.
    pub name: String,
    /// How long a lease may last.
    pub longest: TimeDelta,
}

impl LeaseIssuer {
    /// An issuer with these keys.
    pub fn new(keys: LeaseKeys, name: String, longest: TimeDelta) -> Self {
        Self { keys: ArcSwap::from_pointee(keys), name, longest }
    }

    /// From now on, these keys sign and are published.
    pub fn replace(&self, keys: LeaseKeys) {
        self.keys.store(keys.into());
    }

    /// The keys that count now.
    pub fn keys(&self) -> arc_swap::Guard<std::sync::Arc<LeaseKeys>> {
        self.keys.load()
    }
}

fn of_pem(text: &[u8]) -> Result<Vec<LeaseKey>, InvalidLeaseKeys> {
    let mut keys = Vec::new();
    for (number, der) in (1..).zip(PrivatePkcs8KeyDer::pem_slice_iter(text)) {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der?.secret_pkcs8_der());
        let pair = pair.map_err(|_| InvalidLeaseKeys::Key(number, InvalidLeaseKey::Pkcs8))?;
        keys.push(LeaseKey::new(pair, None));
    }
    Ok(keys)
}

fn of_jwks(text: &[u8]) -> Result<Vec<LeaseKey>, InvalidLeaseKeys> {
    let members = file::members(text)?;
    let read = |(number, member)| {
        jwk::read(member).map_err(|problem| InvalidLeaseKeys::Key(number, problem))
    };
    (1..).zip(&members).map(read).collect()
}

#[cfg(test)]
mod tests;
