//! What is known of a tenant.

use chrono::{DateTime, Utc};

use crate::{domain::Facts, store::Loaded};

/// What is known of a tenant.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its facts, if it exists.
    pub facts: Option<Facts>,
    /// When the database was asked.
    pub as_of: DateTime<Utc>,
    /// The revision at which that is so; 0 while changes are not counted.
    pub revision: u64,
    /// It may be otherwise by now, and the database cannot be asked.
    pub stale: bool,
}

impl Known {
    /// A tenant that exists.
    pub fn found(facts: Facts) -> Self {
        Self { as_of: facts.as_of, revision: facts.revision, facts: Some(facts), stale: false }
    }

    /// One that does not.
    pub fn absent(revision: u64, as_of: DateTime<Utc>) -> Self {
        Self { facts: None, as_of, revision, stale: false }
    }

    pub(super) fn of(loaded: Loaded) -> Self {
        match loaded.facts {
            Some(facts) => Self::found(facts),
            None => Self::absent(loaded.revision, loaded.as_of),
        }
    }

    pub(super) fn stale(facts: Facts) -> Self {
        Self { stale: true, ..Self::found(facts) }
    }
}

/// What is remembered of a tenant that does not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absent {
    pub(super) as_of: DateTime<Utc>,
    pub(super) revision: u64,
}
