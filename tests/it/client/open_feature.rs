//! The provider for OpenFeature, asked by its own SDK.

use std::time::{Duration, Instant};

use entitlement_client::{
    Entitlements, OnOutage, OpenFeatureProvider, Reason,
    testing::{Double, ManualClock},
};
use open_feature::{
    Client, EvaluationContext, EvaluationDetails, EvaluationErrorCode, EvaluationReason,
    FlagMetadataValue, OpenFeature, StructValue, Value as Flag,
    provider::{FeatureProvider, ProviderStatus},
};
use serde_json::json;

use super::{PATIENCE, World, config, features::fill, tenant};
use crate::harness::{Database, NOW, postgres::free_port, proxy::Proxy};

const HOUR: Duration = Duration::from_secs(3_600);

/// The SDK, with a provider that asks this client.
async fn sdk(entitlements: &Entitlements) -> Client {
    let mut api = OpenFeature::default();
    api.set_provider(OpenFeatureProvider::new(entitlements)).await;
    api.create_client()
}

fn of(key: &str) -> EvaluationContext {
    EvaluationContext::default().with_targeting_key(key)
}

fn one() -> EvaluationContext {
    of(&tenant(1).to_string())
}

/// A double of the server, whose tenant 1 has finance, and the SDK.
async fn doubled(on_outage: OnOutage) -> (Double, Client) {
    let double = Double::new();
    double.allow(tenant(1), "finance");
    let client = sdk(&double.client(on_outage)).await;
    (double, client)
}

fn said<T>(details: &EvaluationDetails<T>, name: &str) -> String {
    match &details.flag_metadata.values[name] {
        FlagMetadataValue::String(text) => text.clone(),
        FlagMetadataValue::Bool(value) => value.to_string(),
        FlagMetadataValue::Int(number) => number.to_string(),
        FlagMetadataValue::Float(number) => number.to_string(),
    }
}

async fn asked(flags: &Client, flag: &str) -> EvaluationDetails<bool> {
    flags.get_bool_details(flag, Some(&one()), None).await.unwrap()
}

#[tokio::test]
async fn a_boolean_is_whether_the_feature_is_on_and_off_is_false_with_the_reason() {
    let (double, flags) = doubled(OnOutage::Deny).await;
    double.switch_on_with(tenant(1), "finance", "export", json!(false));
    double.switch_off(tenant(1), "finance", "beta");
    let on = asked(&flags, "finance/export").await;
    assert_eq!(
        (on.value, &on.reason),
        (true, &Some(EvaluationReason::TargetingMatch)),
        "on, whatever its value"
    );
    assert_eq!(
        (said(&on, "entitlement.reason"), said(&on, "stale")),
        ("TENANT".into(), "false".into())
    );
    assert_eq!((said(&on, "module.reason"), said(&on, "revision")), ("ENABLED".into(), "3".into()));
    let off = asked(&flags, "finance/beta").await;
    assert_eq!((off.value, off.reason), (false, Some(EvaluationReason::TargetingMatch)));
    for (flag, reason, module) in [
        ("finance/teleport", "NOT_FOUND", Reason::Enabled),
        ("hrms/payroll", "MODULE_DENIED", Reason::NotSubscribed),
    ] {
        let off = asked(&flags, flag).await;
        assert_eq!((off.value, &off.reason), (false, &Some(EvaluationReason::Default)), "{flag}");
        assert_eq!(
            (said(&off, "entitlement.reason"), said(&off, "module.reason")),
            (reason.into(), module.to_string())
        );
    }
}

#[tokio::test]
async fn other_types_are_what_the_feature_is_set_to_and_a_value_of_another_type_is_an_error() {
    let (double, flags) = doubled(OnOutage::Deny).await;
    let set = |key: &str, value| double.switch_on_with(tenant(1), "finance", key, value);
    set("int", json!(7));
    set("float", json!(1.5));
    set("text", json!("csv"));
    set("object", json!({"rows": 7, "of": ["a", true, 1.5], "none": null, "in": {"x": ""}}));
    set("list", json!([1]));
    set("holes", json!({"of": [null]}));
    double.switch_on(tenant(1), "finance", "bare");
    double.switch_off(tenant(1), "finance", "off");
    let of = one();
    let of = Some(&of);
    assert_eq!(flags.get_int_value("finance/int", of, None).await.unwrap(), 7);
    assert_eq!(flags.get_float_value("finance/int", of, None).await.unwrap(), 7.0);
    assert_eq!(flags.get_float_value("finance/float", of, None).await.unwrap(), 1.5);
    let text = flags.get_string_details("finance/text", of, None).await.unwrap();
    assert_eq!((text.value.as_str(), text.reason), ("csv", Some(EvaluationReason::TargetingMatch)));
    let object: StructValue = flags.get_struct_value("finance/object", of, None).await.unwrap();
    assert_eq!(object.fields["rows"], Flag::Int(7));
    assert_eq!(object.fields["of"], Flag::Array(vec!["a".into(), true.into(), 1.5.into()]));
    assert!(object.fields["in"].is_struct() && !object.fields.contains_key("none"));

    for flag in ["finance/float", "finance/text", "finance/object"] {
        let wrong = flags.get_int_value(flag, of, None).await.unwrap_err();
        assert_eq!(wrong.code, EvaluationErrorCode::TypeMismatch, "{flag}");
    }
    for flag in ["finance/int", "finance/list", "finance/holes"] {
        let wrong = flags.get_struct_value::<StructValue>(flag, of, None).await.unwrap_err();
        assert_eq!(wrong.code, EvaluationErrorCode::TypeMismatch, "{flag}");
    }
    for flag in ["finance/bare", "finance/off", "finance/teleport", "hrms/payroll"] {
        let none = flags.get_int_value(flag, of, None).await.unwrap_err();
        assert_eq!(none.code.to_string(), "NO_VALUE", "{flag}: the code's default");
        assert!(none.message.is_some_and(|message| !message.is_empty()));
    }
}

