//! The caller: whether it may ask at all, and about what.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::{Extensions, HeaderMap, HeaderName, header::AUTHORIZATION};
use moka::sync::Cache;
use tokio::sync::watch;

use super::{Api, Peer};
use crate::{
    cache::Requester,
    domain::TenantId,
    observability::{
        log_limiter::{LogLimiter, log_limited},
        metrics::label,
    },
    security::{
        bearer::bearer_in,
        callers::{Caller, CallerService, Callers, Rate, TokenHash, hash_of},
    },
};

/// The number of addresses whose requests are counted. With more, the oldest are forgotten.
const MAX_ADDRESSES: u64 = 10_000;

/// The caller's token in forward auth, where `authorization` is the client's own.
pub(super) const CALLER_TOKEN: HeaderName = HeaderName::from_static("x-entitlement-caller");

/// The callers that may currently ask. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallerGate {
    callers: Option<Arc<ArcSwap<Callers>>>,
    addresses: Option<AddressRates>,
    changes: Arc<watch::Sender<()>>,
}

/// What a caller is identified by.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    /// The hash of a token.
    token: Option<TokenHash>,
    /// The names in a certificate.
    names: Arc<[String]>,
}

/// Rates of callers that are identified only by their address.
#[derive(Clone, Debug)]
struct AddressRates {
    rate: NonZeroU32,
    seen: Cache<IpAddr, Arc<Rate>>,
}

/// Why a caller may not ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotAdmitted {
    /// Neither certificate nor token belongs to a known caller.
    Unknown,
    /// This caller may not use the service, or may not ask about the tenant, the module, or all
    /// tenants.
    NotAllowed(Scope),
    /// Too many requests: how long to wait.
    TooMany(Duration),
}

/// What a caller is not allowed to use or ask about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// This service.
    Service,
    /// This tenant.
    Tenant,
    /// This module.
    Module,
    /// All tenants.
    Enumeration,
}

label! {
    /// The kinds of refusals that are counted.
    pub(crate) enum NotAdmittedKind {
        /// The caller is not known.
        Unknown => "unknown",
        /// Too many requests.
        Rate => "rate",
        /// Not one of the caller's services.
        Service => "service",
        /// Not one of its tenants.
        Tenant => "tenant",
        /// Not one of its modules.
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
    /// The credentials of a request, kept so that they can be checked again while it lasts.
    pub(super) fn of(peer: &Peer, headers: &HeaderMap) -> Self {
        let token = bearer_in(headers, &AUTHORIZATION).ok().flatten().map(hash_of);
        Self { token, names: Arc::clone(&peer.names) }
    }
}

impl CallerGate {
    /// Admits these callers (`None`: everybody), and limits the rate in requests per second of
    /// those that are identified only by their address.
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

    /// Resolves when the set of callers has changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The caller with these credentials now; `None`: anybody may ask.
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

    /// May anybody ask, without a rate limit?
    pub(super) fn is_open(&self) -> bool {
        self.callers.is_none() && self.addresses.is_none()
    }

    /// The caller of a request; `None`: anybody may ask.
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
        // A token is more specific than a certificate, which a whole machine may share. An unknown
        // token is a mistake.
        let caller = match bearer_in(headers, header).map_err(|_| NotAdmitted::Unknown)? {
            Some(token) => callers.by_token(token),
            None => callers.by_names(&peer.names),
        };
        let caller = allowed(caller, service)?;
        caller.take_turn().map_err(NotAdmitted::TooMany)?;
        Ok(Some(Arc::clone(caller)))
    }

    /// The tenant that a certificate identifies which a proxy has verified.
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

/// A customer can choose among at least a /64 of IPv6 addresses (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// The caller, and so what it may ask about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CallerIdentity<'a>(Option<&'a Caller>);

impl<'a> CallerIdentity<'a> {
    pub(super) fn new(caller: Option<&'a Caller>) -> Self {
        Self(caller)
    }

    /// The caller of the request with these extensions. The front has put it there.
    pub(super) fn of(extensions: &'a Extensions) -> Self {
        Self(extensions.get().map(|caller: &Arc<Caller>| &**caller))
    }

    /// May it ask about this module? Other modules are left out of lists.
    pub(super) fn may_ask_of(self, module: &str) -> bool {
        self.0.is_none_or(|caller| caller.may_ask_of(module))
    }

    /// Whose turn a read that bypasses the cache takes. Callers without names share one.
    pub(super) fn requester(self) -> Requester {
        Requester::called(self.name())
    }

    /// The caller's name; empty if callers have no names.
    pub(super) fn name(self) -> &'a str {
        self.0.map_or("", |caller| caller.name.as_str())
    }
}

static NOT_ALLOWED: LogLimiter = LogLimiter::new();

impl Api {
    /// Refuses a question about a tenant that the caller may not ask about. `None`: the tenant is
    /// not known, or there is none.
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

    /// Refuses a question about all tenants, if the caller may not ask about all.
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
