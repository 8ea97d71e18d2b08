//! Changes of the catalogue, as pure functions: from the current offers to the future ones.

use super::{
    BillingCycle, ExistingTenants, Module, ModuleCode, ModuleOffer, Money, Offers, Plan, PlanOffer,
    Violation, feature_change::fate,
};

/// The desired state of a module. `None` leaves a field unchanged; a new module starts empty, and
/// on sale.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ModuleUpsert {
    /// Its current code.
    pub code: String,
    /// Its new code.
    pub new_code: Option<ModuleCode>,
    /// Its name, to be shown.
    pub name: Option<String>,
    /// Its description, to be shown.
    pub description: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// Its position in a menu.
    pub display_order: Option<i32>,
    /// Is it part of every account?
    pub is_base_module: Option<bool>,
    /// Is it on sale?
    pub on_sale: Option<bool>,
    /// The modules that it depends on.
    pub dependencies: Option<Vec<ModuleCode>>,
    /// Its price for a month.
    pub price_monthly: Option<Money>,
    /// Its price for a year.
    pub price_yearly: Option<Money>,
    /// The numbers of its menu sections.
    pub sections: Option<Vec<i32>>,
    /// Its routes in the front end.
    pub frontend_routes: Option<Vec<String>>,
}

/// The desired state of a plan. `None` leaves a field unchanged; a new plan starts empty, and on
/// sale.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PlanUpsert {
    /// The slug that identifies it.
    pub slug: String,
    /// Its name, to be shown.
    pub name: Option<String>,
    /// Is it on sale?
    pub on_sale: Option<bool>,
    /// Its price for a billing cycle.
    pub price: Option<Money>,
    /// Its billing cycle.
    pub billing_cycle: Option<BillingCycle>,
    /// The codes of its modules.
    pub modules: Option<Vec<ModuleCode>>,
    /// The number of users that it includes; 0: unlimited.
    pub max_users: Option<i32>,
    /// The number of transactions a month that it includes; 0: unlimited.
    pub max_transactions_monthly: Option<i32>,
    /// What becomes of its tenants where one of these limits is changed; `None`: that is not said.
    pub existing_tenants: Option<ExistingTenants>,
}

impl ModuleUpsert {
    /// The module before the change, if it existed, and after it. `aliases` are former codes of
    /// modules.
    pub fn apply(
        &self,
        offers: &Offers,
        aliases: &[ModuleCode],
    ) -> Result<(Option<ModuleOffer>, ModuleOffer), Vec<Violation>> {
        let before = offers.module(&self.code).cloned();
        let mut violations = Vec::new();
        if before.is_none() && self.name.is_none() {
            violations.push(Violation::NoName(self.code.clone()));
        }
        let mut after = before.clone().unwrap_or_else(|| new_module(&self.code));
        self.set(&mut after);
        let is_other_code =
            before.as_ref().is_none_or(|before| before.module.code != after.module.code);
        let code = after.module.code.clone();
        if is_other_code && (offers.module(code.as_str()).is_some() || aliases.contains(&code)) {
            violations.push(Violation::CodeTaken(code));
        }
        violations.extend(
            offers.with_module(&self.code, after.clone()).violations_about(&after.module.code),
        );
        if violations.is_empty() { Ok((before, after)) } else { Err(violations) }
    }

    fn set(&self, offer: &mut ModuleOffer) {
        let ModuleOffer { module, description, dependencies, price_monthly, price_yearly } = offer;
        set(&mut module.code, self.new_code.as_ref());
        set(&mut module.name, self.name.as_ref());
        set(&mut module.category, self.category.as_ref());
        set(&mut module.display_order, self.display_order.as_ref());
        set(&mut module.is_base_module, self.is_base_module.as_ref());
        set(&mut module.is_active, self.on_sale.as_ref());
        set(&mut module.sections, self.sections.as_ref());
        set(&mut module.frontend_routes, self.frontend_routes.as_ref());
        set(description, self.description.as_ref());
        set(dependencies, self.dependencies.as_ref());
        *price_monthly = self.price_monthly.or(*price_monthly);
        *price_yearly = self.price_yearly.or(*price_yearly);
    }
}

fn set<T: Clone>(value: &mut T, wanted: Option<&T>) {
    if let Some(wanted) = wanted {
        value.clone_from(wanted);
    }
}

fn set_limit(limit: &mut Option<i32>, wanted: Option<i32>) {
    if let Some(wanted) = wanted {
        *limit = (wanted > 0).then_some(wanted);
    }
}

fn new_module(code: &str) -> ModuleOffer {
    ModuleOffer {
        module: Module::of_code(ModuleCode::new(code)),
        description: String::new(),
        dependencies: Vec::new(),
        price_monthly: None,
        price_yearly: None,
    }
}

