//! Puts rules together.

use std::{collections::BTreeMap, fmt, sync::Arc};

use wayfind::{Router, RouterBuilder};

use super::in_small_letters;
use crate::routes::{Access, Origin, Rule};

/// Two rules of one file that are about the same paths and methods, and ask for different things.
/// The first one holds.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// The one that holds.
    pub first: Rule,
    /// The one that does not.
    pub second: Rule,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} and {} are about the same requests and ask for different things",
            self.first, self.second
        )
    }
}

pub(super) struct Builder {
    pub(super) rules: Vec<Arc<Rule>>,
    pub(super) conflicts: Vec<Conflict>,
}

/// How far a rule goes before others at one place of a trie.
pub(super) type Rank = (u8, bool, u8);

/// The places of a trie, and the rule that holds at each.
pub(super) type Places = BTreeMap<String, (Rank, usize)>;

impl Builder {
    /// What the trie of one method holds; of all that no rule names, where it is empty. Of the rules
    /// with an origin of such a kind.
    pub(super) fn places(&mut self, method: &str, is_meant: fn(Origin) -> bool) -> Places {
        let mut places = Places::new();
        for rule in 0..self.rules.len() {
            if !is_meant(self.rules[rule].origin) {
                continue;
            }
            let Some(by_method) = rank_of_method(&self.rules[rule].methods, method) else {
                continue;
            };
            let (template, origin) = (&self.rules[rule].path, self.rules[rule].origin.rank());
            let place = template.to_trie();
            let root = if place.is_empty() { "/" } else { &place };
            let own = (root.to_owned(), (origin, !template.is_subtree(), by_method));
            let below = [format!("{place}/"), format!("{place}/<*rest>")];
            let below = below.into_iter().filter(|_| template.is_subtree());
            let below: Vec<_> = below.map(|place| (place, (origin, false, by_method))).collect();
            for (place, rank) in std::iter::once(own).chain(below) {
                self.put(&mut places, place, rank, rule);
            }
        }
        places
    }

    pub(super) fn router(&self, places: &Places) -> Router<usize> {
        let mut builder = RouterBuilder::new();
        for (place, (_, rule)) in places {
            if let Err(error) = builder.insert(place, *rule) {
                tracing::error!(%error, place, "the rule {} cannot be kept: {error}", self.rules[*rule]);
            }
        }
        builder.build()
    }

    fn put(&mut self, places: &mut Places, place: String, rank: Rank, rule: usize) {
        let winner = match places.get(&place) {
            Some((before, _)) if *before > rank => return,
            Some((before, first))
                if *before == rank && !self.rules[*first].demands_as(&self.rules[rule]) =>
            {
                self.settle(*first, rule)
            }
            Some((before, first)) if *before == rank => *first,
            _ => rule,
        };
        places.insert(place, (rank, winner));
    }

    /// Two rules of the same rank that ask for different things. Two modules that claim the same
    /// paths open them both; anything else is a mistake.
    fn settle(&mut self, first: usize, second: usize) -> usize {
        let (one, other) = (&self.rules[first], &self.rules[second]);
        match (one.origin, &one.access, &other.access) {
            (Origin::Catalogue, Access::AnyOf(one_of), Access::AnyOf(more)) => {
                let mut modules = one_of.clone();
                modules.extend(more.iter().filter(|module| !one_of.contains(module)).cloned());
                let both = Rule { access: Access::AnyOf(modules), ..Rule::clone(one) };
                let known = self.rules.iter().rposition(|rule| {
                    rule.demands_as(&both)
                        && rule.path.is_same_as(&both.path)
                        && rule.methods == both.methods
                });
                known.unwrap_or_else(|| {
                    self.rules.push(Arc::new(both));
                    self.rules.len() - 1
                })
            }
            _ => {
                self.conflicts
                    .push(Conflict { first: Rule::clone(one), second: Rule::clone(other) });
                first
            }
        }
    }
}

/// The trie of one method by paths in small letters.
pub(super) fn caseless_router(places: &Places) -> Router<Vec<usize>> {
    let mut caseless: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, (_, rule)) in places {
        caseless.entry(in_small_letters(place)).or_default().push(*rule);
    }
    let mut builder = RouterBuilder::new();
    for (place, rules) in caseless {
        if let Err(error) = builder.insert(&place, rules) {
            tracing::error!(%error, place, "a path in small letters cannot be kept: {error}");
        }
    }
    builder.build()
}

/// How well a rule's methods fit one; `None`: not at all.
fn rank_of_method(methods: &[String], method: &str) -> Option<u8> {
    let names = |method: &str| methods.iter().any(|named| named == method);
    match method {
        _ if methods.is_empty() => Some(0),
        method if names(method) => Some(2),
        "HEAD" if names("GET") => Some(1),
        _ => None,
    }
}
