//! What a tenant is entitled to, as administrators change it: its status, its plan, and the terms
//! of its subscriptions.

use std::collections::BTreeMap;

use chrono::{DateTime, Months, Utc};
use uuid::Uuid;

use super::{
    BillingCycle, Cost, ModuleCode, Money, Offers, SubscriptionStatus, TenantStatus,
    cost::list_prices,
};

/// A tenant's status, plan and subscriptions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entitlements {
    /// The status as it is stored.
    pub status: String,
    /// The slug of its plan.
    pub plan: Option<String>,
    /// All rows, including those that have ended.
    pub subscriptions: Vec<Terms>,
}

/// The terms of one subscription: one row of `tenant_subscriptions`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terms {
    /// The row's UUID; `None`: it is new.
    pub id: Option<Uuid>,
    /// The module.
    pub module: ModuleCode,
    /// The slug of the plan that it came with.
    pub plan: Option<String>,
    /// The status as it is stored.
    pub status: String,
    /// The billing cycle as it is stored.
    pub billing_cycle: Option<String>,
    /// The price of one billing cycle.
    pub price_paid: Option<Money>,
    /// The start of the right. `None`: it has always run.
    pub starts_at: Option<DateTime<Utc>>,
    /// The end of the right, exclusive. `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Does `trial_ends_at` count?
    pub is_trial: bool,
    /// The trial's end.
    pub trial_ends_at: Option<DateTime<Utc>>,
    /// Is it renewed when it ends?
    pub auto_renew: bool,
}

impl Terms {
    /// Does it grant the module at this instant or later?
    pub fn is_held(&self, at: DateTime<Utc>) -> bool {
        SubscriptionStatus::of(&self.status) == SubscriptionStatus::Active
            && self.ends_at().is_none_or(|end| at < end)
    }

    /// Does it grant the module at this instant?
    pub fn grants(&self, at: DateTime<Utc>) -> bool {
        self.is_held(at) && self.starts_at.is_none_or(|start| start <= at)
    }

    /// When it ends by time alone.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        let trial_end = self.trial_ends_at.filter(|_| self.is_trial);
        [self.expires_at, trial_end].into_iter().flatten().min()
    }

    /// The end of the paid period: its own end, or the next day on which a billing cycle begins.
    pub(super) fn period_end(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        if let Some(end) = self.ends_at() {
            return end;
        }
        let months =
            self.billing_cycle.as_deref().and_then(BillingCycle::of).unwrap_or_default().months();
        let start = self.starts_at.unwrap_or(at);
        let starts = (1_u32..)
            .map_while(|count| start.checked_add_months(Months::new(count.checked_mul(months)?)));
        starts.into_iter().find(|start| *start > at).unwrap_or(at)
    }
}

/// What entitlements amount to at one instant.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// The tenant's status as it is stored.
    pub status: String,
    /// The slug of its plan.
    pub plan: Option<String>,
    /// The modules that it has, or will have without further action, by code. The tenant's status
    /// is not taken into account.
    pub modules: BTreeMap<ModuleCode, Holding>,
    /// The sum of the list prices of these modules for a month.
    pub price_monthly: Money,
    /// The sum of their list prices for a year.
    pub price_yearly: Money,
    /// What it costs; `None`: it was recorded before that was said.
    pub cost: Option<Cost>,
}

/// The period for which a tenant has a module.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Holding {
    /// The start; `None`: it has always run.
    pub starts_at: Option<DateTime<Utc>>,
    /// The end; `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
    /// Is that the end of a trial?
    pub is_trial: bool,
}

impl Entitlements {
    /// The tenant's status, parsed.
    pub fn tenant_status(&self) -> TenantStatus {
        TenantStatus::of(&self.status)
    }

    /// Does the tenant have the module, now or later?
    pub fn holds(&self, module: &ModuleCode, at: DateTime<Utc>) -> bool {
        self.subscriptions.iter().any(|row| row.module == *module && row.is_held(at))
    }

    /// Does the tenant have the module at this instant?
    pub fn grants(&self, module: &ModuleCode, at: DateTime<Utc>) -> bool {
        self.subscriptions.iter().any(|row| row.module == *module && row.grants(at))
    }

