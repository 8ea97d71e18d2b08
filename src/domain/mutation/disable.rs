//! Disabling modules.

use chrono::{DateTime, Utc};

use super::{Disabling, Edit, Ends, Violation};
use crate::domain::{ModuleCode, SubscriptionStatus, Terms};

impl Edit<'_> {
    /// Disables modules, and what depends on them if requested. Modules that the tenant does not
    /// have stay unchanged.
    pub(super) fn disable(&mut self, disabling: &Disabling) {
        let Disabling { modules, include_dependents, ends } = disabling;
        let mut wanted = modules.clone();
        let mut next = 0;
        while let Some(code) = wanted.get(next).cloned() {
            next += 1;
            match self.offers.module(code.as_str()) {
                None if !self.entitlements.holds(&code, self.at) => {
                    self.violated(Violation::UnknownModule(code));
                    continue;
                }
                Some(offer) if offer.module.is_base_module => {
                    self.violated(Violation::BaseModule(code.clone()));
                }
                _ => {}
            }
            if *include_dependents {
                let more = self.dependents_of(&code, &wanted);
                wanted.extend(more);
            }
        }
        let end = self.end_of(&wanted, *ends);
        if !include_dependents {
            self.check_dependents(&wanted, end);
        }
        let at = self.at;
        for code in &wanted {
            for row in self.rows_of(code).filter(|row| row.is_held(at)) {
                if end <= at { end_now(row, at) } else { end_later(row, end) }
            }
        }
    }

    /// The modules that the tenant has and that depend on this one, except for those in `but`.
    fn dependents_of(&self, code: &ModuleCode, but: &[ModuleCode]) -> Vec<ModuleCode> {
        let needs_it = self.offers.modules.iter().filter(|offer| offer.dependencies.contains(code));
        let held = needs_it
            .map(|offer| &offer.module.code)
            .filter(|other| self.entitlements.holds(other, self.at));
        held.filter(|other| !but.contains(other)).cloned().collect()
    }

    /// The instant at which all of these modules end.
    fn end_of(&self, codes: &[ModuleCode], ends: Ends) -> DateTime<Utc> {
        let rows = self.entitlements.subscriptions.iter();
        let ending = rows.filter(|row| codes.contains(&row.module) && row.is_held(self.at));
        match ends {
            Ends::Now => self.at,
            Ends::PeriodEnd => ending.map(|row| row.period_end(self.at)).max().unwrap_or(self.at),
        }
    }

    /// Adds a violation for every module that would outlast one that it depends on.
    fn check_dependents(&mut self, codes: &[ModuleCode], end: DateTime<Utc>) {
        for code in codes
            .iter()
            .filter(|code| self.entitlements.holds(code, self.at))
            .cloned()
            .collect::<Vec<_>>()
        {
            for dependent in self.dependents_of(&code, codes) {
                let outlasts =
                    |row: &Terms| row.module == dependent && row.is_held(end.max(self.at));
                if self.entitlements.subscriptions.iter().any(outlasts) {
                    self.violated(Violation::HasDependent { module: code.clone(), dependent });
                }
            }
        }
    }
}

pub(super) fn end_now(row: &mut Terms, at: DateTime<Utc>) {
    SubscriptionStatus::Cancelled.word().clone_into(&mut row.status);
    end_later(row, at);
}

fn end_later(row: &mut Terms, end: DateTime<Utc>) {
    row.expires_at = Some(row.expires_at.map_or(end, |earlier| earlier.min(end)));
    row.auto_renew = false;
}
