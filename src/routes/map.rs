//! All rules, ready to be asked.

mod builder;

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use wayfind::Router;

pub use self::builder::Conflict;
use self::builder::{Builder, caseless_router};
use super::{
    Rule,
    path::{PathReading, RefusedPath, check, readings, without_query},
};

/// All rules. For each method there is a trie of its own, so that of the rules for other methods
/// none is in the way.
///
/// A trie prefers, segment by segment from the left, a word to a parameter, and a parameter to a
/// subtree: wherever there are two rules for a path, the one that is the first to be more specific
/// decides.
pub struct RouteMap {
    rules: Vec<Arc<Rule>>,
    tries: Tries<usize>,
    /// By paths in small letters: more than one rule where they differ in nothing but case.
    caseless: Tries<Vec<usize>>,
    /// Is there a rule with a capital letter?
    has_capitals: bool,
    reading: PathReading,
}

/// A trie for each method that rules name, and one for all others.
struct Tries<T> {
    methods: HashMap<String, Router<T>>,
    others: Router<T>,
}

impl<T> Tries<T> {
    fn of(&self, method: &str) -> &Router<T> {
        self.methods.get(method).unwrap_or(&self.others)
    }
}

impl fmt::Debug for RouteMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteMap").field("rules", &self.rules.len()).finish_non_exhaustive()
    }
}

/// What a reading of a path leads to.
#[derive(Clone, Debug)]
pub struct Read<'a> {
    /// The path, as it reads.
    pub path: String,
    /// The rule that decides; `None`: there is none.
    pub rule: Option<&'a Arc<Rule>>,
}

impl RouteMap {
    /// Puts rules together, and tells of those that contradict each other.
    pub fn new(rules: Vec<Rule>, reading: PathReading) -> (Self, Vec<Conflict>) {
        let rules = rules.into_iter().map(Arc::new).collect();
        let mut builder = Builder { rules, conflicts: Vec::new() };
        let mut named: BTreeSet<String> =
            builder.rules.iter().flat_map(|rule| rule.methods.clone()).collect();
        // Servers answer HEAD as they answer GET.
        if named.contains("GET") {
            named.insert("HEAD".to_owned());
        }
        let places: Vec<_> =
            named.into_iter().map(|method| (builder.places(&method), method)).collect();
        let others = builder.places("");
        let tries = Tries {
            methods: places
                .iter()
                .map(|(places, method)| (method.clone(), builder.router(places)))
                .collect(),
            others: builder.router(&others),
        };
        let caseless = Tries {
            methods: places
                .iter()
                .map(|(places, method)| (method.clone(), caseless_router(places)))
                .collect(),
            others: caseless_router(&others),
        };
        let Builder { rules, mut conflicts } = builder;
        let has_capitals =
            rules.iter().map(|rule| rule.path.to_trie()).any(|place| has_case(&place));
        // The same two meet in the trie of each method.
        conflicts.sort_by_key(|conflict: &Conflict| {
            (conflict.first.to_string(), conflict.second.to_string())
        });
        conflicts
            .dedup_by_key(|conflict| (conflict.first.to_string(), conflict.second.to_string()));
        (Self { rules, tries, caseless, has_capitals, reading }, conflicts)
    }

    /// The rules, as many as there are.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The rule that decides about a request; `None`: there is none. `target` is a path, with or
    /// without its query.
    pub fn find(&self, method: &str, target: &str) -> Result<Option<&Arc<Rule>>, RefusedPath> {
        let path = without_query(target);
        check(path)?;
        let mut found = None;
        for read in readings(path, self.reading)? {
            let rule = self.find_one(method, &read)?;
            match found {
                _ if !self.holds_without_case(method, &read, rule) => {
                    return Err(RefusedPath::Ambiguous);
                }
                None => found = Some(rule),
                Some(before) if before == rule => {}
                Some(_) => return Err(RefusedPath::Ambiguous),
            }
        }
        Ok(found.flatten().map(|rule| &self.rules[rule]))
    }

    /// What each reading of a path leads to.
    pub fn explain(&self, method: &str, target: &str) -> Result<Vec<Read<'_>>, RefusedPath> {
        let path = without_query(target);
        check(path)?;
        let router = self.tries.of(method);
        let rule_of = |path: &str| router.search(path).map(|found| &self.rules[*found.data()]);
        let mut explained = Vec::new();
        for read in readings(path, self.reading)? {
            explained.extend(self.without_case(method, &read));
            let ways = ends(read, self.reading);
            explained
                .extend(ways.map(|path| Read { rule: rule_of(&path), path: path.into_owned() }));
        }
        Ok(explained)
    }

    /// What routers that take no heed of case make of a reading, where case could make a
    /// difference.
    fn without_case(&self, method: &str, read: &str) -> Vec<Read<'_>> {
        if self.reading != PathReading::Any || !(self.has_capitals || has_case(read)) {
            return Vec::new();
        }
        let router = self.caseless.of(method);
        let rules_of = |path: &str| {
            router.search(path).map(|found| found.data().as_slice()).unwrap_or_default()
        };
        let in_small_letters = Cow::Owned(in_small_letters(read));
        let reads = ends(in_small_letters, self.reading).flat_map(|path| {
            let rules = rules_of(&path).iter();
            rules.map(move |rule| Read {
                rule: Some(&self.rules[*rule]),
                path: path.clone().into_owned(),
            })
        });
        reads.collect()
    }

    /// Does every router that takes no heed of case come to a rule that asks for the same?
    fn holds_without_case(&self, method: &str, read: &str, found: Option<usize>) -> bool {
        let found = found.map(|rule| &self.rules[rule]);
        let is_the_same = |read: Read<'_>| {
            found.zip(read.rule).is_some_and(|(found, other)| found.demands_as(other))
        };
        self.without_case(method, read).into_iter().all(is_the_same)
    }

    /// The rule for one reading, with and without a slash at its end. Where only one of them is
    /// known, that one is meant: a router that tells them apart answers the other with a
    /// redirect, or with 404.
    fn find_one(&self, method: &str, path: &str) -> Result<Option<usize>, RefusedPath> {
        let router = self.tries.of(method);
        let mut found = None;
        for path in ends(Cow::Borrowed(path), self.reading) {
            let rule = router.search(&path).map(|found| *found.data());
            if found.is_some() && rule.is_some() && rule != found {
                return Err(RefusedPath::Ambiguous);
            }
            found = found.or(rule);
        }
        Ok(found)
    }
}

/// Could it be spelled in another case? What is not ASCII is taken for it.
fn has_case(path: &str) -> bool {
    path.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
}

/// Equal for all texts that differ in nothing but case.
fn in_small_letters(path: &str) -> String {
    // Some small letters share a capital one: σ and ς.
    if path.is_ascii() { path.to_ascii_lowercase() } else { path.to_uppercase().to_lowercase() }
}

/// A path as it is, and without a slash at its end.
fn ends(path: Cow<'_, str>, reading: PathReading) -> impl Iterator<Item = Cow<'_, str>> {
    let bare = match &path {
        Cow::Borrowed(path) => path.strip_suffix('/').map(Cow::Borrowed),
        Cow::Owned(path) => path.strip_suffix('/').map(|bare| Cow::Owned(bare.to_owned())),
    };
    let bare = bare.filter(|bare| !bare.is_empty());
    let path = Some(path).filter(|_| bare.is_none() || reading != PathReading::Normalized);
    let bare = bare.filter(|_| reading != PathReading::Literal);
    path.into_iter().chain(bare)
}
