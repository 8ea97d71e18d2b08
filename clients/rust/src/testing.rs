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
//! double.go_dark();
//! assert!(entitlements.check(tenant, "hrms").await.unwrap().by_outage_rule());
//! # }) }
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::{
    future::{BoxFuture, FutureExt, ready},
    stream::{BoxStream, StreamExt, pending},
};
use parking_lot::Mutex;
use tonic::Status;
use uuid::Uuid;

use crate::{
    Answer, Entitlements, Module, OnOutage, Reason, Resolved, Tenant, TenantSource, TenantStatus,
    answer::Words,
    ask::{Ask, Event, Judged, OwnedCredentials},
    clock::{ALWAYS, Clock, Micros, NEVER, micros},
    convert::absent,
    core::Core,
    list::{List, Right, Rights, Told, tag},
    watch::{Watching, hear, lose},
};

pub use crate::clock::ManualClock;

/// As the real server's `--max-age` and `--denial-max-age`.
const MAX_AGE: Duration = Duration::from_secs(30);
const DENIAL_MAX_AGE: Duration = Duration::from_secs(5);
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

#[derive(Debug, Default)]
struct Known {
    tenants: Mutex<HashMap<Uuid, Facts>>,
    tokens: Mutex<HashMap<String, Uuid>>,
    is_dark: AtomicBool,
    questions: AtomicUsize,
}

#[derive(Clone, Debug)]
struct Facts {
    tenant: Arc<Tenant>,
    modules: BTreeMap<String, Grant>,
    revision: u64,
}

