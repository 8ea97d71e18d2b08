//! Properties of features and limits, over flags, plans, definitions and overrides that proptest
//! makes up.

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::domain::{
    Catalogue, Definitions, Facts, FeatureDefinition, FeatureReason, FlagName, FlagRow, Flags,
    KeptAt, KeptFeature, KeptLimit, KeptTerms, LimitDefinition, LimitKind, LimitOverride,
    LimitReason, LimitSource, Module, ModuleCode, OwnTerms, Plan, PlanFeature, PlanTerms, Setting,
    Subscription, SubscriptionStatus, Tenant, TenantStatus, ValueType, Wanted, check_feature,
    check_limit, features_of, limits_of,
    usage_limit::{limit_of, next_end_of_override},
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::harness::{NOW, instant};

const KEYS: [&str; 3] = ["a", "b", "c"];
const LIMITS: [&str; 4] = ["projects", "transactions_monthly", "unknown", "users"];

fn setting() -> impl Strategy<Value = Option<Setting>> {
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|value| Some(Setting::Bool(value))),
        (0i64..3).prop_map(|value| Some(Setting::Int64(value))),
        Just(Some(Setting::String("text".into()))),
        Just(Some(Setting::Json("[1]".into()))),
        Just(Some(Setting::Unreadable)),
    ]
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYS[..])
}

fn flag() -> impl Strategy<Value = FlagRow> {
    (key(), any::<bool>(), setting(), -2i64..3, any::<u8>()).prop_map(
        |(key, is_on, value, updated_at, id)| FlagRow {
            name: FlagName::new(&FlagName::text("finance", key)),
            is_on,
            value,
            updated_at,
            id: Uuid::from_u128(id.into()),
        },
    )
}

/// Rows have ids of their own, which are in no order.
fn flags() -> impl Strategy<Value = Vec<FlagRow>> {
    proptest::collection::vec(flag(), 0..6).prop_map(|mut rows| {
        for (row, place) in rows.iter_mut().zip(0u128..) {
            row.id = Uuid::from_u128(row.id.as_u128() << 8 | place);
        }
        rows
    })
}

fn defined() -> impl Strategy<Value = FeatureDefinition> {
    (prop::sample::select(&ValueType::ALL[..]), any::<bool>(), setting()).prop_map(
        |(value_type, is_on_by_default, default_value)| FeatureDefinition {
            key: "".into(),
            name: String::new(),
            description: String::new(),
            value_type,
            is_on_by_default,
            default_value,
        },
    )
}

fn overrides() -> impl Strategy<Value = Vec<LimitOverride>> {
    let one = |key: &'static str| {
        let terms = (proptest::option::of(0i64..9), proptest::option::of(-6i64..=6));
        proptest::option::of(terms.prop_map(move |(value, ends)| LimitOverride {
            key: key.into(),
            value,
            ends_at: ends.map(instant),
        }))
    };
    LIMITS.map(one).prop_map(|all| all.into_iter().flatten().collect())
}

/// What one case is about.
#[derive(Clone, Debug)]
struct Case {
    rows: Vec<FlagRow>,
    defined: Vec<Option<FeatureDefinition>>,
    planned: Vec<Option<PlanFeature>>,
    overrides: Vec<LimitOverride>,
    /// What is kept about each feature; `Some(None)`: that the plan said nothing.
    kept: Vec<Option<Option<PlanFeature>>>,
    /// What is kept about users; `Some(None)`: that they were unlimited.
    kept_users: Option<Option<i64>>,
    max_users: Option<i64>,
    has_plan: bool,
    expires: Option<i64>,
}

