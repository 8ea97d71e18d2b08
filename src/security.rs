//! Who somebody is, and how that is proven: callers, administrators, bearer tokens, certificates.

pub mod admin_tokens;
pub mod bearer;
pub mod callers;
pub mod hashes;
pub mod lease_claims;
pub mod lease_keys;
pub mod tls;
pub mod token;
