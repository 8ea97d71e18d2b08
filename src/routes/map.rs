//! All rules, ready to be asked.

mod builder;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use wayfind::Router;

pub use self::builder::Conflict;
use self::builder::{Builder, Places, caseless_router};
use super::{
    Origin, Rule,
    path::{PathReading, RefusedPath, check, readings, without_query},
};
use crate::domain::{Catalogue, ModuleCode};

/// All rules. For each method there is a trie of its own, so that of the rules for other methods
/// none is in the way.
///
/// A trie prefers, segment by segment from the left, a word to a parameter, and a parameter to a
/// subtree: wherever there are two rules for a path, the one that is the first to be more specific
/// decides. Where that is one of the catalogue, it asks for what the settings demand as well.
pub struct RouteMap {
    rules: Vec<Arc<Rule>>,
    all: Tries,
    /// Of the settings' rules alone, where these have demands that the catalogue's could take away.
    settings: Option<Tries>,
    /// The codes of modules that were renamed since the settings were written, each with the present
    /// one.
    renamed: HashMap<ModuleCode, ModuleCode>,
    /// Is there a rule with a capital letter?
    has_capitals: bool,
    reading: PathReading,
}

/// A trie for each method that rules name, and one for all others.
struct Tries {
    exact: ByMethod<usize>,
    /// By paths in small letters: more than one rule where they differ in nothing but case.
    caseless: ByMethod<Vec<usize>>,
}

struct ByMethod<T> {
    methods: HashMap<String, Router<T>>,
    others: Router<T>,
}

impl Tries {
    fn new(
        builder: &mut Builder,
        methods: &BTreeSet<String>,
        is_meant: fn(Origin) -> bool,
    ) -> Self {
        let places: Vec<_> =
            methods.iter().map(|method| (builder.places(method, is_meant), method)).collect();
        let others = builder.places("", is_meant);
        Self {
            exact: ByMethod::new(&places, &others, |places| builder.router(places)),
            caseless: ByMethod::new(&places, &others, caseless_router),
        }
    }
}

impl<T> ByMethod<T> {
    fn new(
        methods: &[(Places, &String)],
        others: &Places,
        router: impl Fn(&Places) -> Router<T>,
    ) -> Self {
        let one = |(places, method): &(Places, &String)| ((*method).clone(), router(places));
        Self { methods: methods.iter().map(one).collect(), others: router(others) }
    }

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
pub struct Read {
    /// The path, as it reads.
    pub path: String,
    /// The rule that decides; `None`: there is none.
    pub rule: Option<Arc<Rule>>,
}

/// The rule that decides, and one of the settings that asks for more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Found {
    rule: usize,
    demanding: Option<usize>,
}

impl RouteMap {
    /// Puts rules together, and tells of those that contradict each other.
    pub fn new(rules: Vec<Rule>, reading: PathReading) -> (Self, Vec<Conflict>) {
        let rules = rules.into_iter().map(Arc::new).collect();
        let mut builder = Builder { rules, conflicts: Vec::new() };
        let mut methods: BTreeSet<String> =
            builder.rules.iter().flat_map(|rule| rule.methods.clone()).collect();
        // Servers answer HEAD as they answer GET.
        if methods.contains("GET") {
            methods.insert("HEAD".to_owned());
        }
        let all = Tries::new(&mut builder, &methods, |_| true);
        let is_needed = builder.rules.iter().any(|rule| rule.has_demands())
            && builder.rules.iter().any(|rule| rule.origin == Origin::Catalogue);
        let settings = is_needed
            .then(|| Tries::new(&mut builder, &methods, |origin| origin != Origin::Catalogue));
        let Builder { rules, mut conflicts } = builder;
        let has_capitals =
            rules.iter().map(|rule| rule.path.to_trie()).any(|place| has_case(&place));
        // The same two meet in the trie of each method.
        conflicts.sort_by_key(|conflict: &Conflict| {
            (conflict.first.to_string(), conflict.second.to_string())
        });
        conflicts
            .dedup_by_key(|conflict| (conflict.first.to_string(), conflict.second.to_string()));
        let map = Self { rules, all, settings, renamed: HashMap::new(), has_capitals, reading };
        (map, conflicts)
    }

    /// Learns which modules the rules mean that name them by a former code.
    pub fn know_codes_of(&mut self, catalogue: &Catalogue) {
        let modules = self.rules.iter().flat_map(|rule| rule.modules());
        let renamed = modules.filter_map(|module| {
            let now = catalogue.code_of_now(module.as_str());
            (now != module.as_str()).then(|| (module.clone(), ModuleCode::new(now)))
        });
        self.renamed = renamed.collect();
    }

    /// The rules, as many as there are.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The rule that decides about a request; `None`: there is none. `target` is a path, with or
    /// without its query.
    pub fn find(&self, method: &str, target: &str) -> Result<Option<Arc<Rule>>, RefusedPath> {
        let path = without_query(target);
        check(path)?;
        let mut found = None;
        for read in readings(path, self.reading)? {
            let decides = self.decides(method, &read)?;
            match found {
                _ if !self.holds_without_case(method, &read, decides) => {
                    return Err(RefusedPath::Ambiguous);
                }
                None => found = Some(decides),
                Some(before) if before == decides => {}
                Some(_) => return Err(RefusedPath::Ambiguous),
            }
        }
        Ok(found.flatten().map(|found| self.rule(found)))
    }

