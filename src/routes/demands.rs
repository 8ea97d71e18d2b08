//! What the settings demand beside a module, the catalogue does not take away.

use std::collections::BTreeSet;

use super::{Access, FRESH, PathReading, PathTemplate, RouteMap, Rule};

/// Stands for every method that no rule of the settings names.
const OTHERS: &str = "\u{0}";

/// Lets the catalogue's rules ask for what the settings ask for about the same requests: a verified
/// tenant, and a feature of the same module. A rule of the catalogue may be the more specific one,
/// and can say neither. What the settings do not enforce is not asked for.
pub fn keep_demands(settings: &[Rule], catalogue: Vec<Rule>) -> Vec<Rule> {
    let demanding: Vec<&Rule> = settings.iter().filter(|rule| demands(rule)).collect();
    if demanding.is_empty() {
        return catalogue;
    }
    let (map, _) = RouteMap::new(settings.to_vec(), PathReading::Literal);
    let methods = settings.iter().flat_map(|rule| &rule.methods).map(String::as_str).collect();
    let deepest = settings.iter().map(|rule| rule.path.depth()).max().unwrap_or_default();
    let settings = Settings { demanding, map, methods, deepest };
    catalogue.iter().flat_map(|rule| settings.parts(rule)).collect()
}

struct Settings<'a> {
    demanding: Vec<&'a Rule>,
    map: RouteMap,
    /// Those that rules name.
    methods: BTreeSet<&'a str>,
    /// The number of segments of their longest path.
    deepest: usize,
}

fn demands(rule: &Rule) -> bool {
    let has_tenant = matches!(rule.access, Access::Tenant | Access::AnyOf(_));
    rule.enforce && has_tenant && (rule.verified || rule.feature.is_some())
}

impl Settings<'_> {
    /// The rules that take the place of one of the catalogue's: itself, and one for each part of it of
    /// which the settings demand something else.
    fn parts(&self, rule: &Rule) -> Vec<Rule> {
        let mut parts = self.by_method(rule, &rule.path);
        for other in &self.demanding {
            let Some(path) = rule.path.both(&other.path) else { continue };
            if !path.is_same_as(&rule.path) && !path.is_same_as(&other.path) {
                let asks_more = |part: &Rule| !part.demands_as(rule);
                parts.extend(self.by_method(rule, &path).into_iter().filter(asks_more));
            }
        }
        parts
    }

    /// The rules for these paths, one for each set of demands.
    fn by_method(&self, rule: &Rule, path: &PathTemplate) -> Vec<Rule> {
        let demanded = |method: &str, methods: Vec<String>| {
            let part = Rule { path: path.clone(), methods, ..rule.clone() };
            match self.met(method, path) {
                Some(met) => part.demanding(met),
                None => part,
            }
        };
        if !rule.methods.is_empty() {
            let part = |method: &String| demanded(method, vec![method.clone()]);
            return rule.methods.iter().map(part).collect();
        }
        let all = demanded(OTHERS, Vec::new());
        let single = self.methods.iter().map(|method| demanded(method, vec![(*method).to_owned()]));
        let others: Vec<_> = single.filter(|part| !part.demands_as(&all)).collect();
        std::iter::once(all).chain(others).collect()
    }

    /// The rule with demands that would decide about these paths, were it not for the catalogue. Of a
    /// subtree, about what is below all other rules: those decide for themselves.
    fn met(&self, method: &str, path: &PathTemplate) -> Option<&Rule> {
        let below = if path.is_subtree() { self.deepest + 1 } else { 0 };
        let place = format!("{}{}", path.example(FRESH), format!("/{FRESH}").repeat(below));
        self.map.met(method, &place).filter(|met| demands(met))
    }
}

impl Rule {
    /// The same, and what another rule asks for as far as it is about this one's module.
    fn demanding(self, other: &Self) -> Self {
        let is_of_module = match (&self.access, &other.access) {
            (Access::AnyOf(own), Access::AnyOf(any_of)) => {
                own.iter().all(|module| any_of.contains(module))
            }
            _ => false,
        };
        let feature = other.feature.clone().filter(|_| is_of_module);
        Self { feature, verified: other.verified, ..self }
    }
}
