//! The current route map: the rules of the settings, and those of the current catalogue.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::{
    domain::Catalogue,
    routes::{
        PathReading, PathTemplate, RouteMap, Rule, UnreadableEndpoint, rules_of,
        take_out_what_opens,
    },
};

/// The current route map. It is made again when the rules or the catalogue's endpoints have changed,
/// by the first request after that.
#[derive(Debug, Default)]
pub(crate) struct LiveRoutes {
    /// Those of the settings. Locked while a map is made: others wait for the one that makes it, and
    /// nobody makes one of rules that were replaced.
    rules: Mutex<Vec<Rule>>,
    /// What the words of the catalogue's endpoints are below.
    prefix: Option<PathTemplate>,
    reading: PathReading,
    built: ArcSwapOption<Built>,
}

#[derive(Debug)]
struct Built {
    of: Arc<Catalogue>,
    map: Arc<RouteMap>,
}

impl LiveRoutes {
    /// With the rules of the settings.
    pub(crate) fn new(
        rules: Vec<Rule>,
        prefix: Option<PathTemplate>,
        reading: PathReading,
    ) -> Self {
        Self { rules: Mutex::new(rules), prefix, reading, built: ArcSwapOption::empty() }
    }

    /// Uses other rules of the settings from now on.
    pub(crate) fn replace(&self, rules: Vec<Rule>) {
        let mut present = self.rules.lock();
        *present = rules;
        self.built.store(None);
    }

    /// The map for a catalogue.
    pub(super) fn current(&self, catalogue: &Arc<Catalogue>) -> Arc<RouteMap> {
        self.built_of(catalogue).unwrap_or_else(|| {
            // A millisecond for a thousand of them.
            let rules = self.rules.lock();
            self.built_of(catalogue).unwrap_or_else(|| self.build(&rules, catalogue))
        })
    }

    fn built_of(&self, catalogue: &Arc<Catalogue>) -> Option<Arc<RouteMap>> {
        let built = self.built.load();
        built
            .as_ref()
            .filter(|built| Arc::ptr_eq(&built.of, catalogue))
            .map(|built| Arc::clone(&built.map))
    }

    fn build(&self, rules: &[Rule], catalogue: &Arc<Catalogue>) -> Arc<RouteMap> {
        let before = self.built.load();
        let map = match before.as_ref().filter(|built| has_the_same_endpoints(&built.of, catalogue))
        {
            Some(built) => Arc::clone(&built.map),
            None => Arc::new(self.build_anew(rules, catalogue)),
        };
        // A request that began earlier may come with an older catalogue: it gets the map for that,
        // and the newer one stays.
        if before.as_ref().is_none_or(|built| built.of.as_of <= catalogue.as_of) {
            self.built
                .store(Some(Arc::new(Built { of: Arc::clone(catalogue), map: Arc::clone(&map) })));
        }
        map
    }

    fn build_anew(&self, rules: &[Rule], catalogue: &Catalogue) -> RouteMap {
        let (mut more, unreadable) = rules_of(catalogue, self.prefix.as_ref());
        log_unreadable(&unreadable);
        for rule in take_out_what_opens(rules, &mut more) {
            tracing::warn!("left out: the rule {rule} would open paths that the settings close");
        }
        let (mut map, _) = RouteMap::new(rules.iter().cloned().chain(more).collect(), self.reading);
        map.know_codes_of(catalogue);
        for rule in map.rules() {
            for module in rule.unknown_modules(catalogue) {
                tracing::warn!(%module, "the rule {rule} names the module {module}, which the catalogue lacks");
            }
            for module in rule.modules_without_feature(catalogue) {
                tracing::warn!(%module, "the rule {rule} names a feature that is not defined for {module}: only tenants' own flags switch it on");
            }
        }
        tracing::info!(rules = map.rules().len(), "the route map has {} rules", map.rules().len());
        map
    }
}

/// Databases of the ERP have dozens of words: they are one line.
fn log_unreadable(endpoints: &[UnreadableEndpoint]) {
    let (words, others): (Vec<_>, Vec<_>) = endpoints.iter().partition(|one| one.is_relative());
    if let Some(first) = words.first() {
        let entries = words.len();
        tracing::warn!(
            entries,
            "words in modules.api_endpoints that are no paths, and make no rule: {entries}, such as {:?} of the module {}; --api-endpoints-prefix says what they are below",
            first.entry,
            first.module
        );
    }
    for endpoint in others {
        tracing::warn!("ignored: {endpoint}");
    }
}

fn has_the_same_endpoints(one: &Catalogue, other: &Catalogue) -> bool {
    let endpoints = |catalogue: &Catalogue| {
        let modules = catalogue.modules().into_iter();
        modules
            .map(|module| (module.code.clone(), module.api_endpoints.clone()))
            .collect::<Vec<_>>()
    };
    endpoints(one) == endpoints(other)
}
