//! The conformance vectors: what the decision says is what they say, and so what the callers'
//! libraries say.

use std::path::Path;

use chrono::{DateTime, Utc};
use entitlementd::domain::{
    Catalogue, Facts, Module, ModuleCode, Subscription, SubscriptionStatus, Tenant, TenantStatus,
    check,
    enabled::{enabled_modules, next_change},
};
use serde::Deserialize;
use uuid::Uuid;

type Instant = Option<DateTime<Utc>>;

#[derive(Deserialize)]
struct Vectors {
    catalogue: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    tenant: Option<TenantRow>,
    subscriptions: Vec<SubscriptionRow>,
    listed_at: DateTime<Utc>,
    list: Option<List>,
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct TenantRow {
    status: Option<String>,
}

#[derive(Deserialize)]
struct SubscriptionRow {
    id: Uuid,
    module: String,
    status: Option<String>,
    starts_at: Instant,
    expires_at: Instant,
    is_trial: Option<bool>,
    trial_ends_at: Instant,
}

#[derive(Debug, Deserialize, PartialEq)]
struct List {
    valid_until: Instant,
    modules: Vec<Listed>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Listed {
    code: String,
    is_trial: bool,
    starts_at: Instant,
    expires_at: Instant,
    trial_ends_at: Instant,
    valid_until: Instant,
}

#[derive(Deserialize)]
struct Question {
    module: String,
    at: DateTime<Utc>,
    allowed: bool,
    reason: String,
    message: String,
    valid_until: Instant,
}

fn all() -> Vec<Vectors> {
    ["named", "generated"]
        .map(|name| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/vectors")
                .join(name)
                .with_extension("json");
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        })
        .into()
}

fn catalogue(codes: &[String]) -> Catalogue {
    let module = |(place, code): (usize, &String)| Module {
        code: ModuleCode::new(code),
        name: code.clone(),
        category: String::new(),
        display_order: place as i32 + 1,
        is_base_module: false,
        is_active: true,
        sections: vec![],
        frontend_routes: vec![],
        api_endpoints: Vec::new(),
    };
    Catalogue::new(codes.iter().enumerate().map(module).collect(), vec![], 0, DateTime::UNIX_EPOCH)
}

fn facts(case: &Case) -> Option<Facts> {
    let tenant = Tenant {
        id: Uuid::nil().into(),
        name: "".into(),
        subdomain: "".into(),
        database_schema: "".into(),
        status: TenantStatus::of(case.tenant.as_ref()?.status.as_deref().unwrap_or_default()),
        plan_slug: None,
        own: None,
    };
    let row = |row: &SubscriptionRow| Subscription {
        id: row.id,
        module: ModuleCode::new(&row.module),
        status: SubscriptionStatus::of(row.status.as_deref().unwrap_or_default()),
        starts_at: row.starts_at,
        expires_at: row.expires_at,
        is_trial: row.is_trial.unwrap_or_default(),
        trial_ends_at: row.trial_ends_at,
    };
    Some(Facts::new(tenant, case.subscriptions.iter().map(row).collect(), 0, DateTime::UNIX_EPOCH))
}

/// `SUBSCRIPTION_EXPIRED` for `SubscriptionExpired`.
fn word(reason: impl std::fmt::Debug) -> String {
    let name = format!("{reason:?}");
    let mut word = String::new();
    for (place, letter) in name.char_indices() {
        if place > 0 && letter.is_uppercase() {
            word.push('_');
        }
        word.extend(letter.to_uppercase());
    }
    word
}

#[test]
fn the_decision_is_that_of_the_vectors() {
    let mut asked = 0;
    for Vectors { catalogue: codes, cases } in all() {
        let catalogue = catalogue(&codes);
        for case in cases {
            let facts = facts(&case);
            for Question { module, at, allowed, reason, message, valid_until } in &case.questions {
                let decision = check(facts.as_ref(), &catalogue, module, *at);
                let said =
                    (decision.allowed(), word(decision.reason), decision.reason.message(module));
                assert_eq!(
                    said,
                    (*allowed, reason.clone(), message.clone()),
                    "{}: {module} at {at}",
                    case.name
                );
                assert_eq!(decision.valid_until, *valid_until, "{}: {module} at {at}", case.name);
                asked += 1;
            }
        }
    }
    assert!(asked > 500, "only {asked} questions");
}

#[test]
fn the_list_is_that_of_the_vectors() {
    for Vectors { catalogue: codes, cases } in all() {
        let catalogue = catalogue(&codes);
        for case in cases {
            let facts = facts(&case);
            let list = facts.as_ref().map(|facts| List {
                valid_until: next_change(facts, case.listed_at),
                modules: enabled_modules(facts, &catalogue, case.listed_at, true)
                    .into_iter()
                    .map(|listed| Listed {
                        code: listed.row.module.as_str().to_owned(),
                        is_trial: listed.row.is_trial,
                        starts_at: listed.row.starts_at,
                        expires_at: listed.row.expires_at,
                        trial_ends_at: listed.row.trial_ends_at,
                        valid_until: listed.valid_until,
                    })
                    .collect(),
            });
            assert_eq!(list, case.list, "{}", case.name);
        }
    }
}
