//! The conformance vectors of features and limits: what the server decides is what they say, and so
//! what the callers' libraries say.

use std::path::Path;

use chrono::{DateTime, Utc};
use entitlementd::domain::{
    Catalogue, Definitions, Facts, FeatureDefinition, FlagName, FlagRow, Flags, LimitDefinition,
    LimitInForce, LimitKind, LimitOverride, LimitSource, Module, ModuleCode, OwnTerms, Plan,
    PlanFeature, PlanTerms, Setting, Subscription, SubscriptionStatus, Tenant, TenantStatus,
    ValueType, Wanted, check_feature, check_limit,
    enabled::{enabled_modules, next_change},
    features_of, limits_of,
    usage_limit::next_end_of_override,
};
use serde_json::{Value, json};
use uuid::Uuid;

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().map(|text| text.parse().unwrap())
}

fn written(instant: Option<DateTime<Utc>>) -> Value {
    instant.map_or(Value::Null, |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string().into())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn each<'a>(value: &'a Value, part: &str) -> impl Iterator<Item = &'a Value> {
    value[part].as_array().into_iter().flatten()
}

fn setting(value: &Value) -> Option<Setting> {
    match value {
        Value::Null => None,
        Value::Bool(value) => Some(Setting::Bool(*value)),
        Value::String(text) => Some(Setting::String(text.as_str().into())),
        Value::Number(number) if number.is_i64() => number.as_i64().map(Setting::Int64),
        other => Some(Setting::Json(other.to_string().into())),
    }
}

fn json_of(setting: Option<&Setting>) -> Value {
    match setting {
        None => Value::Null,
        Some(Setting::Bool(value)) => (*value).into(),
        Some(Setting::Int64(value)) => (*value).into(),
        Some(Setting::String(text)) => (&**text).into(),
        Some(Setting::Json(text)) => serde_json::from_str(text).unwrap(),
        Some(Setting::Unreadable) => panic!("it cannot be read"),
    }
}

fn catalogue(vectors: &Value) -> Catalogue {
    let module = |(place, code): (usize, &Value)| Module {
        code: ModuleCode::new(text(code)),
        name: String::new(),
        category: String::new(),
        display_order: place as i32 + 1,
        is_base_module: false,
        is_active: true,
        sections: vec![],
        frontend_routes: vec![],
        api_endpoints: Vec::new(),
    };
    let feature = |it: &Value| {
        let defined = FeatureDefinition {
            key: text(&it["key"]).into(),
            name: String::new(),
            description: String::new(),
            value_type: ValueType::parse(text(&it["type"])).unwrap(),
            is_on_by_default: it["enabled"] == true,
            default_value: setting(&it["value"]),
        };
        (ModuleCode::new(text(&it["module"])), defined)
    };
    let limit = |(key, kind): (&String, &Value)| LimitDefinition {
        key: key.as_str().into(),
        name: String::new(),
        unit: String::new(),
        kind: LimitKind::parse(&text(kind).to_lowercase()).unwrap(),
    };
    let plans = vectors["plans"].as_object().unwrap();
    let plan = |slug: &String| Plan { slug: slug.clone(), is_active: true, modules: [].into() };
    let definitions = Definitions::new(
        each(vectors, "features").map(feature),
        vectors["limits"].as_object().unwrap().iter().map(limit),
        plans.iter().map(|(slug, plan)| (slug.as_str().into(), terms(plan))),
    );
    let modules = each(vectors, "modules").enumerate().map(module).collect();
    Catalogue::new(modules, plans.keys().map(plan).collect(), 0, DateTime::UNIX_EPOCH)
        .with_definitions(definitions)
}

fn terms(plan: &Value) -> PlanTerms {
    let feature = |it: &Value| {
        let name = FlagName::new(&FlagName::text(text(&it["module"]), text(&it["key"])));
        (name, PlanFeature { is_on: it["enabled"] == true, value: setting(&it["value"]) })
    };
    let limits = plan["limits"].as_object().unwrap().iter();
    PlanTerms {
        features: each(plan, "features").map(feature).collect(),
        limits: limits.map(|(key, limit)| (key.as_str().into(), limit.as_i64().unwrap())).collect(),
    }
}

fn facts(case: &Value) -> Option<Facts> {
    let tenant = case["tenant"].as_object()?;
    let flag = |row: &Value| FlagRow {
        name: FlagName::new(&FlagName::text(text(&row["module"]), text(&row["key"]))),
        is_on: row["enabled"] == true,
        value: setting(&row["value"]),
        updated_at: instant(&row["updated_at"]).unwrap().timestamp_micros(),
        id: text(&row["id"]).parse().unwrap(),
    };
    let own = |row: &Value| LimitOverride {
        key: text(&row["key"]).into(),
        value: row["value"].as_i64(),
        ends_at: instant(&row["ends_at"]),
    };
    let mut overrides: Vec<_> = each(&case["tenant"], "overrides").map(own).collect();
    overrides.sort_by(|one, other| one.key.cmp(&other.key));
    let flags = Flags::of(each(&case["tenant"], "flags").map(flag).collect());
    let tenant = Tenant {
        id: Uuid::nil().into(),
        name: "".into(),
        subdomain: "".into(),
        database_schema: "".into(),
        status: TenantStatus::of(text(&tenant["status"])),
        plan_slug: tenant["plan"].as_str().map(Into::into),
        own: Some(
            OwnTerms { flags, overrides: overrides.into(), kept: None, ..OwnTerms::default() }
                .into(),
        ),
    };
    let row = |row: &Value| Subscription {
        id: text(&row["id"]).parse().unwrap(),
        module: ModuleCode::new(text(&row["module"])),
        status: SubscriptionStatus::of(text(&row["status"])),
        starts_at: instant(&row["starts_at"]),
        expires_at: instant(&row["expires_at"]),
        is_trial: false,
        trial_ends_at: None,
    };
    Some(Facts::new(
        tenant,
        each(case, "subscriptions").map(row).collect(),
        0,
        DateTime::UNIX_EPOCH,
    ))
}

