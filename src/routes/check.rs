//! What is suspicious about a route map, for `entitlementd routes check`.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{Conflict, FRESH, Origin, RouteMap, Rule};
use crate::domain::{Catalogue, ModuleCode};

/// Something about a rule that its author probably did not intend.
#[derive(Clone, Debug)]
pub enum Finding {
    /// Two rules of a file contradict each other.
    Conflict(Box<Conflict>),
    /// No request ever matches the rule.
    Unreachable {
        /// The rule.
        rule: Box<Rule>,
        /// A rule that matches instead.
        by: Box<Rule>,
    },
    /// For some of its methods, no request ever matches the rule.
    Shadowed {
        /// The rule.
        rule: Box<Rule>,
        /// The methods.
        methods: Vec<String>,
        /// A rule that matches instead.
        by: Box<Rule>,
    },
    /// Requests for it are refused: a router could also match them to another rule, which has other
    /// requirements.
    Ambiguous {
        /// The rule.
        rule: Box<Rule>,
        /// The other one.
        other: Box<Rule>,
    },
    /// It would open what the settings close: it is left out.
    Opens {
        /// The rule of the catalogue.
        rule: Box<Rule>,
    },
    /// The catalogue does not define the rule's feature for this module: only flags of single
    /// tenants let anyone pass.
    UnknownFeature {
        /// The rule.
        rule: Box<Rule>,
        /// The module's code.
        module: ModuleCode,
    },
    /// The catalogue does not have this module: the rule never lets anyone pass.
    UnknownModule {
        /// The rule.
        rule: Box<Rule>,
        /// The module's code.
        module: ModuleCode,
    },
}

impl Finding {
    /// Does it keep the server from starting?
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// A name for this kind of finding.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Unreachable { .. } => "unreachable",
            Self::Shadowed { .. } => "shadowed",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Opens { .. } => "left out",
            Self::UnknownFeature { .. } => "unknown feature",
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
            Self::Opens { rule } => {
                write!(f, "{rule} would open paths that the settings close")
            }
            Self::UnknownFeature { rule, module } => {
                write!(
                    f,
                    "{rule}: the catalogue does not define this feature for {module}: only tenants' own flags switch it on"
                )
            }
            Self::UnknownModule { rule, module } => {
                write!(f, "{rule}: the catalogue has no module {module}")
            }
        }
    }
}

/// Finds what is suspicious about a map: contradictions, rules that never match, and, if a
/// catalogue is given, rules that need modules or features which do not exist.
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
        let without =
            catalogue.map(|catalogue| rule.modules_without_feature(catalogue)).unwrap_or_default();
        findings.extend(without.into_iter().map(|module| Finding::UnknownFeature {
            rule: Box::new(Rule::clone(rule)),
            module: module.clone(),
        }));
    }
    findings
}

/// May a path that this rule covers be read as one that another rule covers?
fn ambiguous(map: &RouteMap, rule: &Rule, deepest: usize) -> Option<Finding> {
    let is_other = |other: &Arc<Rule>| !other.demands_as(rule);
    let other = methods(rule).iter().find_map(|method| {
        examples(rule, deepest).iter().filter(|path| map.find(method, path).is_err()).find_map(
            |path| {
                let readings = map.explain(method, path).unwrap_or_default();
                readings.into_iter().filter_map(|read| read.rule).find(is_other)
            },
        )
    })?;
    let other = Box::new(Rule::clone(&other));
    Some(Finding::Ambiguous { rule: Box::new(rule.clone()), other })
}

/// A rule's methods. A method that no rule names stands for all of them.
pub(super) fn methods(rule: &Rule) -> Cow<'_, [String]> {
    if rule.methods.is_empty() {
        Cow::Owned(vec!["\u{0}".to_owned()])
    } else {
        Cow::Borrowed(&rule.methods)
    }
}

/// Does any request match a rule?
///
/// It is enough to try paths whose parameters are words that no template contains: other words
/// could only match rules that are more specific.
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
    let lost: Vec<(&String, Arc<Rule>)> =
        methods.iter().filter_map(|method| overruled(method).map(|by| (method, by))).collect();
    let (_, by) = lost.first()?;
    let (rule, by) = (Box::new(Rule::clone(rule)), Box::new(Rule::clone(by)));
    if lost.len() == methods.len() {
        return Some(Finding::Unreachable { rule, by });
    }
    Some(Finding::Shadowed {
        rule,
        by,
        methods: lost.into_iter().map(|(method, _)| method.clone()).collect(),
    })
}

/// Paths that a rule covers, one of each depth that can make a difference.
fn examples(rule: &Rule, deepest: usize) -> Vec<String> {
    let own = rule.path.example(FRESH);
    let deeper = if rule.path.is_subtree() { deepest + 1 - rule.path.depth() } else { 0 };
    (0..=deeper).map(|more| format!("{own}{}", format!("/{FRESH}").repeat(more))).collect()
}

impl RouteMap {
    /// The rule that a plain path matches.
    pub(super) fn met(&self, method: &str, path: &str) -> Option<Arc<Rule>> {
        let path = if path.is_empty() { "/" } else { path };
        self.find(method, path).ok().flatten()
    }
}

impl Rule {
    /// Are these one rule? Rules of the catalogue with equal paths are merged.
    pub(super) fn is_the_same_as(&self, other: &Self) -> bool {
        let is_joined = self.origin == Origin::Catalogue && other.origin == Origin::Catalogue;
        self.path.is_same_as(&other.path)
            && (is_joined || self.demands_as(other) && self.origin == other.origin)
    }
}
