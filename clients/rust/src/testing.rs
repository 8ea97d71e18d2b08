//! A double of the server, for the tests of services: in memory, with the client's own cache and
//! rules around it.
//!
//! ```
//! use entitlement_client::{OnOutage, Reason, testing::Double};
//! use uuid::Uuid;
//!
//! # tokio_test();
//! # fn tokio_test() { tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let (double, tenant) = (Double::new(), Uuid::from_u128(1));
//! let entitlements = double.client(OnOutage::Deny);
//!
//! double.allow(tenant, "finance");
//! assert!(entitlements.check(tenant, "finance").await.unwrap().allowed());
//!
//! double.deny(tenant, "finance", Reason::SubscriptionExpired);
//! assert!(!entitlements.check(tenant, "finance").await.unwrap().allowed());
//!
//! double.switch_on_with(tenant, "finance", "rows", 100);
//! double.allow(tenant, "finance");
//! let rows = entitlements.feature(tenant, "finance", "rows").await.unwrap();
//! assert_eq!(rows.value().and_then(|rows| rows.as_i64()), Some(100));
//!
//! double.limit(tenant, "users", Some(5));
//! assert!(!entitlements.within_limit(tenant, "users", 5, 1).await.unwrap().allowed());
//!
//! double.go_dark();
//! assert!(entitlements.check(tenant, "hrms").await.unwrap().by_outage_rule());
//! # }) }
//! ```

mod asked;
mod facts;
mod usage;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use uuid::Uuid;

use self::{
    asked::Asked,
    facts::{Facts, Grant, Switch},
    usage::Usage,
};
use crate::{
    Entitlements, LimitEnforcement, OnOutage, Reason, Tenant, UsageOutage, Value,
    ask::Event,
    changes::{hear, lose},
    clock::{Clock, Micros, NEVER},
    core::Core,
    watch::Watching,
};

pub use crate::clock::ManualClock;

/// Of what the double's clients hold something.
const CAPACITY: usize = 10_000;

/// A server that knows what it was told. Its clients hear of changes before the call that makes
/// them returns.
#[derive(Clone, Debug)]
pub struct Double {
    clock: ManualClock,
    known: Arc<Known>,
    clients: Arc<Mutex<Vec<Weak<Core>>>>,
}

#[derive(Debug)]
struct Known {
    tenants: Mutex<HashMap<Uuid, Facts>>,
    tokens: Mutex<HashMap<String, Token>>,
    usage: Mutex<Usage>,
    enforcement: Mutex<LimitEnforcement>,
    is_dark: AtomicBool,
    questions: AtomicUsize,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            tenants: Mutex::default(),
            tokens: Mutex::default(),
            usage: Mutex::default(),
            enforcement: LimitEnforcement::On.into(),
            is_dark: false.into(),
            questions: 0.into(),
        }
    }
}

fn open(core: &Core) {
    hear(core, Event::Opened { heartbeat_interval: None });
    hear(core, Event::Heartbeat { lag: 0, unproven: false });
}

/// What a bearer token says.
#[derive(Clone, Copy, Debug)]
struct Token {
    tenant: Uuid,
    expires_at: Micros,
}

impl Default for Double {
    fn default() -> Self {
        Self::new()
    }
}