impl PlanUpsert {
    /// The plan before the change, if it existed, and after it. It has so many tenants.
    pub fn apply(
        &self,
        offers: &Offers,
        tenants: u64,
    ) -> Result<(Option<PlanOffer>, PlanOffer), Vec<Violation>> {
        let before = offers.plan(&self.slug).cloned();
        let mut violations = Vec::new();
        if before.is_none() && self.name.is_none() {
            violations.push(Violation::NoName(self.slug.clone()));
        }
        let mut after = before.clone().unwrap_or_else(|| PlanOffer {
            plan: Plan { slug: self.slug.clone(), is_active: true, modules: [].into() },
            name: String::new(),
            price: None,
            billing_cycle: BillingCycle::Monthly.word().to_owned(),
            max_users: None,
            max_transactions_monthly: None,
        });
        set(&mut after.name, self.name.as_ref());
        set(&mut after.plan.is_active, self.on_sale.as_ref());
        let modules = self.modules.as_ref().map(|modules| modules.iter().cloned().collect());
        set(&mut after.plan.modules, modules.as_ref());
        let cycle = self.billing_cycle.map(|cycle| cycle.word().to_owned());
        set(&mut after.billing_cycle, cycle.as_ref());
        set_limit(&mut after.max_users, self.max_users);
        set_limit(&mut after.max_transactions_monthly, self.max_transactions_monthly);
        after.price = self.price.or(after.price);
        if before.as_ref().is_some_and(|before| before.limits() != after.limits()) {
            fate(self.existing_tenants, &self.slug, tenants, &mut violations);
        }
        let mut codes: Vec<&ModuleCode> = after.plan.modules.iter().collect();
        codes.sort_unstable();
        let unknown = codes.iter().filter(|code| offers.module(code.as_str()).is_none());
        violations.extend(unknown.map(|code| Violation::UnknownModule((*code).clone())));
        for code in codes {
            violations.extend(offers.broken_plan(&after, code));
        }
        if violations.is_empty() { Ok((before, after)) } else { Err(violations) }
    }
}

impl Offers {
    /// These offers with `after` in place of the module that had the code, or in addition to all
    /// others. References to the old code become references to the new one.
    fn with_module(&self, code: &str, after: ModuleOffer) -> Self {
        let mut offers = self.clone();
        let (old, new) = (ModuleCode::new(code), after.module.code.clone());
        offers.modules.retain(|offer| offer.module.code != old);
        offers.modules.push(after);
        for offer in &mut offers.modules {
            offer
                .dependencies
                .iter_mut()
                .filter(|dependency| **dependency == old)
                .for_each(|one| *one = new.clone());
        }
        for plan in &mut offers.plans {
            if plan.plan.modules.remove(&old) {
                plan.plan.modules.insert(new.clone());
            }
        }
        offers
    }

    /// What is wrong with a module, and with what refers to it.
    fn violations_about(&self, code: &ModuleCode) -> Vec<Violation> {
        let Some(offer) = self.module(code.as_str()) else { return Vec::new() };
        let mut violations = Vec::new();
        for dependency in &offer.dependencies {
            match self.module(dependency.as_str()) {
                None => violations.push(Violation::UnknownModule(dependency.clone())),
                Some(needed) if offer.module.is_active && !needed.module.is_active => {
                    violations.push(Violation::RetiredModule(dependency.clone()));
                }
                Some(_) => {}
            }
        }
        violations.extend(self.circle(code).map(|way| Violation::Circle(code.clone(), way)));
        if !offer.module.is_active {
            let needs_it =
                |other: &&ModuleOffer| other.module.is_active && other.dependencies.contains(code);
            violations.extend(self.modules.iter().filter(needs_it).map(|other| {
                Violation::RequiredOnSale {
                    module: code.clone(),
                    dependent: other.module.code.clone(),
                }
            }));
        }
        let with_it = self.plans.iter().filter(|plan| plan.plan.modules.contains(code));
        violations.extend(with_it.flat_map(|plan| self.broken_plan(plan, code)));
        violations
    }

    /// What makes a plan on sale unsellable because of one of its modules.
    fn broken_plan(&self, plan: &PlanOffer, code: &ModuleCode) -> Vec<Violation> {
        let Some(offer) = self.module(code.as_str()).filter(|_| plan.plan.is_active) else {
            return Vec::new();
        };
        let broken = |problem: String| Violation::BrokenPlan {
            plan: plan.plan.slug.clone(),
            module: code.clone(),
            problem,
        };
        let mut violations = Vec::new();
        if !offer.module.is_active {
            violations.push(broken("it is no longer sold".into()));
        }
        let missing =
            offer.dependencies.iter().filter(|dependency| !plan.plan.modules.contains(*dependency));
        violations.extend(
            missing.map(|dependency| {
                broken(format!("it requires '{dependency}', which the plan lacks"))
            }),
        );
        violations
    }

    /// The path from a module through its dependencies back to itself, if there is one.
    fn circle(&self, code: &ModuleCode) -> Option<String> {
        let mut ways = vec![vec![code]];
        let mut seen = Vec::new();
        while let Some(way) = ways.pop() {
            let last = way.last()?;
            for dependency in
                self.module(last.as_str()).map_or(&[][..], |offer| &offer.dependencies)
            {
                let further = [&way[..], &[dependency]].concat();
                if dependency == code {
                    return Some(
                        further.iter().map(ToString::to_string).collect::<Vec<_>>().join(" -> "),
                    );
                }
                if !seen.contains(&dependency) {
                    seen.push(dependency);
                    ways.push(further);
                }
            }
        }
        None
    }
}
