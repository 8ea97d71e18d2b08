//! The caller: whether it may ask at all, and about what.

mod identity;
mod not_admitted;

use std::{net::IpAddr, num::NonZeroU32, sync::Arc};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use moka::sync::Cache;
use tokio::sync::watch;

pub(super) use self::identity::CallerIdentity;
pub(crate) use self::not_admitted::NotAdmittedKind;
pub(super) use self::not_admitted::{NotAdmitted, Scope};
use super::Peer;
use crate::{
    domain::TenantId,
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

    /// The caller with these credentials now, that may use this service; `None`: anybody may.
    pub(super) fn known_by(
        &self,
        credentials: &Credentials,
        service: CallerService,
    ) -> Result<Option<Arc<Caller>>, NotAdmitted> {
        let Some(callers) = &self.callers else { return Ok(None) };
        let callers = callers.load();
        let caller = match &credentials.token {
            Some(hash) => callers.by_hash(hash),
            None => callers.by_names(&credentials.names),
        };
        allowed(caller, service).cloned().map(Some)
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
