//! Which administrators may ask: their tokens, and a limit on unknown ones.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, header::AUTHORIZATION};
use moka::{ops::compute::Op, sync::Cache};

use super::AdminApi;
use crate::{
    domain::{ActorName, Role, limits::MAX_FAILURES_A_MINUTE},
    observability::log_limiter::{LogLimiter, log_limited},
    security::{admin_tokens::AdminTokens, bearer::bearer_in},
    service::{Peer, admin::error::AdminError},
};

/// The number of addresses whose failures are counted. With more, the oldest are forgotten.
const MAX_ADDRESSES: u64 = 10_000;

static NOT_ALLOWED: LogLimiter = LogLimiter::new();
static UNKNOWN: LogLimiter = LogLimiter::new();

/// The tokens that are currently valid. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct AdminGate {
    tokens: Arc<ArcSwap<AdminTokens>>,
    failures: Cache<Option<IpAddr>, Failures>,
}

/// The failures of one address, in the minute that begins with the first.
#[derive(Clone, Copy, Debug)]
struct Failures {
    since: DateTime<Utc>,
    count: u32,
}

impl AdminGate {
    /// Admits the holders of these tokens.
    pub(crate) fn new(tokens: AdminTokens) -> Self {
        Self {
            tokens: Arc::new(ArcSwap::from_pointee(tokens)),
            failures: Cache::new(MAX_ADDRESSES),
        }
    }

    /// From now on, these tokens and no others.
    pub(crate) fn replace(&self, tokens: AdminTokens) {
        self.tokens.store(Arc::new(tokens));
    }

    /// Counts a failure, and returns whether it is one too many.
    ///
    /// The limit keeps the log readable. Nobody guesses 256 random bits, so a known token is
    /// admitted regardless: otherwise anybody behind the operators' own address could lock them
    /// out.
    fn fail(&self, peer: Option<IpAddr>, now: DateTime<Utc>) -> bool {
        let one_more = |before: Option<moka::Entry<_, Failures>>| {
            let before = before
                .map(moka::Entry::into_value)
                .filter(|before| now - before.since < TimeDelta::minutes(1));
            let Failures { since, count } = before.unwrap_or(Failures { since: now, count: 0 });
            Op::Put(Failures { since, count: count.saturating_add(1) })
        };
        let counted = self.failures.entry(peer).and_compute_with(one_more).into_entry();
        counted.is_some_and(|counted| counted.into_value().count > MAX_FAILURES_A_MINUTE)
    }
}

/// An administrator who was identified by a token.
#[derive(Clone, Debug)]
pub(in crate::service) struct Administrator {
    pub(in crate::service) name: ActorName,
    pub(in crate::service) role: Role,
}

impl AdminApi {
    /// The holder of a request's token.
    pub(in crate::service) fn identify(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<Administrator, AdminError> {
        let tokens = self.gate.tokens.load();
        let token = bearer_in(headers, &AUTHORIZATION).ok().flatten();
        let holder =
            token.and_then(|token| tokens.holder_of(token)).ok_or_else(|| self.unknown(peer))?;
        Ok(Administrator { name: holder.name.clone(), role: holder.role })
    }

    fn unknown(&self, peer: &Peer) -> AdminError {
        if self.gate.fail(peer.address, self.core.api.clock.now()) {
            return AdminError::TooManyFailures;
        }
        let from = peer.address.map_or("a local socket".to_owned(), |address| address.to_string());
        log_limited!(UNKNOWN, warn, %from, "an administrator's token is missing or not known, from {from}");
        AdminError::Unauthenticated
    }
}

impl Administrator {
    /// Refuses what this administrator's role does not allow.
    pub(in crate::service) fn may(&self, needed: Role) -> Result<(), AdminError> {
        let Self { name, role } = self;
        if *role >= needed {
            return Ok(());
        }
        log_limited!(NOT_ALLOWED, info, %name, %role, %needed, "{name} may not do this");
        Err(AdminError::NotAllowed(needed))
    }
}