    /// Sums them up. A module without a price adds nothing.
    pub fn summary(&self, offers: &Offers, at: DateTime<Utc>) -> Summary {
        let mut modules: BTreeMap<ModuleCode, Holding> = BTreeMap::new();
        for row in self.subscriptions.iter().filter(|row| row.is_held(at)) {
            let one = Holding {
                starts_at: row.starts_at,
                ends_at: row.ends_at(),
                is_trial: row.is_trial,
            };
            modules
                .entry(row.module.clone())
                .and_modify(|other| *other = other.or(one))
                .or_insert(one);
        }
        let [price_monthly, price_yearly] = list_prices(modules.keys(), offers);
        Summary {
            status: self.status.clone(),
            plan: self.plan.clone(),
            price_monthly,
            price_yearly,
            cost: Some(Cost::of(self.plan.as_deref(), modules.keys(), offers)),
            modules,
        }
    }
}

impl Summary {
    /// The modules that are in this summary and not in the other, by code.
    pub fn modules_beside<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a ModuleCode> {
        self.modules.keys().filter(|code| !other.modules.contains_key(*code))
    }
}

impl Holding {
    /// Combines two rows of one module: the earlier start and the later end.
    fn or(self, other: Self) -> Self {
        let longer = match (self.ends_at, other.ends_at) {
            (None, _) => self,
            (_, None) => other,
            (one, two) if one >= two => self,
            _ => other,
        };
        Self { starts_at: self.starts_at.min(other.starts_at), ..longer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn terms(cycle: Option<&str>, starts_at: &str) -> Terms {
        Terms {
            id: None,
            module: ModuleCode::new("finance"),
            plan: None,
            status: "active".into(),
            billing_cycle: cycle.map(str::to_owned),
            price_paid: None,
            starts_at: Some(at(starts_at)),
            expires_at: None,
            is_trial: false,
            trial_ends_at: None,
            auto_renew: true,
        }
    }

    #[test]
    fn a_period_ends_on_the_day_on_which_the_next_one_begins() {
        let now = at("2026-03-15T00:00:00Z");
        for (cycle, start, end) in [
            (Some("monthly"), "2026-01-31T10:00:00Z", "2026-03-31T10:00:00Z"),
            (None, "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
            (Some("YEARLY"), "2024-02-29T00:00:00Z", "2027-02-28T00:00:00Z"),
            (Some("annual"), "2026-03-15T00:00:00Z", "2027-03-15T00:00:00Z"),
            (Some("monthly"), "2026-02-15T00:00:00Z", "2026-04-15T00:00:00Z"),
            (Some("monthly"), "2026-05-10T00:00:00Z", "2026-06-10T00:00:00Z"),
        ] {
            assert_eq!(terms(cycle, start).period_end(now), at(end), "{cycle:?} {start}");
        }
        let trial = Terms {
            is_trial: true,
            trial_ends_at: Some(at("2026-03-20T00:00:00Z")),
            ..terms(None, "2026-01-01T00:00:00Z")
        };
        assert_eq!(trial.period_end(now), at("2026-03-20T00:00:00Z"));
        assert_eq!(
            Terms { starts_at: None, ..terms(None, "2026-01-01T00:00:00Z") }.period_end(now),
            at("2026-04-15T00:00:00Z")
        );
    }

    #[test]
    fn a_module_in_several_rows_counts_once_and_for_as_long_as_the_longest() {
        let now = at("2026-03-15T00:00:00Z");
        let ends = Terms {
            expires_at: Some(at("2026-04-01T00:00:00Z")),
            ..terms(None, "2026-01-01T00:00:00Z")
        };
        let stays = terms(None, "2026-02-01T00:00:00Z");
        let entitlements =
            Entitlements { status: "active".into(), plan: None, subscriptions: vec![ends, stays] };
        let summary = entitlements.summary(&Offers::default(), now);
        let wanted =
            Holding { starts_at: Some(at("2026-01-01T00:00:00Z")), ends_at: None, is_trial: false };
        assert_eq!(summary.modules.values().collect::<Vec<_>>(), [&wanted]);
    }
}
