use std::collections::HashSet;

use chrono::TimeDelta;

use super::*;
use crate::domain::{Module, ModuleOffer, Money, Plan, PlanOffer};

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_795_435_200, 0).unwrap();

fn code(code: &str) -> ModuleCode {
    ModuleCode::new(code)
}

fn codes(codes: &[&str]) -> Vec<ModuleCode> {
    codes.iter().map(|text| code(text)).collect()
}

fn offer(name: &str, dependencies: &[&str]) -> ModuleOffer {
    ModuleOffer {
        module: Module {
            name: name.into(),
            is_base_module: name == "base",
            is_active: name != "retired",
            ..Module::of_code(code(name))
        },
        description: String::new(),
        dependencies: codes(dependencies),
        price_monthly: Money::parse("10.01"),
        price_yearly: Money::parse("100.03"),
    }
}

fn plan(slug: &str, modules: &[&str]) -> PlanOffer {
    PlanOffer {
        plan: Plan {
            slug: slug.into(),
            is_active: slug != "old",
            modules: HashSet::from_iter(codes(modules)),
        },
        name: slug.into(),
        price: None,
        billing_cycle: "monthly".into(),
        max_users: None,
        max_transactions_monthly: None,
    }
}

/// `c` needs `b`, which needs `a`.
fn offers() -> Offers {
    Offers {
        modules: vec![
            offer("base", &[]),
            offer("a", &[]),
            offer("b", &["a"]),
            offer("c", &["b"]),
            offer("d", &[]),
            offer("retired", &[]),
        ],
        plans: vec![
            plan("small", &["base", "a"]),
            plan("large", &["base", "a", "b", "d"]),
            plan("old", &["a"]),
        ],
    }
}

fn tenant(modules: &[&str]) -> Entitlements {
    let nobody = Entitlements { status: "active".into(), plan: None, subscriptions: Vec::new() };
    let enabling = Enabling { modules: codes(modules), ..Enabling::default() };
    Mutation::Enable(enabling).apply(&nobody, &offers(), NOW - TimeDelta::days(40)).unwrap()
}

fn enable(modules: &[&str]) -> Enabling {
    Enabling { modules: codes(modules), ..Enabling::default() }
}

fn disable(modules: &[&str]) -> Disabling {
    Disabling { modules: codes(modules), ..Disabling::default() }
}

fn applied(mutation: Mutation, before: &Entitlements) -> Entitlements {
    mutation.apply(before, &offers(), NOW).unwrap()
}

fn refused(mutation: Mutation, before: &Entitlements) -> Vec<String> {
    mutation.apply(before, &offers(), NOW).unwrap_err().iter().map(Violation::to_string).collect()
}

fn held(entitlements: &Entitlements) -> Vec<String> {
    entitlements.summary(&offers(), NOW).modules.keys().map(ModuleCode::to_string).collect()
}

#[test]
fn enabling_needs_dependencies_or_takes_them_along_however_deep() {
    let nothing = tenant(&[]);
    assert_eq!(
        refused(Mutation::Enable(enable(&["c", "nope", "retired"])), &nothing),
        [
            "The module 'c' requires 'b', which is not enabled.",
            "There is no module 'nope'.",
            "The module 'retired' is no longer sold.",
        ]
    );
    let along = Enabling { include_dependencies: true, ..enable(&["c"]) };
    assert_eq!(held(&applied(Mutation::Enable(along), &nothing)), ["a", "b", "c"]);
    // The order of the modules in a request does not matter.
    assert_eq!(
        held(&applied(Mutation::Enable(enable(&["c", "a", "b"])), &nothing)),
        ["a", "b", "c"]
    );
}

