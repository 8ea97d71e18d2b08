//! Why a decision turned out as it did: the decision table, line by line.

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

/// One line of the decision table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TableLine {
    /// Its position, counted from 1.
    pub order: u8,
    /// Its condition.
    pub condition: &'static str,
    /// Whether it decided.
    pub outcome: LineOutcome,
}

/// The whole decision table as a decision went through it.
pub fn rules(decision: Decision) -> impl Iterator<Item = TableLine> {
    (1..).zip(CONDITIONS).map(move |(order, condition)| {
        let outcome = match u8::cmp(&order, &decision.line) {
            std::cmp::Ordering::Less => LineOutcome::Passed,
            std::cmp::Ordering::Equal => LineOutcome::Decides,
            std::cmp::Ordering::Greater => LineOutcome::NotReached,
        };
        TableLine { order, condition, outcome }
    })
}
