//! What is held of denials.

use uuid::Uuid;

use super::{Began, Held, Id, Slot, slot::HeldDenial};
use crate::{Answer, clock::Micros};

/// Denials of one tenant that are held; more make room, the oldest first.
const MOST_DENIALS: usize = 32;

impl Held {
    pub(super) fn good_denial<'a>(
        &self,
        slot: &'a Slot,
        is_it: impl Fn(&str) -> bool,
        min_revision: u64,
        now: Micros,
    ) -> Option<&'a HeldDenial> {
        let is_good =
            |held: &&HeldDenial| is_it(&held.about) && self.is_denial_good(held, min_revision, now);
        slot.denials.iter().find(is_good)
    }

    fn is_denial_good(&self, held: &HeldDenial, min_revision: u64, now: Micros) -> bool {
        let HeldDenial { answer, max_age, began, .. } = held;
        now < answer.valid_until
            && answer.revision >= min_revision
            && self.is_young(*began, *max_age, now)
    }

    /// Keeps the denial of a module, or of a [feature](super::feature_name) with its module, unless
    /// news came while it was asked for.
    pub(crate) fn keep_denial(
        &self,
        tenant: Uuid,
        about: &str,
        answer: Answer,
        max_age: Micros,
        began: Began,
    ) {
        self.tenants.change(Id(tenant), |slot| {
            if slot.news != began.news || self.stream.has_outdated(began.era) {
                return;
            }
            slot.denials.retain(|held| &*held.about != about);
            if slot.denials.len() >= MOST_DENIALS {
                slot.denials.remove(0);
            }
            slot.denials.push(HeldDenial { about: about.into(), answer, max_age, began });
        });
    }
}