#[test]
fn disabling_refuses_while_others_depend_on_it_or_takes_them_along() {
    let all = tenant(&["base", "a", "b", "c", "d"]);
    assert_eq!(
        refused(Mutation::Disable(disable(&["a", "base", "nope"])), &all),
        [
            "The module 'base' is part of every account and cannot be disabled.",
            "There is no module 'nope'.",
            "The module 'a' is required by 'b', which is enabled.",
        ]
    );
    let along = Disabling { include_dependents: true, ..disable(&["a"]) };
    assert_eq!(held(&applied(Mutation::Disable(along), &all)), ["base", "d"]);
    assert_eq!(held(&applied(Mutation::Disable(disable(&["b", "c"])), &all)), ["a", "base", "d"]);
}

#[test]
fn a_cancelled_row_is_taken_up_again() {
    let before = tenant(&["a"]);
    let off = applied(Mutation::Disable(disable(&["a"])), &before);
    assert_eq!((off.subscriptions.len(), off.subscriptions[0].status.as_str()), (1, "cancelled"));
    assert_eq!(off.subscriptions[0].expires_at, Some(NOW));
    let on = applied(Mutation::Enable(enable(&["a"])), &off);
    assert_eq!((on.subscriptions.len(), held(&on)), (1, vec!["a".to_owned()]));
    assert_eq!((on.subscriptions[0].starts_at, on.subscriptions[0].expires_at), (Some(NOW), None));
    // What the tenant has stays as it is, including the agreed price.
    let mut agreed = on.clone();
    agreed.subscriptions[0].price_paid = Money::parse("1");
    assert_eq!(applied(Mutation::Enable(enable(&["a"])), &agreed), agreed);
    // A module that the tenant does not have need not be disabled.
    assert_eq!(applied(Mutation::Disable(disable(&["a", "b"])), &off), off);
}

#[test]
fn the_end_of_a_period_is_that_of_the_last_and_enabling_takes_it_back() {
    let before = tenant(&["a", "b"]);
    let ending = applied(
        Mutation::Disable(Disabling { ends: Ends::PeriodEnd, ..disable(&["a", "b"]) }),
        &before,
    );
    let end = (NOW - TimeDelta::days(40)).checked_add_months(chrono::Months::new(2)).unwrap();
    assert!(ending.subscriptions.iter().all(|row| row.expires_at == Some(end) && !row.auto_renew));
    assert_eq!(held(&ending), ["a", "b"]);
    let back = applied(Mutation::Enable(enable(&["a", "b"])), &ending);
    assert_eq!(back, before);
    // A dependent that ends no later is not a violation.
    let dependent_ends =
        applied(Mutation::Disable(Disabling { ends: Ends::PeriodEnd, ..disable(&["b"]) }), &before);
    let both_end = applied(
        Mutation::Disable(Disabling { ends: Ends::PeriodEnd, ..disable(&["a"]) }),
        &dependent_ends,
    );
    assert_eq!(both_end, ending);
    assert_eq!(refused(Mutation::Disable(disable(&["a"])), &dependent_ends).len(), 1);
}

#[test]
fn another_plan_brings_its_modules_and_takes_those_of_the_one_before() {
    let change = |slug: &str| PlanChange {
        plan: slug.into(),
        billing_cycle: Some(BillingCycle::Yearly),
        include_dependents: false,
        ends: Ends::Now,
    };
    let small = applied(Mutation::ChangePlan(change("small")), &tenant(&[]));
    assert_eq!(
        (held(&small), small.plan.as_deref()),
        (vec!["a".into(), "base".into()], Some("small"))
    );
    assert!(small.subscriptions.iter().all(|row| row.price_paid == Money::parse("100.03")));
    let large = applied(Mutation::ChangePlan(change("large")), &small);
    assert_eq!(held(&large), ["a", "b", "base", "d"]);
    assert!(large.subscriptions.iter().all(|row| row.plan.as_deref() == Some("large")));
    let extra = applied(Mutation::Enable(enable(&["c"])), &large);
    assert_eq!(
        refused(Mutation::ChangePlan(change("small")), &extra),
        ["The module 'b' is required by 'c', which is enabled."]
    );
    let along = PlanChange { include_dependents: true, ..change("small") };
    assert_eq!(held(&applied(Mutation::ChangePlan(along), &extra)), ["a", "base"]);
    assert_eq!(
        refused(Mutation::ChangePlan(change("old")), &small),
        ["The plan 'old' is no longer sold."]
    );
    assert_eq!(refused(Mutation::ChangePlan(change("nope")), &small), ["There is no plan 'nope'."]);
}

