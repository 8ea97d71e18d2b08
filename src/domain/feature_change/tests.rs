use chrono::DateTime;

use super::*;
use crate::domain::{Definitions, FlagName, LimitKind, ModuleCode, Plan, PlanFeature, PlanTerms};

/// One feature of `finance`, and what `starter` says of it.
fn catalogue(
    value_type: ValueType,
    default: Option<Setting>,
    says: Option<PlanFeature>,
) -> Catalogue {
    let module = Module::of_code(ModuleCode::new("finance"));
    let defined = FeatureDefinition {
        key: "rows".into(),
        name: String::new(),
        description: String::new(),
        value_type,
        is_on_by_default: true,
        default_value: default,
    };
    let mut terms = PlanTerms::of_columns([("users", Some(5))]);
    let name = FlagName::new(&FlagName::text("finance", "rows"));
    terms.features.extend(says.map(|says| (name, says)));
    let definitions =
        Definitions::new([(module.code.clone(), defined)], [], [("starter".into(), terms)]);
    let plan = Plan { slug: "starter".into(), is_active: true, modules: [].into() };
    Catalogue::new(vec![module], vec![plan], 0, DateTime::UNIX_EPOCH).with_definitions(definitions)
}

fn name() -> FeatureName {
    FeatureName { module: "finance".into(), key: "rows".into() }
}

fn upsert() -> FeatureUpsert {
    FeatureUpsert {
        name: name(),
        title: None,
        description: None,
        value_type: None,
        is_on_by_default: None,
        default_value: None,
    }
}

fn says(value: Option<Setting>) -> PlanFeature {
    PlanFeature { is_on: true, value }
}

fn kinds(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(Violation::kind).collect()
}

#[test]
fn another_type_is_refused_by_every_value_that_is_stored_and_another_name_is_not() {
    let number = Some(Setting::Int64(7));
    let stored = catalogue(ValueType::Int64, number.clone(), Some(says(number)));
    let text = FeatureUpsert { value_type: Some(ValueType::String), ..upsert() };
    let refused = text.apply(&stored, &[]).unwrap_err();
    assert_eq!(kinds(&refused), ["VALUE_TYPE", "VALUE_TYPE"]);
    assert!(refused[0].to_string().contains("the default"), "{}", refused[0]);
    assert!(refused[1].to_string().contains("the plan 'starter'"), "{}", refused[1]);

    // What somebody has written by hand is no reason to refuse a name.
    let wrong = catalogue(ValueType::Bool, Some(Setting::Int64(7)), None);
    let named = FeatureUpsert { title: Some("Rows".into()), ..upsert() };
    assert_eq!(named.apply(&wrong, &[]).unwrap().after.defined.name, "Rows");
    let other = FeatureUpsert { default_value: Some(Some(Setting::Int64(8))), ..upsert() };
    assert_eq!(kinds(&other.apply(&wrong, &[]).unwrap_err()), ["VALUE_TYPE"]);
    let none = FeatureUpsert { default_value: Some(None), ..upsert() };
    assert_eq!(none.apply(&wrong, &[]).unwrap().after.defined.default_value, None);
}

#[test]
fn everything_that_is_wrong_with_what_a_plan_is_to_say_is_named() {
    let known = catalogue(ValueType::Int64, None, None);
    let edit = |plan: &str, value: Setting, tenants| PlanFeatureEdit {
        plan: plan.into(),
        name: name(),
        says: Some(says(Some(value))),
        tenants,
    };
    let refused = edit("nope", Setting::Bool(true), None).apply(&known, 0).unwrap_err();
    assert_eq!(kinds(&refused), ["UNKNOWN_PLAN", "VALUE_TYPE"]);
    let refused = edit("starter", Setting::Bool(true), None).apply(&known, 3).unwrap_err();
    assert_eq!(kinds(&refused), ["VALUE_TYPE", "PLAN_HAS_TENANTS"]);

    let limit =
        |limit| PlanLimitEdit { plan: "starter".into(), key: "users".into(), limit, tenants: None };
    let refused = limit(Some(-1)).apply(&known, 3).unwrap_err();
    assert_eq!(kinds(&refused), ["NEGATIVE_LIMIT", "PLAN_HAS_TENANTS"]);
    let refused = limit(Some(1 << 40)).apply(&known, 0).unwrap_err();
    assert_eq!(kinds(&refused), ["LIMIT_TOO_LARGE"]);
    // What is as it was concerns nobody.
    assert_eq!(limit(Some(5)).apply(&known, 3).unwrap().tenants, None);
}

#[test]
fn a_limit_that_is_new_says_what_it_counts_and_those_of_plans_are_what_they_are() {
    let catalogue = catalogue(ValueType::Json, None, None);
    let limit = |key: &str, kind| LimitUpsert { key: key.into(), title: None, unit: None, kind };
    let refused = limit("warehouses", None).apply(&catalogue).unwrap_err();
    assert_eq!(kinds(&refused), ["NO_KIND"]);
    let refused = limit("users", Some(LimitKind::Level)).apply(&catalogue).unwrap_err();
    assert_eq!(kinds(&refused), ["BUILT_IN_LIMIT"]);
    let made = limit("warehouses", Some(LimitKind::Level)).apply(&catalogue).unwrap();
    assert_eq!(made.after.plans.get("starter"), Some(&None));
}