#[tokio::test]
async fn the_tenant_is_the_targeting_key_and_a_flag_is_named_after_module_and_feature() {
    let (double, flags) = doubled(OnOutage::Allow).await;
    double.switch_on(tenant(1), "finance", "a/b");
    assert!(asked(&flags, "finance/a/b").await.value, "the first slash ends the module");
    let code = async |flag: &str, context: &EvaluationContext| {
        flags.get_bool_value(flag, Some(context), None).await.unwrap_err().code
    };
    for none in [EvaluationContext::default(), of("")] {
        assert_eq!(code("finance/x", &none).await, EvaluationErrorCode::TargetingKeyMissing);
    }
    for odd in
        ["acme", "00000000000040008000000000000001", "{00000000-0000-4000-8000-000000000001}"]
    {
        assert_eq!(code("finance/x", &of(odd)).await, EvaluationErrorCode::InvalidContext, "{odd}");
    }
    for flag in ["finance", "/x", "finance/", ""] {
        assert_eq!(code(flag, &one()).await, EvaluationErrorCode::FlagNotFound, "{flag:?}");
    }
}

#[tokio::test]
async fn in_an_outage_answers_are_stale_by_the_clients_rule() {
    for (rule, known, unknown) in [
        (OnOutage::Deny, false, false),
        (OnOutage::Allow, true, true),
        (OnOutage::ServeStale(HOUR), true, false),
    ] {
        let (double, flags) = doubled(rule).await;
        double.switch_on_with(tenant(1), "finance", "rows", json!(7));
        assert!(asked(&flags, "finance/rows").await.value);
        double.go_dark();
        double.advance(Duration::from_secs(60));
        for (flag, value) in [("finance/rows", known), ("hrms/payroll", unknown)] {
            let answer = asked(&flags, flag).await;
            assert_eq!(
                (answer.value, said(&answer, "stale")),
                (value, "true".into()),
                "{rule:?} {flag}"
            );
            assert_eq!(answer.reason, Some(EvaluationReason::Other("STALE".into())));
        }
        let rows = flags.get_int_value("finance/rows", Some(&one()), None).await;
        assert_eq!(rows.ok(), matches!(rule, OnOutage::ServeStale(_)).then_some(7), "{rule:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_is_ready_while_changes_are_received_and_stale_while_they_are_not() {
    let database = Database::sqlite().await;
    fill(&database).await;
    let world = World::of(database, OnOutage::ServeStale(HOUR)).await;
    let mut provider = OpenFeatureProvider::new(&world.client);
    assert_eq!(provider.status(), ProviderStatus::NotReady);
    provider.initialize(&EvaluationContext::default()).await;
    let until = async |wanted: ProviderStatus| {
        let started = Instant::now();
        while provider.status() != wanted {
            assert!(started.elapsed() < PATIENCE, "still {:?}", provider.status());
            tokio::task::yield_now().await;
        }
    };
    until(ProviderStatus::Ready).await;
    let off = provider.resolve_bool_value("finance/multi_currency", &one()).await.unwrap();
    assert_eq!((off.value, off.reason), (false, Some(EvaluationReason::Default)));
    world.server.database.flag(1, "finance", "multi_currency", "true", "'{}'").await;
    let started = Instant::now();
    while !provider.resolve_bool_value("finance/multi_currency", &one()).await.unwrap().value {
        assert!(started.elapsed() < PATIENCE, "it is not flipped");
        tokio::task::yield_now().await;
    }
    world.lose_the_server().await;
    until(ProviderStatus::STALE).await;
    world.network.point_at(super::port(&world.server));
    until(ProviderStatus::Ready).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_the_provider_is_stale_and_setting_it_waits_no_longer_than_it_says() {
    let nobody = Proxy::to(free_port()).await;
    let config = config(&nobody, OnOutage::Deny).clock(ManualClock::at(NOW));
    let client = Entitlements::connect(config.clone()).unwrap();
    let mut provider = OpenFeatureProvider::new(&client);
    let started = Instant::now();
    provider.initialize(&EvaluationContext::default()).await;
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(provider.status(), ProviderStatus::STALE);
    let alone = Entitlements::connect(config.without_watch()).unwrap();
    let mut provider = OpenFeatureProvider::new(&alone);
    provider.initialize(&EvaluationContext::default()).await;
    assert_eq!(provider.status(), ProviderStatus::Ready, "it was not meant to");
}
