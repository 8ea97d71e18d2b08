//! What is held of one tenant.

use std::hash::{Hash, Hasher};

use uuid::Uuid;

use super::Began;
use crate::{Answer, clock::Micros, list::List};

/// A tenant's UUID, which tells maps apart by its own bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Id(pub(super) Uuid);

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (high, low) = self.0.as_u64_pair();
        state.write_u64(high ^ low);
    }
}

/// A list, with what it is worth.
#[derive(Clone, Debug)]
pub(super) struct HeldList {
    pub(super) list: List,
    pub(super) began: Began,
    /// News came that it is no longer what it was: until when the server had vouched for it by then.
    /// `NEVER`: none came.
    pub(super) outdated: Micros,
    /// The revision that the news announced; 0: it announced none.
    pub(super) announced: u64,
}

#[derive(Clone, Debug)]
pub(super) struct HeldDenial {
    /// The module, or the name of the feature.
    pub(super) about: Box<str>,
    pub(super) answer: Answer,
    pub(super) max_age: Micros,
    pub(super) began: Began,
}

/// What news announced: an answer must be at least that fresh.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) revision: u64,
    /// In another one there may be no such revision.
    pub(super) history: u64,
}

impl Wanted {
    /// Of two streams the one that lags may tell of a revision after the other has told of a later
    /// one.
    pub(super) fn raise(&mut self, told: Self) -> Self {
        let least = self.in_history(told.history);
        *self = Self { revision: told.revision.max(least), ..told };
        *self
    }

    /// The revision, where it is of this history; else 0.
    pub(super) fn in_history(self, history: u64) -> u64 {
        if self.history == history { self.revision } else { 0 }
    }
}

/// What is held of one tenant.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The number of the last news of it or, where the slot was made since, of anything: so a slot
    /// that was let go of and came back is never mistaken for one that has heard no news.
    pub(super) news: u64,
    pub(super) wanted: Wanted,
    pub(super) list: Option<HeldList>,
    pub(super) denials: Vec<HeldDenial>,
}
