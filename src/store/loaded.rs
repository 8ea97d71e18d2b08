//! What a load of one tenant returns.

use super::{Reading, TenantKey};
use crate::domain::Facts;

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