#[test]
fn prices_are_added_to_the_hundredth() {
    let summary = tenant(&["a", "b", "d"]).summary(&offers(), NOW);
    assert_eq!(
        (summary.price_monthly.to_string(), summary.price_yearly.to_string()),
        ("30.03".into(), "300.09".into())
    );
}

#[test]
fn a_plan_costs_its_own_price_and_what_stands_beside_it_its_list_price() {
    let price = Money::parse;
    let mut offers = offers();
    let small = offers.plans.iter_mut().find(|offer| offer.plan.slug == "small").unwrap();
    small.price = price("25.00");
    let of_plan: Vec<String> = small.plan.modules.iter().map(ToString::to_string).collect();
    let held: Vec<&str> = of_plan.iter().map(String::as_str).chain(["d"]).collect();
    assert!(!of_plan.contains(&"d".to_owned()));
    let on_plan = Entitlements { plan: Some("small".into()), ..tenant(&held) };
    let cost = on_plan.summary(&offers, NOW).cost.unwrap();
    assert_eq!((cost.plan, cost.beside), (price("25.00"), codes(&["d"])));
    assert_eq!((Some(cost.beside_monthly), cost.monthly), (price("10.01"), price("35.01")));
    assert_eq!(cost.yearly, None, "the plan has no price for a year");

    let alone = Entitlements { plan: None, ..on_plan };
    let cost = alone.summary(&offers, NOW).cost.unwrap();
    let summary = alone.summary(&offers, NOW);
    assert_eq!((cost.plan, cost.monthly), (None, Some(summary.price_monthly)));
    assert_eq!(cost.yearly, Some(summary.price_yearly));
}

#[test]
fn a_row_beside_another_does_not_outlast_what_was_agreed_upon() {
    let mut twice = tenant(&["a"]);
    twice.subscriptions.push(twice.subscriptions[0].clone());
    let end = NOW + TimeDelta::days(1);
    let ending =
        applied(Mutation::Enable(Enabling { expires_at: Some(end), ..enable(&["a"]) }), &twice);
    assert_eq!(ending.summary(&offers(), NOW).modules.values().next().unwrap().ends_at, Some(end));
}

#[test]
fn a_status_becomes_another_only_as_the_table_says() {
    use super::SettableStatus::{Active, Cancelled, Suspended};
    let table: [(&str, &[SettableStatus]); 7] = [
        ("active", &[Active, Suspended, Cancelled]),
        (" Pending", &[Active, Suspended, Cancelled]),
        ("trial", &[Active, Suspended, Cancelled]),
        ("suspended", &[Active, Suspended, Cancelled]),
        ("cancelled", &[Active, Cancelled]),
        ("pending_setup", &[Cancelled]),
        ("failed", &[Cancelled]),
    ];
    for (from, allowed) in table {
        let before = Entitlements { status: from.into(), ..tenant(&[]) };
        for to in [Active, Suspended, Cancelled] {
            let after = Mutation::SetStatus(to).apply(&before, &offers(), NOW);
            assert_eq!(after.is_ok(), allowed.contains(&to), "{from} to {to:?}");
        }
    }
    let suspended = Entitlements { status: "suspended".into(), ..tenant(&[]) };
    assert_eq!(refused(Mutation::Enable(enable(&["a"])), &suspended).len(), 1);
    assert_eq!(applied(Mutation::Disable(disable(&["a"])), &suspended), suspended);
}

#[test]
fn an_end_lies_in_the_future() {
    let late = Enabling { expires_at: Some(NOW), trial_ends_at: Some(NOW), ..enable(&["a"]) };
    assert_eq!(
        refused(Mutation::Enable(late), &tenant(&[])),
        ["expires_at must lie in the future.", "trial_ends_at must lie in the future."]
    );
}
