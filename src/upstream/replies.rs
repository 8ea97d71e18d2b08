//! What another instance answers, read.

use chrono::{DateTime, Utc};

use super::failed;
use crate::{
    proto::replication::{AbsentTenant, FoundFacts, UnknownTenant, found_facts::Outcome},
    store::{Loaded, StoreError},
    wire::{self, Shared, Unreadable},
};

/// What was found. A clock there that is ahead of the one here makes nothing look younger than it is: what was
/// read was read before `now`.
pub(super) fn loaded(
    found: FoundFacts,
    shared: &mut Shared,
    now: DateTime<Utc>,
) -> Result<Loaded, StoreError> {
    match found.outcome.ok_or_else(|| failed("there is no outcome"))? {
        Outcome::UnknownTenant(UnknownTenant { message, .. }) => Err(failed(message)),
        outcome => {
            let mut loaded = read(outcome, shared).map_err(|error| failed(error.to_string()))?;
            loaded.as_of = loaded.as_of.min(now);
            loaded.was_so_at = loaded.was_so_at.map(|at| at.min(now));
            if let Some(facts) = &mut loaded.facts {
                facts.as_of = facts.as_of.min(now);
            }
            Ok(loaded)
        }
    }
}

fn read(outcome: Outcome, shared: &mut Shared) -> Result<Loaded, Unreadable> {
    match outcome {
        Outcome::Facts(facts) => {
            let facts = wire::facts_of(facts, shared)?;
            Ok(Loaded::read(facts.revision, Some(facts.clone()), facts.as_of))
        }
        Outcome::OutdatedFacts(outdated) => {
            let facts = outdated.facts.ok_or(Unreadable::missing("OutdatedFacts.facts"))?;
            let facts = wire::facts_of(facts, shared)?;
            let was_so_at = wire::instant_of("OutdatedFacts.was_so_at", outdated.was_so_at)?;
            let was_so_at = was_so_at.or(Some(facts.as_of));
            let (revision, as_of) = (facts.revision, facts.as_of);
            Ok(Loaded { revision, facts: Some(facts), as_of, was_so_at })
        }
        Outcome::AbsentTenant(AbsentTenant { revision, as_of, stale }) => {
            let as_of = wire::required_instant("AbsentTenant.as_of", as_of)?;
            Ok(Loaded { revision, facts: None, as_of, was_so_at: stale.then_some(as_of) })
        }
        Outcome::UnknownTenant(_) => Err(Unreadable::missing("FoundFacts.outcome")),
    }
}
