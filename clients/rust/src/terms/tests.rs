//! `tests/vectors/features.json`, on a list as it came over the wire.

use std::path::Path;

use chrono::DateTime;
use prost_types::{ListValue, Struct, Timestamp, Value as WireValue, value::Kind};
use serde_json::json;

use super::*;
use crate::{
    clock::date,
    convert,
    limit::Wanted,
    pool::Pools,
    proto::v1::{self as wire, EnabledModule, Freshness, ListEnabledModulesResponse},
};

fn micros(value: &Value) -> Option<Micros> {
    value.as_str().map(|text| DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
}

fn timestamp(value: &Value) -> Option<Timestamp> {
    micros(value).map(|at| Timestamp { seconds: at / 1_000_000, nanos: 0 })
}

fn written(instant: Micros) -> Value {
    date(instant).map_or(Value::Null, |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string().into())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn each<'a>(value: &'a Value, part: &str) -> impl Iterator<Item = &'a Value> {
    value[part].as_array().into_iter().flatten()
}

fn on_wire(value: &Value) -> WireValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.iter().map(on_wire).collect() })
        }
        Value::Object(fields) => Kind::StructValue(Struct {
            fields: fields.iter().map(|(name, value)| (name.clone(), on_wire(value))).collect(),
        }),
    };
    WireValue { kind: Some(kind) }
}

fn listed(list: &Value, pools: &Pools) -> List {
    let feature = |it: &Value| wire::Feature {
        key: text(&it["key"]),
        enabled: it["enabled"] == true,
        reason: wire::FeatureReason::from_str_name(&format!(
            "FEATURE_REASON_{}",
            text(&it["reason"])
        ))
        .unwrap()
        .into(),
        value: (!it["value"].is_null()).then(|| on_wire(&it["value"])),
    };
    let module = |it: &Value| EnabledModule {
        code: text(&it["code"]),
        starts_at: timestamp(&it["starts_at"]),
        valid_until: timestamp(&it["valid_until"]),
        features: each(it, "features").map(feature).collect(),
        ..EnabledModule::default()
    };
    let limit = |it: &Value| wire::Limit {
        key: text(&it["key"]),
        limit: it["limit"].as_i64(),
        source: wire::LimitSource::from_str_name(&format!("LIMIT_SOURCE_{}", text(&it["source"])))
            .unwrap()
            .into(),
        kind: wire::LimitKind::from_str_name(&format!("LIMIT_KIND_{}", text(&it["kind"])))
            .unwrap()
            .into(),
        no_plan: it["no_plan"] == true,
        valid_until: timestamp(&it["valid_until"]),
    };
    let enforced = format!("LIMIT_ENFORCEMENT_{}", text(&list["limit_enforcement"]));
    let status = format!("TENANT_STATUS_{}", text(&list["tenant_status"]));
    let response = ListEnabledModulesResponse {
        modules: each(list, "modules").map(module).collect(),
        limits: each(list, "limits").map(limit).collect(),
        limit_enforcement: wire::LimitEnforcement::from_str_name(&enforced).unwrap().into(),
        tenant_status: wire::TenantStatus::from_str_name(&status).unwrap().into(),
        freshness: Some(Freshness {
            valid_until: timestamp(&list["valid_until"]),
            ..Freshness::default()
        }),
    };
    convert::listed(response, pools).list
}

/// Each case, with the list that it is about.
fn all() -> Vec<(Value, List)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/features.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let pools = Pools::default();
    let list = |case: &Value| match &case["list"] {
        Value::Null => convert::absent(),
        list => listed(list, &pools),
    };
    each(&vectors, "cases").map(|case| (case.clone(), list(case))).collect()
}

fn word(it: impl std::fmt::Debug) -> String {
    format!("{it:?}").to_uppercase()
}

#[test]
fn a_list_says_of_features_what_the_vectors_say_and_where_it_does_not_it_is_silent() {
    let mut asked = 0;
    for (case, list) in all() {
        for question in each(&case, "features") {
            let (module, key) = (text(&question["module"]), text(&question["key"]));
            let answer = list.feature(&module, &key, micros(&question["at"]).unwrap());
            let from_list = question["from_list"] == true;
            assert_eq!(answer.is_some(), from_list, "{}: {question}", case["name"]);
            let Some(answer) = answer else { continue };
            let said = json!({
                "module": module, "key": key, "at": question["at"], "from_list": from_list,
                "enabled": answer.enabled(), "reason": answer.reason().as_str(), "value": answer.value(),
                "message": answer.message(), "module_reason": answer.module_reason().as_str(),
                "valid_until": written(answer.valid_until),
            });
            assert_eq!(&said, question, "{}", case["name"]);
            asked += 1;
        }
    }
    assert!(asked > 150, "only {asked} answers");
}

#[test]
fn a_list_decides_about_limits_as_the_vectors_say_and_where_it_cannot_it_is_silent() {
    let mut asked = 0;
    for (case, list) in all() {
        for question in each(&case, "limits") {
            let (key, at) = (text(&question["key"]), micros(&question["at"]).unwrap());
            let number = |part: &str| question[part].as_i64().unwrap();
            let wanted = Wanted { observed: number("observed"), amount: number("amount") };
            let from_list = question["from_list"] == true;
            let answer = list.limit(&key, at);
            assert_eq!(answer.is_some(), from_list, "{}: {question}", case["name"]);
            let Some(answer) = answer else { continue };
            let decision = answer.clone().decide(&key, wanted);
            let in_force = decision.in_force();
            let tenant = Some(in_force.tenant_reason()).filter(|it| *it != Reason::Unspecified);
            let kind = Some(in_force.kind()).filter(|kind| *kind != LimitKind::Unspecified);
            let said = json!({
                "key": key, "observed": wanted.observed, "amount": wanted.amount, "at": question["at"],
                "from_list": from_list, "allowed": decision.allowed(), "reason": decision.reason().as_str(),
                "message": decision.message(), "limit": decision.limit(), "used": decision.used(),
                "remaining": decision.remaining(), "source": word(in_force.source()), "kind": kind.map(word),
                "tenant_reason": tenant.map(Reason::as_str), "valid_until": written(in_force.valid_until),
            });
            assert_eq!(&said, question, "{}", case["name"]);
            let nothing = answer.clone().decide(&key, Wanted { observed: 0, amount: 0 });
            assert_eq!(answer.reason(), nothing.reason(), "{}", case["name"]);
            asked += 1;
        }
    }
    assert!(asked > 300, "only {asked} answers");
}

#[test]
fn tenants_that_have_the_same_share_it() {
    let pools = Pools::default();
    let (case, _) = all().swap_remove(1);
    let [one, other] = [(); 2].map(|()| listed(&case["list"], &pools).terms.unwrap());
    assert!(Arc::ptr_eq(&one, &other));
}
