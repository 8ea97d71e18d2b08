//! Bearer tokens.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::instant;

pub const SECRET: &str = "a shared secret of more than thirty-two bytes";

/// Claims that are good for an hour, and name this tenant.
pub fn claims(tenant: &str) -> Value {
    json!({ "sub": "user", "exp": instant(3600).timestamp(), "tenant_id": tenant })
}

/// A token signed with [`SECRET`].
pub fn hs256(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
        .unwrap()
}

/// A file that holds [`SECRET`].
pub fn secret_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{SECRET}\n")).unwrap();
    file
}
