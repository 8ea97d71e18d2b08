//! How far a replica should be, by what its primary has said, and what is in the way of knowing that.

use std::{collections::VecDeque, fmt};

use super::asked::Asked;
use crate::store::{Holds, PrimaryPosition, Reached, StoreError};

/// Marks that wait to be reached, at most. Of more, every second one is forgotten: how old a replica is
/// that lags for so long need not be known to the second.
const MOST: usize = 64;

/// When the primary was asked, and how far its log had come.
#[derive(Clone, Debug)]
struct Mark {
    asked: Asked,
    position: PrimaryPosition,
}

/// The marks that the replica has yet to reach, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pending: VecDeque<Mark>,
    /// Did the primary not answer the last time it was asked?
    is_away: bool,
}

/// Why a replica is not known to be current.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Behind {
    /// Its primary does not say how far it should be.
    PrimaryAway,
    /// It has not come so far.
    Lags,
    /// It is another database, or follows another primary.
    Alien,
    /// Triggers of the log are missing.
    Unarmed,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrimaryAway => {
                "the primary does not answer, so nobody knows how old the replica is"
            }
            Self::Lags => "the replica lags behind its primary",
            Self::Alien => {
                "--database-url leads to another database than a replica of the primary's, or its timeline is another one"
            }
            Self::Unarmed => {
                "triggers of the change log are missing; run, at the primary: entitlementd migrate"
            }
        })
    }
}

impl Marks {
    /// The primary has answered, or not.
    pub(super) fn note(&mut self, asked: Asked, answer: &Result<PrimaryPosition, StoreError>) {
        self.is_away = answer.is_err();
        let Ok(position) = answer else { return };
        if self.pending.len() == MOST {
            let mut turn = false;
            self.pending.retain(|_| {
                turn = !turn;
                turn
            });
        }
        self.pending.push_back(Mark { asked, position: position.clone() });
    }

    /// When the primary was asked last of what a replica has reached; `None`: it has reached nothing new.
    /// What it has passed is forgotten.
    pub(super) fn reached(&mut self, replica: &Reached) -> Option<Asked> {
        let holds = |mark: &Mark| replica.holds(&mark.position) == Holds::Yes;
        let last = self.pending.iter().rposition(holds)?;
        self.pending.drain(..=last).next_back().map(|mark| mark.asked)
    }

    /// Why nothing new has been reached; `None`: the primary is being asked.
    pub(super) fn why_not(&self, replica: &Reached) -> Option<Behind> {
        match self.pending.back() {
            Some(mark) if replica.holds(&mark.position) == Holds::Alien => Some(Behind::Alien),
            _ if self.is_away => Some(Behind::PrimaryAway),
            Some(_) => Some(Behind::Lags),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, store::Whereabouts};

    fn asked() -> Asked {
        Asked::now(&Clock::System, Whereabouts::default())
    }

    /// As many marks as positions.
    fn marks(ends: impl IntoIterator<Item = u64>) -> Marks {
        let mut marks = Marks::default();
        for end in ends {
            marks.note(asked(), &Ok(PrimaryPosition::at("a", end)));
        }
        marks
    }

    #[test]
    fn the_last_mark_that_a_replica_has_reached_counts_and_those_before_are_forgotten() {
        let mut marks = marks([10, 20, 30]);
        let second = marks.pending[1].asked.at;
        assert_eq!(marks.reached(&Reached::at("a", 25)).map(|asked| asked.at), Some(second));
        assert!(marks.reached(&Reached::at("a", 25)).is_none(), "nothing new");
        assert_eq!(marks.pending.len(), 1);
        assert!(marks.reached(&Reached::at("b", 99)).is_none(), "another cluster's");
    }

    #[test]
    fn marks_are_bounded_and_the_oldest_and_the_newest_stay() {
        let marks = marks(0..1_000);
        assert!(marks.pending.len() <= MOST);
        let holds = |end, mark: &Mark| Reached::at("a", end).holds(&mark.position) == Holds::Yes;
        assert!(marks.pending.front().is_some_and(|mark| holds(0, mark)));
        assert!(marks.pending.back().is_some_and(|mark| !holds(998, mark)));
    }

    #[test]
    fn what_is_in_the_way_is_told_apart() {
        let replica = Reached::at("a", 5);
        assert_eq!(Marks::default().why_not(&replica), None, "nobody has been asked");
        let mut marks = marks([10]);
        assert_eq!(marks.why_not(&replica), Some(Behind::Lags));
        assert_eq!(marks.why_not(&Reached::at("b", 5)), Some(Behind::Alien));
        marks.note(asked(), &Err(StoreError::TimedOut));
        assert_eq!(marks.why_not(&replica), Some(Behind::PrimaryAway));
    }
}
