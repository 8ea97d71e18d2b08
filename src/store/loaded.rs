//! What a load returns.

use chrono::{DateTime, Utc};

use super::{Reading, TenantKey};
use crate::domain::Facts;

/// What was read, and from where.
#[derive(Clone, Debug)]
pub struct Read<T> {
    /// What was read.
    pub value: T,
    /// Did a standby answer in the place of the primary, or another upstream in the place of the one that is
    /// followed? It may lag, and nobody knows how far.
    pub is_from_standby: bool,
    /// Where it was read at the replica that this server sits on: the instant at which that is known to
    /// have been so, at the latest.
    pub known_at: Option<DateTime<Utc>>,
    /// It was read at the primary, while changes are read at a replica, which may not have it yet.
    pub is_ahead: bool,
}

impl<T> Read<T> {
    /// What the primary says, or a replica that has come as far as it had to.
    pub fn proven(value: T) -> Self {
        Self::answered(value, false)
    }

    /// What the database says, or a standby in its place.
    pub fn answered(value: T, is_from_standby: bool) -> Self {
        Self { value, is_from_standby, known_at: None, is_ahead: false }
    }

    /// The same of what the replica says that this server sits on.
    pub(super) fn known_at(self, known_at: DateTime<Utc>) -> Self {
        Self { is_from_standby: false, known_at: Some(known_at), ..self }
    }
}

/// The result of loading one tenant.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The tenant's revision, even if it was deleted; 0 while changes are not counted.
    pub revision: u64,
    /// Its facts, if it exists.
    pub facts: Option<Facts>,
    /// When it was read.
    pub as_of: DateTime<Utc>,
    /// If whoever was asked could not ask the database: the last instant at which it is known to have
    /// been so.
    pub was_so_at: Option<DateTime<Utc>>,
}

impl Loaded {
    /// What the database says.
    pub fn read(revision: u64, facts: Option<Facts>, as_of: DateTime<Utc>) -> Self {
        Self { revision, facts, as_of, was_so_at: None }
    }

    /// What was read for this key. For a subdomain that no tenant has there is no revision.
    pub(super) fn of(
        Reading { revision, evidence }: Reading,
        key: &TenantKey,
        now: DateTime<Utc>,
    ) -> Self {
        let facts = evidence.map(|evidence| evidence.facts);
        let is_nobody = facts.is_none() && matches!(key, TenantKey::Subdomain(_));
        Self::read(if is_nobody { 0 } else { revision }, facts, now)
    }
}
