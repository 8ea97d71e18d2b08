//! `tests/vectors/leases.json`, on the verifier itself.

use std::{collections::HashMap, path::Path, sync::Arc};

use chrono::DateTime;
use serde_json::Value;

use super::{
    LeaseVerifier, SignedLease, Time, date,
    guard::{Guard, Now},
};
use crate::clock::{Clock, Micros};

const SECOND: Micros = 1_000_000;

/// A case, step by step.
struct Story {
    verifier: LeaseVerifier,
    leases: HashMap<String, SignedLease>,
    now: Now,
}

impl Story {
    fn new(case: &Value) -> Option<Self> {
        let now = Now { wall: seconds(&case["wall"]).unwrap(), monotonic: 0 };
        let mut verifier = LeaseVerifier::new(case["keys"].to_string().as_bytes()).ok()?;
        let mut guard = Guard::new(now, seconds(&case["skew"]).unwrap_or(60 * SECOND));
        if let Some(latest) = seconds(&case["latest"]) {
            guard = guard.with_latest(latest, 0);
        }
        verifier.clock = Arc::new(Time { clock: Clock::System, guard });
        if let Some(issuer) = case["issuer"].as_str() {
            verifier = verifier.issuer(issuer);
        }
        if let Some(audience) = case["audience"].as_str() {
            verifier = verifier.audience(audience);
        }
        Some(Self { verifier, leases: HashMap::new(), now })
    }

    fn take(&mut self, step: &Value) {
        self.now.wall = seconds(&step["wall"]).unwrap_or(self.now.wall);
        self.now.monotonic = seconds(&step["mono"]).unwrap_or(self.now.monotonic);
        let now = self.now;
        if let Some(token) = step["verify"].as_str() {
            let tenant = text(&step["tenant"]).parse().unwrap();
            let word = match self.verifier.verify_at(tenant, token, now) {
                Ok(lease) => {
                    self.leases.insert(text(&step["as"]).to_owned(), lease);
                    "GOOD"
                }
                Err(error) => error.as_str(),
            };
            assert_eq!(word, step["is"]);
        } else if let Some(module) = step["allows"].as_str() {
            let answer = self.leases[text(&step["by"])].check_at(module, now);
            assert_eq!(answer.reason.as_str(), step["is"]);
            assert_eq!(answer.allowed, step["is"] == "GRANTED");
        } else if let Some([module, key]) = step["feature"].as_array().map(Vec::as_slice) {
            let lease = &self.leases[text(&step["by"])];
            let said = lease.feature_at(text(module), text(key), now);
            assert_eq!(said.reason.as_str(), step["is"]);
            assert_eq!(said.enabled, step["is"] == "GRANTED");
            assert_eq!(said.value.unwrap_or_default(), step["value"]);
        } else if let Some(keys) = step.get("keys") {
            let is_taken = self.verifier.replace_keys(keys.to_string().as_bytes()).is_ok();
            assert_eq!(if is_taken { "TAKEN" } else { "REFUSED" }, step["is"]);
        } else if let Some(latest) = step.get("latest") {
            let told = self.verifier.clock.guard.latest(now);
            assert_eq!(
                told.and_then(date),
                seconds(latest).and_then(DateTime::from_timestamp_micros)
            );
        } else {
            panic!("an unknown step: {step}");
        }
    }
}

fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/leases.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn seconds(value: &Value) -> Option<Micros> {
    value.as_i64().map(|seconds| seconds * SECOND)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Changed in one letter, or cut off, a lease is none.
#[test]
fn no_letter_of_a_lease_can_be_changed() {
    let vectors = vectors();
    let (case, step) = (&vectors["cases"][0], &vectors["cases"][0]["steps"][0]);
    let (story, token) = (Story::new(case).unwrap(), text(&step["verify"]));
    let tenant = text(&step["tenant"]).parse().unwrap();
    let is_good = |token: &str| story.verifier.verify_at(tenant, token, story.now).is_ok();
    assert!(is_good(token));
    for place in 0..token.len() {
        assert!(!is_good(&token[..place]), "{place}");
        for other in ["A", "B", "_", ".", "=", "é", ""] {
            let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
            assert!(changed == token || !is_good(&changed), "{place} {other}");
        }
    }
}

#[test]
fn leases_are_judged_as_the_vectors_say() {
    let vectors = vectors();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 140, "{}", cases.len());
    for case in cases {
        let name = text(&case["name"]);
        let story = Story::new(case);
        assert_eq!(story.is_none(), case["refused"] == true, "{name}");
        let Some(mut story) = story else { continue };
        for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story.take(step)));
            assert!(taken.is_ok(), "{name}: step {number}");
        }
    }
}

#[test]
fn what_was_kept_counts_in_whichever_order_a_verifier_is_set_up() {
    let vectors = vectors();
    let (case, step) = (&vectors["cases"][0], &vectors["cases"][0]["steps"][0]);
    let keys = case["keys"].to_string();
    let [wall, kept] = [0, 2 * 86_400].map(|later| {
        let at = seconds(&case["wall"]).unwrap() + later * SECOND;
        DateTime::from_timestamp_micros(at).unwrap()
    });
    let new = || LeaseVerifier::new(keys.as_bytes()).unwrap();
    let clock = || crate::clock::ManualClock::at(wall);
    for verifier in [new().not_before(kept).clock(clock()), new().clock(clock()).not_before(kept)] {
        assert_eq!(verifier.latest(), Some(kept));
        let tenant = text(&step["tenant"]).parse().unwrap();
        let refused = verifier.verify(tenant, text(&step["verify"])).unwrap_err();
        assert_eq!(refused.as_str(), "CLOCK_SET_BACK");
    }
}
