//! What is counted, through the `metrics` facade.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Answers, by who gave them.
pub(crate) struct By {
    pub(crate) held: Counter,
    pub(crate) server: Counter,
    pub(crate) outage_rule: Counter,
}

impl By {
    fn new(name: &'static str) -> Self {
        Self {
            held: counter!(name, "by" => "held"),
            server: counter!(name, "by" => "server"),
            outage_rule: counter!(name, "by" => "outage_rule"),
        }
    }
}

/// Handles, looked up once: a check takes less time than a look-up.
pub(crate) struct Counters {
    pub(crate) modules: By,
    pub(crate) features: By,
    pub(crate) limits: By,
    pub(crate) usage: By,
    pub(crate) usage_refused: Counter,
    pub(crate) usage_dropped: Counter,
    pub(crate) changes: Counter,
    pub(crate) resets: Counter,
    #[cfg(feature = "tower")]
    pub(crate) would_deny: Counter,
    pub(crate) watching: Gauge,
    pub(crate) outage: Gauge,
}

impl Counters {
    pub(crate) fn new() -> Self {
        const CHECKS: &str = "entitlement_client_checks_total";
        const FEATURES: &str = "entitlement_client_features_total";
        const LIMITS: &str = "entitlement_client_limits_total";
        const USAGE: &str = "entitlement_client_usage_total";
        describe_counter!(
            CHECKS,
            "Answers about modules, by who gave them: what is held, the server, or the outage rule"
        );
        describe_counter!(FEATURES, "The same about features");
        describe_counter!(LIMITS, "The same about limits");
        describe_counter!(
            USAGE,
            "The same about what is reserved or taken: held is what was leased"
        );
        describe_counter!(
            "entitlement_client_usage_refused_total",
            "Sums and records of the background that the server did not count"
        );
        describe_counter!(
            "entitlement_client_usage_dropped_total",
            "What was added to counters and dropped: too many sums waited, or the amount was none"
        );
        describe_counter!("entitlement_client_changes_total", "Tenant changes that were received");
        describe_counter!(
            "entitlement_client_resets_total",
            "Resets: events after which anything may have changed"
        );
        #[cfg(feature = "tower")]
        describe_counter!(
            "entitlement_client_would_deny_total",
            "Requests that shadow mode let pass"
        );
        describe_gauge!("entitlement_client_watching", "1 while the stream of changes is open");
        describe_gauge!(
            "entitlement_client_outage",
            "1 while the server does not answer, or its stream of changes is lost"
        );
        Self {
            modules: By::new(CHECKS),
            features: By::new(FEATURES),
            limits: By::new(LIMITS),
            usage: By::new(USAGE),
            usage_refused: counter!("entitlement_client_usage_refused_total"),
            usage_dropped: counter!("entitlement_client_usage_dropped_total"),
            changes: counter!("entitlement_client_changes_total"),
            resets: counter!("entitlement_client_resets_total"),
            #[cfg(feature = "tower")]
            would_deny: counter!("entitlement_client_would_deny_total"),
            watching: gauge!("entitlement_client_watching"),
            outage: gauge!("entitlement_client_outage"),
        }
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counters")
    }
}