fn case() -> impl Strategy<Value = Case> {
    let planned =
        || (any::<bool>(), setting()).prop_map(|(is_on, value)| PlanFeature { is_on, value });
    let kept = proptest::option::of(proptest::option::of(planned()));
    (
        flags(),
        proptest::collection::vec(proptest::option::of(defined()), KEYS.len()),
        proptest::collection::vec(proptest::option::of(planned()), KEYS.len()),
        overrides(),
        proptest::collection::vec(kept, KEYS.len()),
        proptest::option::of(proptest::option::of(0i64..9)),
        proptest::option::of(-3i64..9),
        any::<bool>(),
        proptest::option::of(-6i64..=6),
    )
        .prop_map(
            |(
                rows,
                defined,
                planned,
                overrides,
                kept,
                kept_users,
                max_users,
                has_plan,
                expires,
            )| {
                Case {
                    rows,
                    defined,
                    planned,
                    overrides,
                    kept,
                    kept_users,
                    max_users,
                    has_plan,
                    expires,
                }
            },
        )
}

impl Case {
    fn facts(&self) -> Facts {
        let own = OwnTerms {
            flags: Flags::of(self.rows.clone()),
            overrides: self.overrides.clone().into(),
            kept: Some(Box::new(self.kept_terms())),
            ..OwnTerms::default()
        };
        let tenant = Tenant {
            id: Uuid::nil().into(),
            name: "name".into(),
            subdomain: "subdomain".into(),
            database_schema: "schema".into(),
            status: TenantStatus::Active,
            plan_slug: self.has_plan.then(|| "plan".into()),
            own: Some(Box::new(own)),
        };
        let row = Subscription {
            id: Uuid::nil(),
            module: ModuleCode::new("finance"),
            status: SubscriptionStatus::Active,
            starts_at: None,
            expires_at: self.expires.map(instant),
            is_trial: false,
            trial_ends_at: None,
        };
        Facts::new(tenant, vec![row], 0, NOW)
    }

    fn kept_terms(&self) -> KeptTerms {
        let feature = |(key, says): (&&str, &Option<Option<PlanFeature>>)| {
            let name = FlagName::new(&FlagName::text("finance", key));
            Some(KeptFeature { name, says: says.clone()?, kept_at: KeptAt::default() })
        };
        let users = self.kept_users.map(|value| KeptLimit {
            key: "users".into(),
            value,
            kept_at: KeptAt::default(),
        });
        let features = KEYS.iter().zip(&self.kept).filter_map(feature).rev().collect();
        KeptTerms::new(features, Vec::from_iter(users))
    }

    fn catalogue(&self) -> Catalogue {
        let module = Module {
            code: ModuleCode::new("finance"),
            name: "finance".into(),
            category: String::new(),
            display_order: 0,
            is_base_module: false,
            is_active: true,
            sections: vec![],
            frontend_routes: vec![],
            api_endpoints: Vec::new(),
        };
        let keyed = |(key, defined): (&&str, &Option<FeatureDefinition>)| {
            let defined = FeatureDefinition { key: (*key).into(), ..defined.clone()? };
            Some((ModuleCode::new("finance"), defined))
        };
        let mut terms = PlanTerms::of_columns([("users", self.max_users)]);
        for (key, planned) in KEYS.iter().zip(&self.planned) {
            let name = FlagName::new(&FlagName::text("finance", key));
            terms.features.extend(planned.clone().map(|planned| (name, planned)));
        }
        terms.limits.insert("projects".into(), 4);
        let projects = LimitDefinition {
            key: "projects".into(),
            name: String::new(),
            unit: String::new(),
            kind: LimitKind::Level,
        };
        let definitions = Definitions::new(
            KEYS.iter().zip(&self.defined).filter_map(keyed),
            [projects],
            [("plan".into(), terms)],
        );
        let plan = Plan {
            slug: "plan".into(),
            is_active: true,
            modules: [ModuleCode::new("finance")].into(),
        };
        Catalogue::new(vec![module], vec![plan], 0, NOW).with_definitions(definitions)
    }