#[derive(Clone, Copy, Debug)]
enum Grant {
    Until(Micros),
    Never(Reason),
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
        let asked = Asked { clock: self.clock.clone(), known: Arc::clone(&self.known) };
        let core = Arc::new(Core::new(
            Arc::new(asked),
            on_outage,
            CAPACITY,
            Clock::Manual(self.clock.clone()),
        ));
        if !self.known.is_dark.load(Ordering::SeqCst) {
            hear(&core, Event::Opened);
        }
        self.clients.lock().push(Arc::downgrade(&core));
        Entitlements::of(core, Watching::nobody(true))
    }

    /// There is such a tenant. One that is only allowed or denied something is active, and named
    /// after its id.
    pub fn tenant(&self, tenant: Tenant) {
        let id = tenant.id;
        self.change(id, |facts| facts.tenant = tenant.into());
    }

    /// A bearer token vouches for this tenant.
    pub fn token(&self, token: &str, tenant: Uuid) {
        self.known.tokens.lock().insert(token.to_owned(), tenant);
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

    /// The server cannot be asked any more, and the stream of changes breaks.
    pub fn go_dark(&self) {
        self.known.is_dark.store(true, Ordering::SeqCst);
        self.each_client(lose);
    }

    /// The server is back.
    pub fn come_back(&self) {
        self.known.is_dark.store(false, Ordering::SeqCst);
        self.each_client(|core| hear(core, Event::Opened));
    }

    /// Time passes, and while the server is there it says so.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        if !self.known.is_dark.load(Ordering::SeqCst) {
            self.each_client(|core| hear(core, Event::Heartbeat { lag: 0 }));
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

impl Facts {
    fn named_after(id: Uuid) -> Self {
        let name = id.simple().to_string();
        let tenant = Tenant {
            id,
            database_schema: format!("tenant_{name}"),
            subdomain: name.clone(),
            name,
            status: TenantStatus::Active,
            plan_slug: String::new(),
        };
        Self { tenant: tenant.into(), modules: BTreeMap::new(), revision: 0 }
    }

    fn told(&self, max_age: Duration, valid_until: Micros, now: Micros) -> Told {
        Told {
            revision: self.revision,
            as_of: now,
            valid_until,
            max_age: micros(max_age),
            stale: false,
        }
    }

    fn denial(&self) -> Option<Reason> {
        match self.tenant.status {
            TenantStatus::Active | TenantStatus::Pending => None,
            TenantStatus::Suspended => Some(Reason::TenantSuspended),
            TenantStatus::Cancelled => Some(Reason::TenantCancelled),
            TenantStatus::PendingSetup | TenantStatus::Failed | TenantStatus::Other => {
                Some(Reason::TenantNotServed)
            }
        }
    }

    fn list(&self, now: Micros) -> List {
        let of = |(code, right): (&String, &Grant)| match right {
            Grant::Until(end) if now < *end && self.denial().is_none() => Some(listed(code, *end)),
            Grant::Until(_) | Grant::Never(_) => None,
        };
        let rights: Rights = self.modules.iter().filter_map(of).collect();
        let next_change = rights.iter().map(|right| right.valid_until).min().unwrap_or(NEVER);
        List {
            rights: Some(rights),
            status: self.tenant.status,
            told: self.told(MAX_AGE, next_change, now),
        }
    }

    fn judge(&self, module: &str, now: Micros) -> (Reason, Micros) {
        match (self.denial(), self.modules.get(module)) {
            (Some(reason), _) | (None, Some(&Grant::Never(reason))) => (reason, NEVER),
            (None, Some(&Grant::Until(end))) if now < end => (Reason::Enabled, end),
            (None, Some(Grant::Until(_))) => (Reason::SubscriptionExpired, NEVER),
            (None, None) => (Reason::NotSubscribed, NEVER),
        }
    }
}

fn listed(code: &str, end: Micros) -> Right {
    let module = Module {
        code: code.to_owned(),
        name: code.to_owned(),
        category: String::new(),
        display_order: 0,
        is_base_module: false,
        sections: Vec::new(),
        frontend_routes: Vec::new(),
    };
    Right {
        tag: tag(code),
        module: module.into(),
        starts_at: ALWAYS,
        valid_until: end,
        expires_at: end,
        trial_ends_at: NEVER,
        is_trial: false,
    }
}

/// The double as its clients see it.
#[derive(Debug)]
struct Asked {
    clock: ManualClock,
    known: Arc<Known>,
}

impl Asked {
    fn now(&self) -> Result<Micros, Status> {
        if self.known.is_dark.load(Ordering::SeqCst) {
            return Err(Status::unavailable("the double is dark"));
        }
        self.known.questions.fetch_add(1, Ordering::SeqCst);
        Ok(Clock::Manual(self.clock.clone()).now())
    }

    fn facts(&self, tenant: Uuid, min_revision: u64) -> Result<Option<Facts>, Status> {
        let facts = self.known.tenants.lock().get(&tenant).cloned();
        match facts {
            Some(facts) if facts.revision < min_revision => {
                Err(Status::unavailable("not that fresh"))
            }
            facts => Ok(facts),
        }
    }

    fn list_now(&self, tenant: Uuid, min_revision: u64) -> Result<List, Status> {
        let now = self.now()?;
        Ok(self.facts(tenant, min_revision)?.map_or_else(absent, |facts| facts.list(now)))
    }

    fn check_now(&self, tenant: Uuid, module: &str, min_revision: u64) -> Result<Judged, Status> {
        let now = self.now()?;
        let facts = self.facts(tenant, min_revision)?;
        let (reason, valid_until) = facts
            .as_ref()
            .map_or((Reason::TenantNotFound, NEVER), |facts| facts.judge(module, now));
        let allowed = reason == Reason::Enabled;
        let answer = Answer {
            allowed,
            reason,
            stale: false,
            by_outage_rule: false,
            revision: facts.map_or(0, |facts| facts.revision),
            as_of: now,
            valid_until,
            words: (!allowed).then(|| {
                Words { message: sentence(reason, module), plan_slugs: Vec::new() }.into()
            }),
        };
        Ok(Judged { answer, max_age: micros(if allowed { MAX_AGE } else { DENIAL_MAX_AGE }) })
    }

    fn resolve_now(&self, credentials: &OwnedCredentials) -> Result<(Resolved, Told), Status> {
        let now = self.now()?;
        let [by_token, by_id, by_host] = self.named(credentials)?;
        let (id, source) = by_token
            .map(|id| (id, TenantSource::BearerToken))
            .or(by_id.map(|id| (id, TenantSource::TenantId)))
            .or(by_host.map(|id| (id, TenantSource::Host)))
            .ok_or_else(|| Status::not_found("nothing names a tenant"))?;
        if [by_token, by_id, by_host].into_iter().flatten().any(|other| other != id) {
            return Err(Status::permission_denied(
                "token, id and host do not name the same tenant",
            ));
        }
        let facts =
            self.facts(id, 0)?.ok_or_else(|| Status::not_found("there is no such tenant"))?;
        if let Some(reason) = facts.denial() {
            return Err(Status::permission_denied(sentence(reason, "")));
        }
        let told = facts.told(MAX_AGE, NEVER, now);
        Ok((Resolved { tenant: facts.tenant, source, verified: by_token.is_some() }, told))
    }

    /// Whom the token, the id and the host name.
    fn named(&self, credentials: &OwnedCredentials) -> Result<[Option<Uuid>; 3], Status> {
        let OwnedCredentials { tenant_id, host, bearer_token } = credentials;
        if tenant_id.is_empty() && host.is_empty() && bearer_token.is_empty() {
            return Err(Status::invalid_argument("tenant_id, host and bearer_token are all empty"));
        }
        let by_id = match tenant_id.as_str() {
            "" => None,
            text => Some(
                text.parse().map_err(|_| Status::invalid_argument("tenant_id is not a UUID"))?,
            ),
        };
        let token = bearer_token.strip_prefix("Bearer ").unwrap_or(bearer_token);
        let by_token = match token {
            "" => None,
            token => {
                let known = self.known.tokens.lock().get(token).copied();
                Some(known.ok_or_else(|| Status::unauthenticated("the token is not valid"))?)
            }
        };
        let label = host.split('.').next().filter(|_| host.contains('.'));
        let tenants = self.known.tenants.lock();
        let by_host =
            label.and_then(|label| tenants.values().find(|facts| facts.tenant.subdomain == label));
        Ok([by_token, by_id, by_host.map(|facts| facts.tenant.id)])
    }

    fn authorize_now(
        &self,
        credentials: &OwnedCredentials,
        modules: &[String],
    ) -> Result<(Resolved, Told, Judged), Status> {
        let (resolved, told) = self.resolve_now(credentials)?;
        let mut judged = modules.iter().map(|module| self.check_now(resolved.tenant.id, module, 0));
        let first =
            judged.next().unwrap_or_else(|| Err(Status::invalid_argument("no module is named")))?;
        if first.answer.allowed {
            return Ok((resolved, told, first));
        }
        let allowed = judged.find_map(|judged| judged.ok().filter(|judged| judged.answer.allowed));
        Ok((resolved, told, allowed.unwrap_or(first)))
    }
}

impl Ask for Asked {
    fn list(&self, tenant: Uuid, min_revision: u64) -> BoxFuture<'static, Result<List, Status>> {
        ready(self.list_now(tenant, min_revision)).boxed()
    }

    fn check(
        &self,
        tenant: Uuid,
        module: &str,
        min_revision: u64,
    ) -> BoxFuture<'static, Result<Judged, Status>> {
        ready(self.check_now(tenant, module, min_revision)).boxed()
    }

    fn resolve(
        &self,
        credentials: OwnedCredentials,
    ) -> BoxFuture<'static, Result<(Resolved, Told), Status>> {
        ready(self.resolve_now(&credentials)).boxed()
    }

    fn authorize(
        &self,
        credentials: OwnedCredentials,
        modules: Vec<String>,
    ) -> BoxFuture<'static, Result<(Resolved, Told, Judged), Status>> {
        ready(self.authorize_now(&credentials, &modules)).boxed()
    }

    fn watch(
        &self,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Result<Event, Status>>, Status>> {
        ready(Ok(pending().boxed())).boxed()
    }
}

/// As the real server puts it.
fn sentence(reason: Reason, module: &str) -> String {
    match reason {
        Reason::NotSubscribed => {
            format!(
                "Module '{module}' is not enabled for your account. Please upgrade your subscription."
            )
        }
        Reason::SubscriptionExpired => {
            format!(
                "Your subscription to module '{module}' has expired. Please renew your subscription."
            )
        }
        Reason::TenantSuspended => "Your account is suspended. Please contact support.".to_owned(),
        other => format!("Module '{module}' may not be used: {other}."),
    }
}
