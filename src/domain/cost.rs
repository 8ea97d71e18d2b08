//! What a tenant costs by the catalogue.

use super::{BillingCycle, ModuleCode, Money, Offers};

/// The price of a tenant's plan, and of what it has beside it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cost {
    /// The plan's own price for its billing cycle; `None`: it has no plan, or the catalogue does
    /// not say.
    pub plan: Option<Money>,
    /// The plan's billing cycle; `None`: it has no plan, or the catalogue does not say.
    pub cycle: Option<BillingCycle>,
    /// The modules that it has beside those of its plan, by code.
    pub beside: Vec<ModuleCode>,
    /// The sum of their list prices for a month.
    pub beside_monthly: Money,
    /// The sum of their list prices for a year.
    pub beside_yearly: Money,
    /// All of it for a month; `None`: the catalogue has no price of the plan for a month.
    pub monthly: Option<Money>,
    /// All of it for a year; `None`: the catalogue has no price of the plan for a year.
    pub yearly: Option<Money>,
}

impl Cost {
    /// The cost of a plan, if there is one, with these modules, in or beside it.
    pub fn of<'a>(
        slug: Option<&str>,
        modules: impl Iterator<Item = &'a ModuleCode>,
        offers: &Offers,
    ) -> Self {
        let offer = slug.and_then(|slug| offers.plan(slug));
        let is_beside =
            |code: &&ModuleCode| offer.is_none_or(|offer| !offer.plan.modules.contains(*code));
        let beside: Vec<ModuleCode> = modules.filter(is_beside).cloned().collect();
        let [beside_monthly, beside_yearly] = list_prices(beside.iter(), offers);
        let plan = offer.and_then(|offer| offer.price);
        let cycle = offer.and_then(|offer| BillingCycle::of(&offer.billing_cycle));
        // Nobody multiplies a month's price by twelve: a year may have a price of its own.
        let with_plan = |wanted, beside| match slug {
            None => Some(beside),
            Some(_) => {
                plan.filter(|_| cycle == Some(wanted)).map(|plan| [plan, beside].into_iter().sum())
            }
        };
        Self {
            plan,
            cycle,
            monthly: with_plan(BillingCycle::Monthly, beside_monthly),
            yearly: with_plan(BillingCycle::Yearly, beside_yearly),
            beside,
            beside_monthly,
            beside_yearly,
        }
    }
}

/// The sums of these modules' list prices, for a month and for a year. A module without a price adds
/// nothing.
pub(super) fn list_prices<'a>(
    modules: impl Iterator<Item = &'a ModuleCode>,
    offers: &Offers,
) -> [Money; 2] {
    let sold: Vec<_> = modules.filter_map(|code| offers.module(code.as_str())).collect();
    [
        sold.iter().filter_map(|offer| offer.price_monthly).sum(),
        sold.iter().filter_map(|offer| offer.price_yearly).sum(),
    ]
}
