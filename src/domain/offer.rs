//! What the catalogue says about a module or plan to those who sell it.

use super::{
    BillingCycle, Module, ModuleCode, Money, Plan,
    usage_limit::{TRANSACTIONS_MONTHLY, USERS},
};

/// A module as it is sold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ModuleOffer {
    /// What every answer contains of it.
    pub module: Module,
    /// Its description, to be shown; may be empty.
    pub description: String,
    /// The modules that it depends on, in the catalogue's order.
    pub dependencies: Vec<ModuleCode>,
    /// Its price for a month; `None`: the catalogue does not say.
    pub price_monthly: Option<Money>,
    /// Its price for a year, which is independent of the monthly price.
    pub price_yearly: Option<Money>,
}

impl ModuleOffer {
    /// Its price for a billing cycle.
    pub fn price(&self, cycle: BillingCycle) -> Option<Money> {
        match cycle {
            BillingCycle::Monthly => self.price_monthly,
            BillingCycle::Yearly => self.price_yearly,
        }
    }
}

/// A plan as it is sold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanOffer {
    /// What every answer contains of it.
    pub plan: Plan,
    /// Its name, to be shown.
    pub name: String,
    /// Its price for a billing cycle; `None`: the catalogue does not say.
    pub price: Option<Money>,
    /// Its billing cycle: `monthly`, `yearly`; may be empty.
    pub billing_cycle: String,
    /// The number of users that it includes; `None`: unlimited.
    pub max_users: Option<i32>,
    /// The number of transactions a month that it includes; `None`: unlimited.
    pub max_transactions_monthly: Option<i32>,
}

impl PlanOffer {
    /// The limits that are columns of it, by key; `None`: unlimited.
    pub fn limits(&self) -> [(&'static str, Option<i32>); 2] {
        [(USERS, self.max_users), (TRANSACTIONS_MONTHLY, self.max_transactions_monthly)]
    }
}

/// All modules and plans as they are sold, read at one time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Offers {
    /// The modules, in the order of the menu.
    pub modules: Vec<ModuleOffer>,
    /// The plans, in the order in which they are shown.
    pub plans: Vec<PlanOffer>,
}

impl Offers {
    /// The module with this code.
    pub fn module(&self, code: &str) -> Option<&ModuleOffer> {
        self.modules.iter().find(|offer| offer.module.code.as_str() == code)
    }

    /// The plan with this slug.
    pub fn plan(&self, slug: &str) -> Option<&PlanOffer> {
        self.plans.iter().find(|offer| offer.plan.slug == slug)
    }

    /// These modules, each after those of them that it depends on. In a cycle, one module comes
    /// first.
    pub fn dependencies_first<'a>(
        &'a self,
        codes: impl IntoIterator<Item = &'a ModuleCode>,
    ) -> Vec<&'a ModuleCode> {
        let among: Vec<&ModuleCode> = codes.into_iter().collect();
        let (mut begun, mut sorted) = (Vec::new(), Vec::new());
        for code in &among {
            self.visit(code, &among, &mut begun, &mut sorted);
        }
        sorted
    }

    fn visit<'a>(
        &'a self,
        code: &'a ModuleCode,
        among: &[&'a ModuleCode],
        begun: &mut Vec<&'a ModuleCode>,
        sorted: &mut Vec<&'a ModuleCode>,
    ) {
        if begun.contains(&code) || !among.contains(&code) {
            return;
        }
        begun.push(code);
        for dependency in self.module(code.as_str()).map_or(&[][..], |offer| &offer.dependencies) {
            self.visit(dependency, among, begun, sorted);
        }
        sorted.push(code);
    }
}
