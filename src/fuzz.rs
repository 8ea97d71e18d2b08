//! The entry points for fuzzing: every parser of untrusted input. Each takes any bytes, and panics
//! if an invariant is broken.
//!
//! `fuzz/` drives them with libFuzzer, and the tests replay its corpus and mutate it.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};

use crate::{
    domain::{BaseDomains, ModuleCode, TenantId},
    routes::{
        Access, MAX_OUTLINE_BYTES, Origin, PathReading, PathTemplate, RouteMap, Rule, outline,
        routers::ROUTERS,
    },
    security::{
        callers::Callers,
        hashes,
        token::{KeySet, TokenRules, Tokens},
    },
    service,
};

/// A target: its name, and the function that takes the bytes.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [FuzzTarget; 7] = [
    ("host", host),
    ("token", token),
    ("path", path),
    ("template", template),
    ("ids", ids),
    ("callers", callers),
    ("requests", service::fuzz_requests),
];

/// Runs the target with this name.
pub fn run(name: &str, bytes: &[u8]) {
    TARGETS.iter().filter(|(target, _)| *target == name).for_each(|(_, run)| run(bytes));
}

/// Arbitrary text: invalid UTF-8 is replaced, so that no input is wasted.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A label that is found is part of the host, directly before the base domain.
fn host(bytes: &[u8]) {
    static HOSTS: LazyLock<BaseDomains> =
        LazyLock::new(|| BaseDomains::new(&["erp.example".to_owned()], &[]).unwrap_or_default());
    let host = text(bytes);
    if let Some(label) = HOSTS.label_of(&host) {
        let lower = host.to_ascii_lowercase();
        assert!(
            lower.starts_with(&format!("{}.erp.example", label.as_str())),
            "{host:?} names {label:?}"
        );
    }
}

/// No key has signed it.
fn token(bytes: &[u8]) {
    static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
        let mut tokens = Tokens::new(TokenRules {
            tenant_claim: "tenant_id".to_owned(),
            ..TokenRules::default()
        });
        // A key that nobody knows: a matching signature cannot be found.
        let secret = hex::encode(hashes::hash("fuzzing"));
        _ = KeySet::of_secret(secret.as_bytes()).map(|keys| tokens.hold(keys));
        tokens
    });
    assert!(TOKENS.verify_held(&text(bytes), DateTime::<Utc>::UNIX_EPOCH).is_err());
}

/// A guarded path is never taken for a public one, however it is spelled.
fn path(bytes: &[u8]) {
    static MAPS: LazyLock<Vec<(PathReading, RouteMap)>> = LazyLock::new(|| {
        let rules = [
            ("/api/**", Access::Tenant),
            ("/public/**", Access::Public),
            ("/public/admin/**", Access::Tenant),
            ("/api/{id}/lines", Access::Tenant),
        ];
        let rules = rules.into_iter().enumerate().filter_map(|(number, (path, access))| {
            Some(Rule::new(PathTemplate::parse(path).ok()?, access, Origin::File(number)))
        });
        let rules: Vec<_> = rules.collect();
        let readings = [PathReading::Any, PathReading::Normalized, PathReading::Literal];
        readings.map(|reading| (reading, RouteMap::new(rules.clone(), reading).0)).into()
    });
    let path = text(bytes);
    assert!(outline(&path).len() <= MAX_OUTLINE_BYTES, "{path:?} has a long outline");
    for (reading, map) in &*MAPS {
        for target in [path.clone(), format!("/api/{path}")] {
            if let Ok(Some(rule)) = map.find("GET", &target) {
                let is_public = rule.access == Access::Public;
                assert!(!is_public || !target.starts_with("/api/"), "{target:?} is public");
                if is_public && *reading == PathReading::Any {
                    assert_eq!(arrives_guarded(&target), None, "{target:?} is public");
                }
            }
        }
    }
}

/// The router that maps the target to a guarded path, if there is one.
fn arrives_guarded(target: &str) -> Option<&'static str> {
    let path = target.split('?').next().unwrap_or_default();
    let brings =
        |read: String| ["/api/", "/public/admin/"].iter().any(|guarded| read.starts_with(guarded));
    ROUTERS.iter().find(|router| brings(router.read(path) + "/")).map(|router| router.name)
}

/// A template that is parsed and written parses to an equal one.
fn template(bytes: &[u8]) {
    if let Ok(template) = PathTemplate::parse(&text(bytes)) {
        let again = PathTemplate::parse(&template.to_string());
        assert!(again.is_ok_and(|again| again.to_string() == template.to_string()), "{template}");
    }
}

/// An id that is parsed and written is unchanged, except for the case of its letters.
fn ids(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(id) = TenantId::parse(&text) {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    if ModuleCode::validate(&text).is_ok() {
        assert!(
            (1..=50).contains(&text.chars().count()) && !text.chars().any(char::is_control),
            "{text:?}"
        );
    }
}

/// A file of callers is parsed or refused, and a refusal never reveals anything of a token.
fn callers(bytes: &[u8]) {
    _ = Callers::parse(&text(bytes), None);
}
