//! The file of keys, as `entitlementd lease-key` changes it.

use aws_lc_rs::rand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{InvalidLeaseKeys, LeaseKeys, jwk};
use crate::security::admin_tokens::NoRandomness;

/// The private keys of a JWK set, with everything that it says of them. There may be none.
#[derive(Default)]
pub struct LeaseKeyFile(Vec<Value>);

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

/// The members of a JWK set.
pub(super) fn members(text: &[u8]) -> Result<Vec<Value>, InvalidLeaseKeys> {
    // What serde_json finds wrong may quote the text, which is secret.
    serde_json::from_slice::<Jwks>(text).map(|set| set.keys).map_err(|_| InvalidLeaseKeys::NotKeys)
}

impl LeaseKeyFile {
    /// Reads a JWK set whose keys can all be used; an empty text is an empty set.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidLeaseKeys> {
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let members = members(text)?;
        if !members.is_empty() {
            LeaseKeys::parse(text)?;
        }
        Ok(Self(members))
    }

    /// Makes a key, and adds it as the last. Its name.
    pub fn add_new(&mut self) -> Result<String, NoRandomness> {
        let mut seed = [0; 32];
        rand::fill(&mut seed).map_err(|_| NoRandomness)?;
        let member = jwk::private(&seed).ok_or(NoRandomness)?;
        let id = id_of(&member);
        self.0.push(member);
        Ok(id)
    }

    /// The names of the keys. The first is that of the one that signs.
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(id_of).collect()
    }

    /// Makes a key the one that signs. `false`: there is none with this name.
    pub fn sign_with(&mut self, id: &str) -> bool {
        let Some(place) = self.place(id) else { return false };
        self.0[..=place].rotate_right(1);
        true
    }

    /// Removes a key. `false`: there is none with this name.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(place) = self.place(id) else { return false };
        self.0.remove(place);
        true
    }

    /// The file.
    pub fn text(&self) -> String {
        format!("{:#}\n", json!({ "keys": self.0 }))
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.0.iter().position(|member| id_of(member) == id)
    }
}

/// The name that a key goes by.
fn id_of(member: &Value) -> String {
    jwk::read(member).map(|key| key.id).unwrap_or_default()
}
