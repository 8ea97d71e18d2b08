//! Why a decision turned out as it did: the decision table, line by line.

mod feature;
mod limit;

use std::cmp::Ordering;

pub use self::{feature::FeatureGrounds, limit::LimitGrounds};
use super::Decision;

/// The conditions of the decision table, in order.
pub const CONDITIONS: [&str; 9] = [
    "no such tenant",
    "tenant status is not served",
    "no module with this code",
    "no subscription",
    "subscription status is not 'active'",
    "at < starts_at",
    "expires_at <= at",
    "is_trial and trial_ends_at <= at",
    "otherwise: enabled",
];

/// The outcome of one line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LineOutcome {
    /// Evaluated; its condition does not hold.
    Passed,
    /// Its condition holds: this line decides.
    Decides,
    /// Not evaluated: an earlier line had decided.
    NotReached,
}

impl LineOutcome {
    /// Its name in the output of commands: that of `RuleOutcome` in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "PASSED",
            Self::Decides => "DECIDES",
            Self::NotReached => "NOT_REACHED",
        }
    }
}

/// One line of the decision table, or of the order in which a feature or a limit is decided.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableLine {
    /// Its position, counted from 1.
    pub order: u8,
    /// Its condition.
    pub condition: &'static str,
    /// Whether it decided.
    pub outcome: LineOutcome,
    /// For a feature or a limit: what was found. Otherwise empty.
    pub found: String,
}

impl LineOutcome {
    /// That of the line `order` where the line `decides` does.
    fn of(order: u8, decides: u8) -> Self {
        match order.cmp(&decides) {
            Ordering::Less => Self::Passed,
            Ordering::Equal => Self::Decides,
            Ordering::Greater => Self::NotReached,
        }
    }
}

/// Lines with what was found for each.
fn lines<const N: usize>(all: [(&'static str, String); N], decides: u8) -> Vec<TableLine> {
    let line = |(order, (condition, found))| TableLine {
        order,
        condition,
        outcome: LineOutcome::of(order, decides),
        found,
    };
    (1..).zip(all).map(line).collect()
}

/// The whole decision table as a decision went through it.
pub fn rules(decision: Decision) -> impl Iterator<Item = TableLine> {
    (1..).zip(CONDITIONS).map(move |(order, condition)| TableLine {
        order,
        condition,
        outcome: LineOutcome::of(order, decision.line),
        found: String::new(),
    })
}
