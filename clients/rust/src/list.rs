//! A tenant's list: what it may use, and when. It grants a module, and never denies one.

use std::{hash::Hasher, sync::Arc};

use rustc_hash::FxHasher;
use smallvec::SmallVec;

use crate::{
    Answer, EnabledModule, Module, Reason, TenantStatus,
    clock::{ALWAYS, Micros, NEVER, date},
    terms::Terms,
};

/// What the server says about an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) revision: u64,
    pub(crate) as_of: Micros,
    pub(crate) valid_until: Micros,
    pub(crate) max_age: Micros,
    pub(crate) stale: bool,
}

/// One module of a list.
#[derive(Clone, Debug)]
pub(crate) struct Right {
    pub(crate) module: Arc<Module>,
    pub(crate) starts_at: Micros,
    pub(crate) valid_until: Micros,
    pub(crate) expires_at: Micros,
    pub(crate) trial_ends_at: Micros,
    /// A hash of the code: the codes themselves are stored elsewhere.
    pub(crate) tag: u32,
    pub(crate) is_trial: bool,
}

/// The modules of a list. Up to twelve lie in the list itself: among a hundred thousand tenants
/// each additional memory access costs more than all the rest of a check.
pub(crate) type Rights = SmallVec<[Right; 12]>;

/// What a tenant may use.
#[derive(Clone, Debug)]
pub(crate) struct List {
    /// `None`: the tenant does not exist.
    pub(crate) rights: Option<Rights>,
    pub(crate) status: TenantStatus,
    pub(crate) told: Told,
    /// Its features and limits; `None`: the server is older than these. Beside the list, so that who
    /// asks for modules only does not pay for them.
    pub(crate) terms: Option<Arc<Terms>>,
}

impl List {
    /// The grant, if the list has one for this instant.
    pub(crate) fn grant(&self, module: &str, now: Micros) -> Option<Answer> {
        self.right(module, now).map(|right| Answer {
            allowed: true,
            reason: Reason::Enabled,
            stale: self.told.stale,
            by_outage_rule: false,
            revision: self.told.revision,
            as_of: self.told.as_of,
            valid_until: right.valid_until,
            words: None,
        })
    }

    /// The right to a module, if there is one at this instant.
    pub(crate) fn right(&self, module: &str, now: Micros) -> Option<&Right> {
        let wanted = tag(module);
        let is_it = |right: &&Right| right.tag == wanted && right.module.code == module;
        let right = self.rights.as_ref()?.iter().find(is_it)?;
        (right.starts_at <= now && now < right.valid_until).then_some(right)
    }

    /// What may be used at this instant, in the server's order.
    pub(crate) fn enabled(&self, now: Micros) -> Vec<EnabledModule> {
        let is_now = |right: &&Right| right.starts_at <= now && now < right.valid_until;
        self.rights
            .iter()
            .flat_map(|rights| rights.iter())
            .filter(is_now)
            .map(Right::shown)
            .collect()
    }
}

impl Right {
    fn shown(&self) -> EnabledModule {
        EnabledModule {
            module: Arc::clone(&self.module),
            is_trial: self.is_trial,
            starts_at: date(self.starts_at),
            expires_at: date(self.expires_at),
            trial_ends_at: date(self.trial_ends_at),
            valid_until: date(self.valid_until),
        }
    }
}

/// Two codes with equal tags cost one extra comparison.
pub(crate) fn tag(code: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(code.as_bytes());
    short(hasher.finish())
}

/// Half of a hash is one.
pub(crate) fn short(hash: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
    let short = hash as u32;
    short
}

/// An instant from the server; if absent, the beginning of time.
pub(crate) fn or_always(instant: Option<Micros>) -> Micros {
    instant.unwrap_or(ALWAYS)
}

/// An instant from the server; if absent, the end of time.
pub(crate) fn or_never(instant: Option<Micros>) -> Micros {
    instant.unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chrono::DateTime;
    use serde_json::Value;

    use super::*;

    fn instant(value: &Value) -> Option<Micros> {
        value.as_str().map(|text| DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
    }

    fn right(listed: &Value) -> Right {
        let code = listed["code"].as_str().unwrap().to_owned();
        Right {
            tag: tag(&code),
            module: Module {
                name: code.clone(),
                code,
                category: String::new(),
                display_order: 0,
                is_base_module: false,
                sections: Vec::new(),
                frontend_routes: Vec::new(),
            }
            .into(),
            starts_at: or_always(instant(&listed["starts_at"])),
            valid_until: or_never(instant(&listed["valid_until"])),
            expires_at: or_never(instant(&listed["expires_at"])),
            trial_ends_at: or_never(instant(&listed["trial_ends_at"])),
            is_trial: listed["is_trial"].as_bool().unwrap(),
        }
    }

    fn list(listed: &Value) -> List {
        let valid_until = or_never(instant(&listed["valid_until"]));
        let told = Told { revision: 0, as_of: 0, valid_until, max_age: 0, stale: false };
        let rights = listed["modules"].as_array().unwrap().iter().map(right).collect();
        List { rights: Some(rights), status: TenantStatus::Active, told, terms: None }
    }

    #[test]
    fn a_list_grants_when_the_vectors_say_so_and_never_else() {
        let mut asked = 0;
        for file in ["named", "generated"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../tests/vectors")
                .join(file)
                .with_extension("json");
            let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            for case in vectors["cases"].as_array().unwrap() {
                let held = if case["list"].is_null() { None } else { Some(list(&case["list"])) };
                for question in case["questions"].as_array().unwrap() {
                    let (module, at) =
                        (question["module"].as_str().unwrap(), instant(&question["at"]).unwrap());
                    let grant = held.as_ref().and_then(|list| list.grant(module, at));
                    let wanted = question["from_list"].as_bool().unwrap();
                    assert_eq!(
                        grant.is_some(),
                        wanted,
                        "{}: {module} at {}",
                        case["name"],
                        question["at"]
                    );
                    if let Some(grant) = grant {
                        assert_eq!(
                            grant.valid_until,
                            or_never(instant(&question["valid_until"])),
                            "{}",
                            case["name"]
                        );
                    }
                    asked += 1;
                }
            }
        }
        assert!(asked > 500, "only {asked} questions");
    }
}
