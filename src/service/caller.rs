//! Who asks: whether they may at all, and about whom.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::{Extensions, HeaderMap, HeaderName, header::AUTHORIZATION};
use moka::sync::Cache;
use tokio::sync::watch;

use super::{Api, Peer};
use crate::{
    cache::Requester,
    domain::TenantId,
    observability::log_limiter::{LogLimiter, log_limited},
    observability::metrics::label,
    security::bearer::bearer_in,
    security::callers::{Caller, CallerService, Callers, Rate, TokenHash, hash_of},
};

/// Addresses whose requests are counted. With more at once the oldest are forgotten.
const MAX_ADDRESSES: u64 = 10_000;

/// In forward auth, `authorization` is the client's own.
pub(super) const CALLER_TOKEN: HeaderName = HeaderName::from_static("x-entitlement-caller");

/// Who may ask, as it is at the moment. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallerGate {
    callers: Option<Arc<ArcSwap<Callers>>>,
    addresses: Option<AddressRates>,
    changes: Arc<watch::Sender<()>>,
}

/// By what somebody is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    /// The hash of a token.
    token: Option<TokenHash>,
    /// The names in a certificate.
    names: Arc<[String]>,
}

/// Those who are known by nothing but their address.
#[derive(Clone, Debug)]
struct AddressRates {
    rate: NonZeroU32,
    seen: Cache<IpAddr, Arc<Rate>>,
}

/// Why somebody may not ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotAdmitted {
    /// Neither certificate nor token is a known caller's.
    Unknown,
    /// It is not for this caller: the service, the tenant, the module, or all tenants.
    NotAllowed(Scope),
    /// Too many requests: how long to wait.
    TooMany(Duration),
}

/// What a caller has gone beyond.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// The service.
    Service,
    /// The tenant.
    Tenant,
    /// The module.
    Module,
    /// All tenants.
    Enumeration,
}

label! {
    /// What a refusal is counted as.
    pub(crate) enum NotAdmittedKind {
        /// No known caller's.
        Unknown => "unknown",
        /// Too many requests.
        Rate => "rate",
        /// Beyond the caller's services.
        Service => "service",
        /// Beyond its tenants.
        Tenant => "tenant",
        /// Beyond its modules.
        Module => "module",
        /// It may not ask about all tenants.
        Enumeration => "enumeration",
    }
}

impl NotAdmitted {
    fn kind(self) -> NotAdmittedKind {
        match self {
            Self::Unknown => NotAdmittedKind::Unknown,
            Self::TooMany(_) => NotAdmittedKind::Rate,
            Self::NotAllowed(Scope::Service) => NotAdmittedKind::Service,
            Self::NotAllowed(Scope::Tenant) => NotAdmittedKind::Tenant,
            Self::NotAllowed(Scope::Module) => NotAdmittedKind::Module,
            Self::NotAllowed(Scope::Enumeration) => NotAdmittedKind::Enumeration,
        }
    }
}

impl Credentials {
    /// What a request shows, to be looked at again for as long as it lasts.
    pub(super) fn of(peer: &Peer, headers: &HeaderMap) -> Self {
        let token = bearer_in(headers, &AUTHORIZATION).ok().flatten().map(hash_of);
        Self { token, names: Arc::clone(&peer.names) }
    }
}

impl CallerGate {
    /// Admits these callers (`None`: everybody), and of those who are known by their address alone
    /// so many requests a second.
    pub(crate) fn new(callers: Option<Callers>, rate: Option<NonZeroU32>) -> Self {
        let addresses = rate.filter(|_| callers.is_none());
        let addresses =
            addresses.map(|rate| AddressRates { rate, seen: Cache::new(MAX_ADDRESSES) });
        let callers = callers.map(|callers| Arc::new(ArcSwap::from_pointee(callers)));
        Self { callers, addresses, changes: Arc::default() }
    }

    /// From now on, these callers and no others.
    pub(crate) fn replace(&self, callers: Callers) {
        if let Some(current) = &self.callers {
            current.store(Arc::new(callers));
            self.changes.send_replace(());
        }
    }

    /// Tells when who may ask has changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Who is known by this now; `None`: somebody of whom nothing is asked.
    pub(super) fn known_by(
        &self,
        credentials: &Credentials,
    ) -> Result<Option<Arc<Caller>>, NotAdmitted> {
        let Some(callers) = &self.callers else { return Ok(None) };
        let callers = callers.load();
        let caller = match &credentials.token {
            Some(hash) => callers.by_hash(hash),
            None => callers.by_names(&credentials.names),
        };
        allowed(caller, CallerService::Entitlement).cloned().map(Some)
    }

    /// Is there anything to be asked of those who come?
    pub(super) fn is_open(&self) -> bool {
        self.callers.is_none() && self.addresses.is_none()
    }

