//! What a load returns.

use super::{Reading, TenantKey};
use crate::domain::Facts;

/// What was read, and from where.
#[derive(Clone, Debug)]
pub struct Read<T> {
    /// What was read.
    pub value: T,
    /// Did a standby answer in the place of the primary? It may lag, and nobody knows how far.
    pub is_from_standby: bool,
}

impl<T> Read<T> {
    /// What the primary says, or a replica that has come as far as it had to.
    pub fn proven(value: T) -> Self {
        Self { value, is_from_standby: false }
    }
}

/// The result of loading one tenant.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The tenant's revision, even if it was deleted; 0 while changes are not counted.
    pub revision: u64,
    /// Its facts, if it exists.
    pub facts: Option<Facts>,
}

impl Loaded {
    /// What was read for this key. For a subdomain that no tenant has there is no revision.
    pub(super) fn of(Reading { revision, evidence }: Reading, key: &TenantKey) -> Self {
        let facts = evidence.map(|evidence| evidence.facts);
        let is_nobody = facts.is_none() && matches!(key, TenantKey::Subdomain(_));
        Self { revision: if is_nobody { 0 } else { revision }, facts }
    }
}