fn source(limit: Option<&LimitInForce>) -> &'static str {
    match limit.map_or(LimitSource::None, |limit| limit.source) {
        LimitSource::None => "NONE",
        LimitSource::Plan => "PLAN",
        LimitSource::Override => "OVERRIDE",
    }
}

fn listed(facts: &Facts, catalogue: &Catalogue, case: &Value) -> Value {
    let at = instant(&case["listed_at"]).unwrap();
    let modules = enabled_modules(facts, catalogue, at, true).into_iter().map(|module| {
        let code = module.row.module.as_str();
        let feature = |(key, state): (&str, entitlementd::domain::FeatureState<'_>)| {
            json!({"key": key, "enabled": state.is_on, "reason": state.reason.word(), "value": json_of(state.value)})
        };
        let features: Vec<_> = features_of(facts, catalogue, code).into_iter().map(feature).collect();
        json!({"code": code, "features": features})
    });
    let limits = limits_of(facts, catalogue, at).into_iter().map(|limit| {
        json!({
            "key": &*limit.key, "limit": limit.limit, "source": source(Some(&limit)), "kind": limit.kind.word().to_uppercase(),
            "no_plan": limit.has_no_plan, "valid_until": written(limit.valid_until),
        })
    });
    let is_served = facts.status().denial().is_none();
    let limits: Vec<_> = limits.filter(|_| is_served).collect();
    let ends = next_change(facts, at).into_iter().chain(next_end_of_override(facts, at)).min();
    json!({"modules": modules.collect::<Vec<_>>(), "limits": limits, "valid_until": written(ends)})
}

fn all() -> (Catalogue, Vec<Value>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/features.json");
    let mut vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let Value::Array(cases) = vectors["cases"].take() else { panic!("no cases") };
    (catalogue(&vectors["catalogue"]), cases)
}

#[test]
fn features_are_decided_as_the_vectors_say() {
    let ((catalogue, cases), mut asked) = (all(), 0);
    for case in cases {
        let facts = facts(&case);
        for question in each(&case, "features") {
            let (module, key) = (text(&question["module"]), text(&question["key"]));
            let at = instant(&question["at"]).unwrap();
            let decided = check_feature(facts.as_ref(), &catalogue, module, key, at);
            let said = json!({
                "module": module, "key": key, "at": question["at"], "from_list": question["from_list"],
                "enabled": decided.state.is_on, "reason": decided.state.reason.word(), "value": json_of(decided.state.value),
                "message": decided.message(module, key), "module_reason": decided.module.reason.word(),
                "valid_until": written(decided.module.valid_until),
            });
            assert_eq!(&said, question, "{}", case["name"]);
            asked += 1;
        }
    }
    assert!(asked > 300, "only {asked} questions");
}

#[test]
fn limits_are_decided_as_the_vectors_say() {
    let ((catalogue, cases), mut asked) = (all(), 0);
    for case in cases {
        let facts = facts(&case);
        for question in each(&case, "limits") {
            let number = |part: &str| question[part].as_i64().unwrap();
            let (key, wanted) = (
                text(&question["key"]),
                Wanted { observed: number("observed"), amount: number("amount") },
            );
            let at = instant(&question["at"]).unwrap();
            let decided = check_limit(facts.as_ref(), &catalogue, key, wanted, at);
            let holds = decided.in_force.as_ref();
            let is_denied = decided.tenant.is_some();
            let said = json!({
                "key": key, "observed": wanted.observed, "amount": wanted.amount, "at": question["at"],
                "from_list": question["from_list"], "used": wanted.observed,
                "allowed": decided.reason.allows() || case["enforcement"] != "ON" && !is_denied,
                "reason": decided.reason.word(), "message": decided.message(key),
                "limit": holds.and_then(|holds| holds.limit),
                "remaining": holds.and_then(|holds| holds.remaining(wanted.observed)),
                "source": source(holds), "kind": holds.map(|holds| holds.kind.word().to_uppercase()),
                "tenant_reason": decided.tenant.map(|reason| reason.word()),
                "valid_until": written(holds.and_then(|holds| holds.valid_until)),
            });
            assert_eq!(&said, question, "{}", case["name"]);
            asked += 1;
        }
    }
    assert!(asked > 300, "only {asked} questions");
}

#[test]
fn lists_have_the_features_and_limits_of_the_vectors() {
    let (catalogue, cases) = all();
    for case in cases {
        let list = &case["list"];
        let Some(facts) = facts(&case).filter(|_| list["limit_enforcement"] != "UNSPECIFIED")
        else {
            continue;
        };
        let module =
            |module: &Value| json!({"code": module["code"], "features": module["features"]});
        let expected = json!({
            "modules": each(list, "modules").map(module).collect::<Vec<_>>(), "limits": list["limits"],
            "valid_until": list["valid_until"],
        });
        assert_eq!(listed(&facts, &catalogue, &case), expected, "{}", case["name"]);
    }
}