impl Double {
    /// A server that knows no tenant. Its clock stands at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        let start = DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default();
        Self { clock: ManualClock::at(start), known: Arc::default(), clients: Arc::default() }
    }

    /// A client of it, with this rule for outages.
    pub fn client(&self, on_outage: OnOutage) -> Entitlements {
        self.client_with(on_outage, HashMap::new())
    }

    /// The same, with rules for meters while the server does not answer.
    pub fn client_with_usage_outage<'a>(
        &self,
        on_outage: OnOutage,
        rules: impl IntoIterator<Item = (&'a str, UsageOutage)>,
    ) -> Entitlements {
        let rules = rules.into_iter().map(|(meter, rule)| (meter.to_owned(), rule));
        self.client_with(on_outage, rules.collect())
    }

    fn client_with(
        &self,
        on_outage: OnOutage,
        rules: HashMap<String, UsageOutage>,
    ) -> Entitlements {
        let asked = self.server();
        let clock = Clock::Manual(self.clock.clone());
        let core = Core::new(Arc::new(asked), on_outage, CAPACITY, clock);
        let core = Arc::new(core.with_usage_outage(rules));
        if !self.known.is_dark.load(Ordering::SeqCst) {
            open(&core);
        }
        self.clients.lock().push(Arc::downgrade(&core));
        Entitlements::of(core, Watching::nobody(true))
    }

    /// What its clients ask.
    fn server(&self) -> Asked {
        Asked { clock: self.clock.clone(), known: Arc::clone(&self.known) }
    }

    /// There is such a tenant. One that is only allowed or denied something is active, and named
    /// after its id.
    pub fn tenant(&self, tenant: Tenant) {
        let id = tenant.id;
        self.change(id, |facts| facts.tenant = tenant.into());
    }

    /// A bearer token vouches for this tenant.
    pub fn token(&self, token: &str, tenant: Uuid) {
        self.known.tokens.lock().insert(token.to_owned(), Token { tenant, expires_at: NEVER });
    }

    /// A bearer token vouches for this tenant until it expires.
    pub fn token_until(&self, token: &str, tenant: Uuid, end: DateTime<Utc>) {
        let token_is = Token { tenant, expires_at: end.timestamp_micros() };
        self.known.tokens.lock().insert(token.to_owned(), token_is);
    }

    /// The tenant may use the module.
    pub fn allow(&self, tenant: Uuid, module: &str) {
        self.change(tenant, |facts| {
            _ = facts.modules.insert(module.to_owned(), Grant::Until(NEVER));
        });
    }

    /// It may use it up to an instant, and from then on its subscription has expired.
    pub fn allow_until(&self, tenant: Uuid, module: &str, end: DateTime<Utc>) {
        let right = Grant::Until(end.timestamp_micros());
        self.change(tenant, |facts| _ = facts.modules.insert(module.to_owned(), right));
    }

    /// It may not use it, for this reason. Without a word, a module is denied as not subscribed.
    pub fn deny(&self, tenant: Uuid, module: &str, reason: Reason) {
        self.change(tenant, |facts| {
            _ = facts.modules.insert(module.to_owned(), Grant::Never(reason));
        });
    }

    /// The feature is on for the tenant, without a value. Whether the tenant may use the module is
    /// another question. A feature that nothing was said about does not exist.
    pub fn switch_on(&self, tenant: Uuid, module: &str, key: &str) {
        self.switch(tenant, (module, key), Switch { is_on: true, value: None });
    }

    /// It is on, and set to this.
    pub fn switch_on_with(&self, tenant: Uuid, module: &str, key: &str, value: impl Into<Value>) {
        let value = Some(value.into());
        self.switch(tenant, (module, key), Switch { is_on: true, value });
    }

    /// It is off.
    pub fn switch_off(&self, tenant: Uuid, module: &str, key: &str) {
        self.switch(tenant, (module, key), Switch { is_on: false, value: None });
    }

    fn switch(&self, tenant: Uuid, (module, key): (&str, &str), switch: Switch) {
        let name = (module.to_owned(), key.to_owned());
        self.change(tenant, |facts| _ = facts.features.insert(name, switch));
    }

    /// The tenant has this limit; `None`: it is unlimited. Without a word it has none of `users` and
    /// `transactions_monthly`, and other limits do not exist.
    pub fn limit(&self, tenant: Uuid, key: &str, limit: Option<i64>) {
        self.change(tenant, |facts| _ = facts.limits.insert(key.to_owned(), limit));
    }

    /// The same of a limit of your own that counts what comes in a month, as `transactions_monthly`
    /// does. The double's months are those of UTC.
    pub fn limit_monthly(&self, tenant: Uuid, key: &str, limit: Option<i64>) {
        self.change(tenant, |facts| {
            facts.monthly.insert(key.to_owned());
            _ = facts.limits.insert(key.to_owned(), limit);
        });
    }

    /// Are limits enforced? Without a word, they are.
    pub fn enforce_limits(&self, enforcement: LimitEnforcement) {
        *self.known.enforcement.lock() = enforcement;
        if !self.known.is_dark.load(Ordering::SeqCst) {
            self.each_client(|core| hear(core, Event::CatalogueChanged { revision: 0 }));
        }
    }

    /// The server cannot be asked any more, and the stream of changes breaks.
    pub fn go_dark(&self) {
        self.known.is_dark.store(true, Ordering::SeqCst);
        self.each_client(|core| lose(core, "the double is dark"));
    }

    /// The server is back.
    pub fn come_back(&self) {
        self.known.is_dark.store(false, Ordering::SeqCst);
        self.each_client(open);
    }

    /// Time passes, and while the server is there it says so.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        if !self.known.is_dark.load(Ordering::SeqCst) {
            self.each_client(|core| hear(core, Event::Heartbeat { lag: 0, unproven: false }));
        }
    }

    /// What the clock shows.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(Clock::Manual(self.clock.clone()).now()).unwrap_or_default()
    }

    /// How many questions the server was asked.
    pub fn questions(&self) -> usize {
        self.known.questions.load(Ordering::SeqCst)
    }

    /// As a server that was restored from a backup, or did not hear of them for 35 days.
    #[cfg(test)]
    pub(crate) fn forget_producers(&self) {
        self.known.usage.lock().forget_producers();
    }

    fn change(&self, tenant: Uuid, change: impl FnOnce(&mut Facts)) {
        let revision = {
            let mut tenants = self.known.tenants.lock();
            let facts = tenants.entry(tenant).or_insert_with(|| Facts::named_after(tenant));
            change(facts);
            facts.revision += 1;
            facts.revision
        };
        if !self.known.is_dark.load(Ordering::SeqCst) {
            self.each_client(|core| hear(core, Event::TenantChanged { tenant, revision }));
        }
    }

    fn each_client(&self, tell: impl Fn(&Core)) {
        let mut clients = self.clients.lock();
        clients.retain(|client| client.strong_count() > 0);
        clients.iter().filter_map(Weak::upgrade).for_each(|core| tell(&core));
    }
}
