//! `tests/vectors/outages.json`, on the double: what a client answers, step by step.

use std::{path::Path, time::Duration};

use chrono::TimeDelta;
use entitlement_client::{
    Credentials, Entitlements, Error, OnOutage, Tenant, TenantStatus, testing::Double,
};
use serde_json::Value;

use super::tenant;

/// A case, step by step.
struct Story {
    double: Double,
    client: Entitlements,
}

impl Story {
    fn new(rule: &Value) -> Self {
        let rule = match rule {
            Value::String(word) if word == "deny" => OnOutage::Deny,
            Value::String(word) if word == "allow" => OnOutage::Allow,
            rule => {
                OnOutage::ServeStale(Duration::from_secs(rule["serve_stale"].as_u64().unwrap()))
            }
        };
        let double = Double::new();
        let client = double.client(rule);
        Self { double, client }
    }

    async fn take(&self, step: &Value) {
        let asked = self.double.questions();
        let until = step["for"].as_i64().map(|span| self.double.now() + TimeDelta::seconds(span));
        let step_of = |name: &str| step.get(name);
        if let Some(pair) = step_of("allow") {
            match until {
                Some(end) => self.double.allow_until(number(&pair[0]), text(&pair[1]), end),
                None => self.double.allow(number(&pair[0]), text(&pair[1])),
            }
        } else if let Some(pair) = step_of("token") {
            let id = number(&pair[1]);
            self.double.tenant(named_after(id, TenantStatus::Active));
            self.double.token_until(text(&pair[0]), id, until.unwrap());
        } else if let Some(id) = step_of("suspend") {
            self.double.tenant(named_after(number(id), TenantStatus::Suspended));
        } else if let Some(span) = step_of("advance") {
            self.double.advance(Duration::from_secs(span.as_u64().unwrap()));
        } else if step_of("go_dark").is_some() {
            self.double.go_dark();
        } else if step_of("come_back").is_some() {
            self.double.come_back();
        } else if let Some(carried) = step_of("resolve") {
            assert_eq!(self.resolved(carried).await, text(&step["is"]), "{step}");
        } else {
            let pair = &step["check"];
            let client = self.client.at_least(step["at_least"].as_u64().unwrap_or_default());
            let answer = client.check(number(&pair[0]), text(&pair[1])).await.unwrap();
            assert_eq!(answer.is_stale(), answer.by_outage_rule());
            let word = if answer.allowed() { "granted" } else { "denied" };
            let by = if answer.by_outage_rule() { " by the rule" } else { "" };
            assert_eq!(format!("{word}{by}"), text(&step["is"]), "{step}");
        }
        if let Some(asks) = step["asks"].as_bool() {
            assert_eq!(self.double.questions() > asked, asks, "{step}");
        }
    }

    async fn resolved(&self, carried: &Value) -> &'static str {
        let id = carried.get("tenant").map(|id| number(id).to_string()).unwrap_or_default();
        let named = Credentials {
            tenant_id: &id,
            host: carried["host"].as_str().unwrap_or_default(),
            bearer_token: carried["token"].as_str().unwrap_or_default(),
        };
        match self.client.resolve(named).await {
            Ok(resolved) => {
                assert_eq!(resolved.stale, resolved.by_outage_rule);
                if resolved.stale { "stale" } else { "fresh" }
            }
            Err(Error::Unavailable(_)) => "unavailable",
            Err(_) => "refused",
        }
    }
}

fn number(value: &Value) -> uuid::Uuid {
    tenant(value.as_u64().unwrap().try_into().unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn named_after(id: uuid::Uuid, status: TenantStatus) -> Tenant {
    Tenant {
        id,
        name: id.to_string(),
        subdomain: String::new(),
        database_schema: String::new(),
        status,
        plan_slug: String::new(),
    }
}

#[tokio::test]
async fn outages_go_as_the_vectors_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/outages.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        println!("{}", case["name"]);
        let story = Story::new(&case["rule"]);
        for step in case["steps"].as_array().unwrap() {
            story.take(step).await;
        }
    }
}