    /// What each reading of a path leads to.
    pub fn explain(&self, method: &str, target: &str) -> Result<Vec<Read>, RefusedPath> {
        let path = without_query(target);
        check(path)?;
        let router = self.all.exact.of(method);
        let mut explained = Vec::new();
        for read in readings(path, self.reading)? {
            explained.extend(self.without_case(method, &read));
            explained.extend(ends(&read, self.reading).map(|path| {
                let rule = router.search(path).map(|found| *found.data());
                let demanding = rule.and_then(|rule| self.demanding(method, &read, rule).ok()?);
                let rule = rule.map(|rule| self.rule(Found { rule, demanding }));
                Read { path: path.to_owned(), rule }
            }));
        }
        Ok(explained)
    }

    /// What routers that take no heed of case make of a reading, where case could make a
    /// difference.
    fn without_case(&self, method: &str, read: &str) -> Vec<Read> {
        if self.reading != PathReading::Any || !(self.has_capitals || has_case(read)) {
            return Vec::new();
        }
        let read = in_small_letters(read);
        let found = |tries: &Tries, path: &str| {
            let router = tries.caseless.of(method);
            router.search(path).map(|found| found.data().clone()).unwrap_or_default()
        };
        let settings = self.settings.iter();
        let settings = settings
            .flat_map(|tries| ends(&read, self.reading).flat_map(move |path| found(tries, path)));
        let settings: Vec<usize> = settings.collect();
        let reads = ends(&read, self.reading).flat_map(|path| {
            let rules = found(&self.all, path).into_iter();
            let rules = rules.flat_map(|rule| self.with_each(rule, &settings));
            rules.map(|found| Read { rule: Some(self.rule(found)), path: path.to_owned() })
        });
        reads.collect()
    }

    /// A rule with each of those that may ask for more, or by itself.
    fn with_each(&self, rule: usize, settings: &[usize]) -> Vec<Found> {
        let more =
            settings.iter().map(|other| Some(*other).filter(|other| self.adds(rule, *other)));
        let mut all: Vec<_> = more.map(|demanding| Found { rule, demanding }).collect();
        if all.is_empty() {
            all.push(Found { rule, demanding: None });
        }
        all
    }

    /// Does every router that takes no heed of case come to a rule that asks for the same?
    fn holds_without_case(&self, method: &str, read: &str, found: Option<Found>) -> bool {
        let reads = self.without_case(method, read);
        if reads.is_empty() {
            return true;
        }
        let found = found.map(|found| self.rule(found));
        let is_the_same = |read: Read| {
            found.as_ref().zip(read.rule).is_some_and(|(found, other)| found.demands_as(&other))
        };
        reads.into_iter().all(is_the_same)
    }

    /// The rule for one reading.
    fn decides(&self, method: &str, read: &str) -> Result<Option<Found>, RefusedPath> {
        let Some(rule) = self.find_one(&self.all, method, read, |_| true)? else {
            return Ok(None);
        };
        Ok(Some(Found { rule, demanding: self.demanding(method, read, rule)? }))
    }

    /// The rule of the settings that asks for more than one of the catalogue.
    fn demanding(
        &self,
        method: &str,
        read: &str,
        rule: usize,
    ) -> Result<Option<usize>, RefusedPath> {
        match &self.settings {
            Some(settings) if self.rules[rule].origin == Origin::Catalogue => {
                self.find_one(settings, method, read, |other| self.adds(rule, other))
            }
            _ => Ok(None),
        }
    }

    /// Does a rule of the settings ask for more than this one?
    fn adds(&self, rule: usize, other: usize) -> bool {
        let (own, other) = (&self.rules[rule], &self.rules[other]);
        own.origin == Origin::Catalogue
            && other.has_demands()
            && !self.both(own, other).demands_as(own)
    }

    fn both(&self, rule: &Rule, other: &Rule) -> Rule {
        rule.with_demands_of(other, |one, other| self.code_of_now(one) == self.code_of_now(other))
    }

    fn code_of_now<'a>(&'a self, code: &'a ModuleCode) -> &'a ModuleCode {
        self.renamed.get(code).unwrap_or(code)
    }

    fn rule(&self, Found { rule, demanding }: Found) -> Arc<Rule> {
        let rule = &self.rules[rule];
        match demanding {
            None => Arc::clone(rule),
            Some(other) => Arc::new(self.both(rule, &self.rules[other])),
        }
    }

    /// The rule for one reading, with and without a slash at its end, if it matters. Where only one of
    /// them is known, that one is meant: a router that tells them apart answers the other with a
    /// redirect, or with 404.
    fn find_one(
        &self,
        tries: &Tries,
        method: &str,
        path: &str,
        matters: impl Fn(usize) -> bool,
    ) -> Result<Option<usize>, RefusedPath> {
        let router = tries.exact.of(method);
        let mut found = None;
        for path in ends(path, self.reading) {
            let rule = router.search(path).map(|found| *found.data());
            let rule = rule.filter(|rule| matters(*rule));
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
fn ends(path: &str, reading: PathReading) -> impl Iterator<Item = &str> {
    let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty());
    let path = Some(path).filter(|_| bare.is_none() || reading != PathReading::Normalized);
    let bare = bare.filter(|_| reading != PathReading::Literal);
    path.into_iter().chain(bare)
}
