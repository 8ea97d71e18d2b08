//! Rules for paths that no rule covers, from what a decision log says of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    ANY, Access, FRESH, Origin, PathTemplate, REST, RouteMap, Rule, check_method, file::MAX_METHODS,
};

/// The parameter that a proposed rule has where an outline has `{}`.
const PARAMETER: &str = "{id}";

/// A rule that is proposed.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The rule.
    pub rule: Rule,
    /// The outline of its paths, as the log has it.
    pub outline: String,
    /// A rule whose requirements it takes over, with at least another one that is as near; `None`:
    /// there is none, and the rule is closed.
    pub like: Option<Rule>,
}

/// Proposes rules for requests that `known` does not cover: pairs of a method and the outline of a
/// path. Each asks for what its nearest rules ask for, if these agree and ask for something; the
/// others are closed, so that none opens what was closed. Outlines that end in `/**` stand for
/// too much.
pub fn propose<'a>(
    unmapped: impl IntoIterator<Item = (&'a str, &'a str)>,
    known: &RouteMap,
) -> Vec<Proposal> {
    let mut methods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (method, outline) in unmapped {
        if check_method(method).is_ok() && is_open(known, method, outline) {
            methods.entry(outline).or_default().insert(method);
        }
    }
    // Paths that differ in nothing but case must ask for the same, or routers could disagree.
    let mut alike: HashMap<String, Option<Rule>> = HashMap::new();
    let proposals = methods.into_iter().filter_map(|(outline, methods)| {
        let path = PathTemplate::parse(&outline.replace(ANY, PARAMETER)).ok()?;
        let nearest = || nearest(known, &path).cloned();
        let like = alike.entry(outline.to_ascii_lowercase()).or_insert_with(nearest).clone();
        let closed = Rule::new(path.clone(), Access::Callers(Vec::new()), Origin::File(0));
        let methods = methods.into_iter().take(MAX_METHODS).map(str::to_owned).collect();
        let rule = Rule { path, methods, origin: closed.origin, ..like.clone().unwrap_or(closed) };
        Some(Proposal { rule, outline: outline.to_owned(), like })
    });
    proposals.collect()
}

/// Does no rule decide about such a path yet?
fn is_open(known: &RouteMap, method: &str, outline: &str) -> bool {
    !outline.ends_with(REST) && matches!(known.find(method, &outline.replace(ANY, FRESH)), Ok(None))
}

/// One of the rules that begin with the most words of a path, if there are two or more, and all ask
/// for the same. They must be neighbours: of each, only the last word may differ.
fn nearest<'a>(known: &'a RouteMap, path: &PathTemplate) -> Option<&'a Rule> {
    let common = |rule: &Rule| rule.path.common_words(path);
    let most = known.rules().iter().map(|rule| common(rule)).max().filter(|most| *most > 0)?;
    let near: Vec<&Rule> =
        known.rules().iter().map(AsRef::as_ref).filter(|rule| common(rule) == most).collect();
    let [first, others @ ..] = &near[..] else { return None };
    let asks = matches!(first.access, Access::Tenant | Access::AnyOf(_));
    let agree = others.iter().all(|other| first.demands_as(other));
    let are_neighbours = near.iter().any(|rule| rule.path.depth() <= most + 1);
    (asks && agree && are_neighbours && !others.is_empty()).then_some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::ModuleCode,
        routes::{PathReading, check, outline},
    };

    fn rule(path: &str, module: &str) -> Rule {
        let modules = vec![ModuleCode::new(ModuleCode::validate(module).unwrap())];
        Rule::new(PathTemplate::parse(path).unwrap(), Access::AnyOf(modules), Origin::File(1))
    }

    fn known() -> RouteMap {
        let rules = vec![
            rule("/api/v1/billing/invoices/**", "finance"),
            rule("/api/v1/billing/payments", "finance"),
            rule("/api/v1/hr/people", "hrms"),
            rule("/api/v1/hr/leave", "hrms"),
            rule("/api/v1/hr/payroll", "finance"),
        ];
        RouteMap::new(rules, PathReading::Any).0
    }

    #[test]
    fn a_rule_asks_for_what_its_neighbours_agree_on_and_is_closed_otherwise() {
        let unmapped = [
            ("POST", "/api/v1/billing/credit-notes/{}"),
            ("GET", "/api/v1/billing/credit-notes/{}"),
            ("GET", "/api/v1/billing/payments"),
            ("GET", "/api/v1/hr/travel"),
            ("GET", "/api/v1/wms"),
            ("GET", "/wp-login.php"),
            ("GET", "/"),
            ("GET", "/**"),
            ("no method", "/x"),
        ];
        let proposed = propose(unmapped, &known());
        let shown: Vec<String> = proposed.iter().map(|it| it.rule.to_string()).collect();
        assert_eq!(
            shown,
            [
                "GET / (closed; line 0)",
                "GET|POST /api/v1/billing/credit-notes/{id} (finance; line 0)",
                "GET /api/v1/hr/travel (closed; line 0)",
                "GET /api/v1/wms (closed; line 0)",
                "GET /wp-login.php (closed; line 0)",
            ]
        );
    }

    proptest! {
        #[test]
        fn what_is_proposed_is_covered_then_and_nothing_is_wrong_with_it(
            targets in prop::collection::vec("(/api/v1/(billing|hr))?(/[A-Za-z0-9-]{1,4}){0,4}", 1..30),
            methods in prop::collection::vec(prop::sample::select(vec!["GET", "HEAD", "POST"]), 30),
        ) {
            let known = known();
            let outlines: Vec<String> = targets.iter().map(|target| outline(target)).collect();
            let asked = || methods.iter().copied().zip(outlines.iter().map(String::as_str));
            let proposed = propose(asked(), &known);
            let rules: Vec<Rule> = proposed.iter().map(|proposal| proposal.rule.clone()).collect();
            let (alone, conflicts) = RouteMap::new(rules.clone(), PathReading::Any);
            prop_assert!(check(&alone, conflicts, None).is_empty());
            let all = known.rules().iter().map(|rule| Rule::clone(rule)).chain(rules).collect();
            let (all, conflicts) = RouteMap::new(all, PathReading::Any);
            prop_assert!(check(&all, conflicts, None).is_empty());
            for (method, outline) in asked() {
                prop_assert!(!is_open(&all, method, outline), "{} {}", method, outline);
            }
        }
    }
}
