//! What the service does with a request: it takes domain types, asks the cache or the database, and
//! decides.
//!
//! `grpc` stands between these and the wire.

pub(crate) mod admin;
mod cache_hint;
mod caller;
mod check;
mod core;
mod decision_records;
mod error;
mod explain;
mod feature;
pub(crate) mod forward_auth;
pub(crate) mod gateway;
pub(crate) mod grpc;
mod limit;
mod metrics;
mod peer;
mod replication;
mod request_id;
mod resolve;
mod signed_lease;
mod stream_places;
mod stream_rights;
mod tenants;
mod trace;
mod usage;
mod watch;

use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;

pub(crate) use self::{
    cache_hint::MaxAges,
    caller::CallerGate,
    core::Core,
    grpc::{Limited, convert::fuzz_requests},
    metrics::Metrics,
    peer::{Peer, Presence},
    replication::Hub,
    stream_places::StreamPlaces,
    trace::Tracer,
    watch::{ConnectionStage, Ending},
};
use self::{error::RequestError, gateway::Gateway};
use crate::{
    cache::Cache,
    clock::Clock,
    domain::{BaseDomains, LimitEnforcement},
    observability::decision_log::DecisionLog,
    security::{lease_keys::LeaseIssuer, token::Tokens},
    store::Store,
    upstream::Origin,
    usage::Usage,
};

/// The database, for what it takes one for.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    /// For questions past the cache.
    pub store: Arc<Store>,
    /// What counts usage.
    pub usage: Usage,
}

/// Everything that an answer is made from.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    /// The facts and the catalogue.
    pub cache: Cache<Origin>,
    /// The database itself; `None`: this is an edge, which has none.
    pub database: Option<Database>,
    /// What instances without a database follow.
    pub hub: Hub,
    /// The limit on those.
    pub followers: StreamPlaces,
    /// The keys that verify bearer tokens.
    pub tokens: Arc<Tokens>,
    /// Which hosts name tenants.
    pub hosts: Arc<BaseDomains>,
    /// How long callers may keep answers.
    pub ages: MaxAges,
    /// What is done about limits.
    pub limits: LimitEnforcement,
    /// Where months begin, of tenants that have no time zone of their own, and nights.
    pub zone: Tz,
    /// How far back what was used is accepted.
    pub accept_late: TimeDelta,
    /// May nobody ask but who is known, or on this machine? Otherwise what writes, signs, or sends all
    /// that is known, is closed.
    pub is_guarded: bool,
    /// What signs leases; `None`: none are issued.
    pub lease_issuer: Option<Arc<LeaseIssuer>>,
    /// The callers that may ask.
    pub callers: CallerGate,
    /// The limit on watchers.
    pub watchers: StreamPlaces,
    /// The limit on streams that record usage.
    pub recorders: StreamPlaces,
    pub clock: Clock,
    /// The rules for HTTP requests that proxies ask about.
    pub gateway: Arc<Gateway>,
    /// The decision log, if there is one.
    pub decision_log: Option<DecisionLog>,
    /// The choice of requests that are traced.
    pub tracer: Tracer,
    /// The counters of requests.
    pub metrics: Arc<Metrics>,
}

impl Api {
    /// The database, for what it takes one for.
    fn database(&self) -> Result<&Database, RequestError> {
        self.database.as_ref().ok_or(RequestError::NeedsDatabase)
    }
}