    /// The rules as the design has them, one after the other and in no hurry.
    fn oracle(&self, place: usize, at: DateTime<Utc>) -> (bool, FeatureReason, Option<Setting>) {
        if self.expires.is_some_and(|end| instant(end) <= at) {
            return (false, FeatureReason::ModuleDenied, None);
        }
        let mut rows: Vec<_> =
            self.rows.iter().filter(|row| row.name.parts().1 == KEYS[place]).collect();
        rows.sort_by_key(|row| (row.is_on, row.updated_at, row.id));
        let (flag, defined) = (rows.last(), self.defined[place].as_ref());
        let planned = match &self.kept[place] {
            Some(kept) => kept.as_ref(),
            None => self.planned[place].as_ref(),
        };
        let planned = planned.filter(|_| self.has_plan && defined.is_some());
        let (is_on, reason) = if let Some(flag) = flag {
            (flag.is_on, FeatureReason::Tenant)
        } else if let Some(planned) = planned {
            (planned.is_on, FeatureReason::Plan)
        } else if let Some(defined) = defined {
            (defined.is_on_by_default, FeatureReason::Default)
        } else {
            return (false, FeatureReason::NotFound, None);
        };
        if !is_on {
            return (false, reason, None);
        }
        let values = [
            flag.and_then(|flag| flag.value.clone()),
            planned.and_then(|planned| planned.value.clone()),
            defined.and_then(|defined| defined.default_value.clone()),
        ];
        let value = values.into_iter().flatten().next();
        let is_right = match (&value, defined.map(|defined| defined.value_type)) {
            (Some(Setting::Unreadable), _) => false,
            (None, _) | (_, None | Some(ValueType::Json)) => true,
            (Some(Setting::Bool(_)), Some(kind)) => kind == ValueType::Bool,
            (Some(Setting::Int64(_)), Some(kind)) => kind == ValueType::Int64,
            (Some(Setting::String(_)), Some(kind)) => kind == ValueType::String,
            (Some(Setting::Json(_)), Some(_)) => false,
        };
        if is_right { (true, reason, value) } else { (false, FeatureReason::ValueUnreadable, None) }
    }
}

