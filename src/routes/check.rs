//! What is odd about a map, for `entitlementd routes check`.

use std::{borrow::Cow, fmt};

use super::{Conflict, Origin, RouteMap, Rule};
use crate::domain::{Catalogue, ModuleCode};

/// A segment that no template has as a word.
const FRESH: &str = "\u{fffd}";

/// Something about a rule that its author hardly wanted.
#[derive(Clone, Debug)]
pub enum Finding {
    /// Two rules of a file contradict each other.
    Conflict(Box<Conflict>),
    /// No request ever meets the rule.
    Unreachable {
        /// The rule.
        rule: Box<Rule>,
        /// One that is met instead.
        by: Box<Rule>,
    },
    /// For some of its methods no request ever meets the rule.
    Shadowed {
        /// The rule.
        rule: Box<Rule>,
        /// The methods.
        methods: Vec<String>,
        /// One that is met instead.
        by: Box<Rule>,
    },
    /// Requests for it are refused: a router may as well take them to another rule, which asks for
    /// something else.
    Ambiguous {
        /// The rule.
        rule: Box<Rule>,
        /// The other one.
        other: Box<Rule>,
    },
    /// The catalogue has no such module: nobody can ever get in by it.
    UnknownModule {
        /// The rule.
        rule: Box<Rule>,
        /// The code.
        module: ModuleCode,
    },
}

impl Finding {
    /// Does it keep the server from starting?
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// One word for what it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Unreachable { .. } => "unreachable",
            Self::Shadowed { .. } => "shadowed",
            Self::Ambiguous { .. } => "ambiguous",
            Self::UnknownModule { .. } => "unknown module",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(conflict) => write!(f, "{conflict}"),
            Self::Unreachable { rule, by } => {
                write!(f, "{rule} is never met: {by} comes before it")
            }
            Self::Shadowed { rule, methods, by } => {
                write!(f, "{rule} is never met for {}: {by} comes before it", methods.join("|"))
            }
            Self::Ambiguous { rule, other } => {
                write!(
                    f,
                    "{rule} is refused with 400: a router that ignores case may take it for {other}"
                )
            }
            Self::UnknownModule { rule, module } => {
                write!(f, "{rule}: the catalogue has no module {module}")
            }
        }
    }
}

/// Finds what is odd about a map: what contradicts itself, what is never met, and, where a
/// catalogue is at hand, what needs modules that do not exist.
pub fn check(
    map: &RouteMap,
    conflicts: Vec<Conflict>,
    catalogue: Option<&Catalogue>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        conflicts.into_iter().map(|conflict| Finding::Conflict(Box::new(conflict))).collect();
    let deepest = map.rules().iter().map(|rule| rule.path.depth()).max().unwrap_or_default();
    for rule in map.rules() {
        findings.extend(overruled(map, rule, deepest));
        findings.extend(ambiguous(map, rule, deepest));
        let unknown =
            catalogue.map(|catalogue| rule.unknown_modules(catalogue)).unwrap_or_default();
        let finding = |module: &ModuleCode| Finding::UnknownModule {
            rule: Box::new(Rule::clone(rule)),
            module: module.clone(),
        };
        findings.extend(unknown.into_iter().map(finding));
    }
    findings
}

/// Is a path that a rule is about read as one of another rule's?
fn ambiguous(map: &RouteMap, rule: &Rule, deepest: usize) -> Option<Finding> {
    let is_other = |other: &&Rule| !other.demands_as(rule);
    let other = methods(rule).iter().find_map(|method| {
        examples(rule, deepest).iter().filter(|path| map.find(method, path).is_err()).find_map(
            |path| {
                let readings = map.explain(method, path).unwrap_or_default();
                readings
                    .into_iter()
                    .filter_map(|read| read.rule.map(AsRef::as_ref))
                    .find(is_other)
                    .cloned()
            },
        )
    })?;
    Some(Finding::Ambiguous { rule: Box::new(rule.clone()), other: Box::new(other) })
}

/// A rule's methods. One that no rule names stands for all of them.
fn methods(rule: &Rule) -> Cow<'_, [String]> {
    if rule.methods.is_empty() {
        Cow::Owned(vec!["\u{0}".to_owned()])
    } else {
        Cow::Borrowed(&rule.methods)
    }
}

/// Is a rule met at all?
///
/// It is enough to try paths whose parameters are words that no template has: more words could only
/// bring in rules that are more specific.
fn overruled(map: &RouteMap, rule: &Rule, deepest: usize) -> Option<Finding> {
    let methods = methods(rule);
    let overruled = |method: &String| {
        let mut by = None;
        for path in examples(rule, deepest) {
            let met = map.met(method, &path)?;
            if met.is_the_same_as(rule) {
                return None;
            }
            by = Some(met);
        }
        by
    };
    let lost: Vec<(&String, &Rule)> =
        methods.iter().filter_map(|method| overruled(method).map(|by| (method, by))).collect();
    let (_, by) = lost.first()?;
    let (rule, by) = (Box::new(Rule::clone(rule)), Box::new((*by).clone()));
    if lost.len() == methods.len() {
        return Some(Finding::Unreachable { rule, by });
    }
    Some(Finding::Shadowed {
        rule,
        by,
        methods: lost.into_iter().map(|(method, _)| method.clone()).collect(),
    })
}

/// Paths that a rule is about, one of each depth that can make a difference.
fn examples(rule: &Rule, deepest: usize) -> Vec<String> {
    let own = rule.path.example(FRESH);
    let deeper = if rule.path.has_subtree() { deepest + 1 - rule.path.depth() } else { 0 };
    (0..=deeper).map(|more| format!("{own}{}", format!("/{FRESH}").repeat(more))).collect()
}

impl RouteMap {
    /// The rule that a plain path meets.
    fn met(&self, method: &str, path: &str) -> Option<&Rule> {
        let path = if path.is_empty() { "/" } else { path };
        self.find(method, path).ok().flatten().map(AsRef::as_ref)
    }
}

impl Rule {
    /// Are these one rule? Rules of the catalogue about the same paths are joined.
    fn is_the_same_as(&self, other: &Self) -> bool {
        let is_joined = self.origin == Origin::Catalogue && other.origin == Origin::Catalogue;
        self.path.is_same_as(&other.path)
            && (is_joined || self.demands_as(other) && self.origin == other.origin)
    }
}