    /// Who asks; `None`: somebody of whom nothing is asked.
    pub(super) fn admit(
        &self,
        service: CallerService,
        peer: &Peer,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Caller>>, NotAdmitted> {
        let Some(callers) = &self.callers else {
            return self
                .addresses
                .as_ref()
                .map_or(Ok(()), |addresses| addresses.take_turn(peer))
                .map(|()| None);
        };
        let callers = callers.load();
        let header =
            if service == CallerService::ForwardAuth { &CALLER_TOKEN } else { &AUTHORIZATION };
        // A token says more than a certificate, which a whole machine may share. One that nobody
        // knows is a mistake.
        let caller = match bearer_in(headers, header).map_err(|_| NotAdmitted::Unknown)? {
            Some(token) => callers.by_token(token),
            None => callers.by_names(&peer.names),
        };
        let caller = allowed(caller, service)?;
        caller.take_turn().map_err(NotAdmitted::TooMany)?;
        Ok(Some(Arc::clone(caller)))
    }

    /// The tenant that a certificate names which a proxy has verified.
    pub(super) fn vouched_for(&self, principal: &str) -> Option<TenantId> {
        self.callers.as_ref()?.load().by_name(principal)?.vouches_for
    }
}

impl AddressRates {
    fn take_turn(&self, peer: &Peer) -> Result<(), NotAdmitted> {
        let Some(address) = peer.address.map(network) else { return Ok(()) };
        let rate = self.seen.get_with(address, || Arc::new(Rate::new(self.rate)));
        rate.take_turn().map_err(NotAdmitted::TooMany)
    }
}

fn allowed(
    caller: Option<&Arc<Caller>>,
    service: CallerService,
) -> Result<&Arc<Caller>, NotAdmitted> {
    let caller = caller.ok_or(NotAdmitted::Unknown)?;
    if caller.may_use(service) { Ok(caller) } else { Err(NotAdmitted::NotAllowed(Scope::Service)) }
}

/// Of IPv6, one customer has at least a /64 to choose addresses from (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// Who asks, and so what they may ask about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CallerIdentity<'a>(Option<&'a Caller>);

impl<'a> CallerIdentity<'a> {
    pub(super) fn new(caller: Option<&'a Caller>) -> Self {
        Self(caller)
    }

    /// Who has asked for what these belong to. The front has put them there.
    pub(super) fn of(extensions: &'a Extensions) -> Self {
        Self(extensions.get().map(|caller: &Arc<Caller>| &**caller))
    }

    /// May it ask about this module? What it may not ask about is left out of lists.
    pub(super) fn may_ask_of(self, module: &str) -> bool {
        self.0.is_none_or(|caller| caller.may_ask_of(module))
    }

    /// Whose turn a reading past the cache is. Those who have no names are one.
    pub(super) fn requester(self) -> Requester {
        Requester::called(self.name())
    }

    /// The caller's name; empty where callers have none.
    pub(super) fn name(self) -> &'a str {
        self.0.map_or("", |caller| caller.name.as_str())
    }
}

static NOT_ALLOWED: LogLimiter = LogLimiter::new();

impl Api {
    /// Refuses a question about a tenant that the caller may not ask about. `None`: it is not known
    /// which, or there is none.
    pub(super) fn permit_tenant(
        &self,
        caller: CallerIdentity<'_>,
        tenant: Option<TenantId>,
    ) -> Result<(), NotAdmitted> {
        let may = |caller: &Caller| {
            tenant.map_or(caller.may_ask_about_all(), |tenant| caller.may_ask_about(tenant))
        };
        self.permit_if(caller, may, Scope::Tenant)
    }

    /// Refuses a question about all tenants of a caller who may not ask about all.
    pub(super) fn permit_enumeration(&self, caller: CallerIdentity<'_>) -> Result<(), NotAdmitted> {
        self.permit_if(caller, Caller::may_ask_about_all, Scope::Enumeration)
    }

    /// Refuses a question about modules that the caller may not ask about.
    pub(super) fn permit_modules<'m>(
        &self,
        caller: CallerIdentity<'_>,
        mut modules: impl Iterator<Item = &'m str>,
    ) -> Result<(), NotAdmitted> {
        self.permit_if(
            caller,
            |caller| modules.all(|module| caller.may_ask_of(module)),
            Scope::Module,
        )
    }

    fn permit_if(
        &self,
        CallerIdentity(caller): CallerIdentity<'_>,
        may: impl FnOnce(&Caller) -> bool,
        scope: Scope,
    ) -> Result<(), NotAdmitted> {
        let Some(caller) = caller.filter(|caller| !may(caller)) else { return Ok(()) };
        let name = &caller.name;
        log_limited!(NOT_ALLOWED, info, caller = %name, ?scope, "{name} asked for what it may not: {scope:?}");
        Err(self.counted(NotAdmitted::NotAllowed(scope)))
    }

    /// Counts a refusal.
    pub(super) fn counted(&self, refused: NotAdmitted) -> NotAdmitted {
        self.metrics.caller_refusals.add(refused.kind());
        refused
    }
}