proptest! {
    #[test]
    fn a_setting_is_written_as_json_that_says_the_same(text in ".{0,20}|[\"\\\\\n\t\u{1}a]{0,9}", number in any::<i64>()) {
        let read = |setting: Setting| serde_json::from_str::<serde_json::Value>(&setting.json()).unwrap();
        prop_assert_eq!(read(Setting::String(text.as_str().into())), text);
        prop_assert_eq!(read(Setting::Int64(number)), number);
        prop_assert_eq!(read(Setting::Bool(number > 0)), number > 0);
    }

    #[test]
    fn features_are_decided_as_the_rules_say(case in case(), at in -8i64..=8) {
        let (facts, catalogue) = (case.facts(), case.catalogue());
        for (place, key) in KEYS.iter().enumerate() {
            let decided = check_feature(Some(&facts), &catalogue, "finance", key, instant(at));
            let found = (decided.state.is_on, decided.state.reason, decided.state.value.cloned());
            prop_assert_eq!(found, case.oracle(place, instant(at)), "{}", key);
            prop_assert_eq!(decided.message("finance", key).is_empty(), decided.state.is_on);
        }
    }

    #[test]
    fn the_list_has_exactly_the_features_that_check_finds(case in case()) {
        let case = Case { expires: None, ..case };
        let (facts, catalogue) = (case.facts(), case.catalogue());
        let listed = features_of(&facts, &catalogue, "finance");
        let checked: Vec<_> = KEYS
            .iter()
            .map(|key| (*key, check_feature(Some(&facts), &catalogue, "finance", key, NOW).state))
            .filter(|(_, state)| state.reason != FeatureReason::NotFound)
            .collect();
        prop_assert_eq!(listed, checked);
    }

    #[test]
    fn time_changes_a_feature_at_the_end_of_its_module_and_at_no_other_instant(case in case(), at in -8i64..=8) {
        let (facts, catalogue) = (case.facts(), case.catalogue());
        for key in KEYS {
            let decide = |at| check_feature(Some(&facts), &catalogue, "finance", key, at);
            let now = decide(instant(at));
            let change = (at + 1..=9).map(instant).find(|later| decide(*later).state != now.state);
            prop_assert_eq!(now.module.valid_until, change);
        }
    }

    #[test]
    fn a_limit_is_the_overrides_while_it_lasts_and_else_the_plans(
        case in case(), at in -8i64..=8, observed in 0i64..12, amount in 0i64..12,
    ) {
        let (facts, catalogue) = (case.facts(), case.catalogue());
        let wanted = Wanted { observed, amount };
        for key in LIMITS {
            let decide = |at| check_limit(Some(&facts), &catalogue, key, wanted, at);
            let now = decide(instant(at));
            let own = case.overrides.iter().find(|own| &*own.key == key);
            let holds = own.filter(|own| own.ends_at.is_none_or(|end| instant(at) < end));
            let plans = match (case.has_plan, key) {
                (true, "users") => {
                    case.kept_users.unwrap_or(case.max_users.map(|limit| limit.max(0)))
                }
                (true, "projects") => Some(4),
                _ => None,
            };
            let limit = holds.map_or(plans, |own| own.value);
            let reason = match limit {
                _ if own.is_none() && key == "unknown" => LimitReason::NotFound,
                None if holds.is_none() && !case.has_plan => LimitReason::NoPlan,
                None => LimitReason::Unlimited,
                Some(limit) if observed > limit => LimitReason::OverLimit,
                Some(limit) if observed + amount > limit => LimitReason::Exceeded,
                Some(_) => LimitReason::Within,
            };
            prop_assert_eq!(now.reason, reason, "{}", key);
            prop_assert_eq!(now.message(key).is_empty(), reason.allows());
            let Some(in_force) = &now.in_force else { continue };
            prop_assert_eq!(in_force.limit, limit);
            prop_assert_eq!(in_force.source == LimitSource::Override, holds.is_some());
            let source = |at| decide(at).in_force.map(|limit| limit.source);
            let change = (at + 1..=9).map(instant).find(|later| source(*later) != Some(in_force.source));
            prop_assert_eq!(in_force.valid_until, change);
            if let Some(change) = change {
                prop_assert_eq!(&decide(change - TimeDelta::nanoseconds(1)).in_force, &now.in_force);
            }
        }
    }

    #[test]
    fn the_list_has_exactly_the_limits_that_check_finds_and_changes_with_the_first(case in case(), at in -8i64..=8) {
        let (facts, catalogue, at) = (case.facts(), case.catalogue(), instant(at));
        let listed = limits_of(&facts, &catalogue, at);
        let checked: Vec<_> = LIMITS.iter().filter_map(|key| limit_of(&facts, &catalogue, key, at)).collect();
        prop_assert_eq!(&listed, &checked);
        let first = listed.iter().filter_map(|limit| limit.valid_until).min();
        prop_assert_eq!(next_end_of_override(&facts, at), first);
    }
}

/// Everything that is held of a tenant's flags, as far as it is not shared with other tenants'.
#[test]
fn two_hundred_flags_take_less_than_two_and_a_half_kilobytes() {
    let rows = (0..200).map(|number| FlagRow {
        name: FlagName::new(&FlagName::text("finance", &format!("feature_{number}"))),
        is_on: number % 2 == 0,
        value: (number % 20 == 0).then_some(Setting::Int64(number)),
        updated_at: 0,
        id: Uuid::nil(),
    });
    let flags = Flags::of(rows.collect());
    assert_eq!(flags.keys_of("finance").count(), 200);
    assert!(flags.bytes() + size_of::<OwnTerms>() <= 2_560, "{}", flags.bytes());
}
