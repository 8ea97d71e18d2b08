//! The list of what a tenant may use: exactly what [`check`](super::check) allows, at every
//! instant.

use chrono::{DateTime, Utc};

use super::{Catalogue, Decision, Facts, HeldSubscription, Module, ModuleCode, decision::decide};

/// A module that the tenant may use now, or later.
#[derive(Clone, Copy, Debug)]
pub struct EnabledModule<'a> {
    /// The module as the catalogue describes it; `None` if the given catalogue is older than the
    /// subscription.
    pub module: Option<&'a Module>,
    /// Of the rows that grant the right, the one that grants it longest.
    pub row: &'a HeldSubscription,
    /// The end of the uninterrupted right over all rows; `None`: it has no end.
    pub valid_until: Option<DateTime<Utc>>,
}

impl EnabledModule<'_> {
    /// Its position in a menu; 0 if the catalogue does not say.
    pub fn display_order(&self) -> i32 {
        self.module.map_or(0, |module| module.display_order)
    }
}

/// Lists what a tenant may use at an instant, and with `include_upcoming` also the rights that
/// start later, ordered by `display_order`, then code.
pub fn enabled_modules<'a>(
    facts: &'a Facts,
    catalogue: &'a Catalogue,
    at: DateTime<Utc>,
    include_upcoming: bool,
) -> Vec<EnabledModule<'a>> {
    let enabled = |rows| {
        let now: Decision = decide(rows, at)?;
        let upcoming = now.valid_until.filter(|_| include_upcoming);
        let granted_at = if now.allowed() { at } else { upcoming? };
        enabled_at(rows, catalogue, granted_at)
    };
    let mut modules: Vec<_> = served(facts).filter_map(enabled).collect();
    modules.sort_by(|a, b| {
        a.display_order().cmp(&b.display_order()).then_with(|| a.row.module.cmp(&b.row.module))
    });
    modules
}

/// The next instant at which a right of the tenant ends or starts; `None`: never.
pub fn next_change(facts: &Facts, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    served(facts).filter_map(|rows| decide(rows, at)?.valid_until).min()
}

/// A right that starts or ends by time alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transition {
    /// The module whose right starts or ends.
    pub module: ModuleCode,
    /// The instant at which it does.
    pub at: DateTime<Utc>,
}

/// The rights that start or end after one instant and up to another, in order.
pub fn transitions(facts: &Facts, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Transition> {
    let mut found = Vec::new();
    for rows in served(facts) {
        let next = |at| decide(rows, at)?.valid_until.filter(|next| *next <= until);
        let instants = std::iter::successors(next(after), |at| next(*at));
        found.extend(
            rows.first()
                .map(|row| instants.map(|at| Transition { module: row.module.clone(), at }))
                .into_iter()
                .flatten(),
        );
    }
    found.sort_by_key(|transition| transition.at);
    found
}

/// The rows of each module in turn; none if the tenant is not served.
fn served(facts: &Facts) -> impl Iterator<Item = &[HeldSubscription]> {
    facts.by_module().filter(|_| facts.status().denial().is_none())
}

fn enabled_at<'a>(
    rows: &'a [HeldSubscription],
    catalogue: &'a Catalogue,
    at: DateTime<Utc>,
) -> Option<EnabledModule<'a>> {
    let row = rows
        .iter()
        .filter_map(|row| row.window().map(|window| (row, window)))
        .filter(|(_, window)| window.contains(at))
        .max_by_key(|(_, window)| window.end)?
        .0;
    let module = catalogue.module(row.module.as_str());
    Some(EnabledModule { module, row, valid_until: decide(rows, at)?.valid_until })
}
