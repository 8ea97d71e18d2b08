//! Asking the server: what a client needs from it, independent of how it is reached.

use std::fmt;

use futures_util::{
    future::{BoxFuture, FutureExt, ready},
    stream::BoxStream,
};
use prost_types::Timestamp;
use tonic::Status;
use uuid::Uuid;

use crate::{
    Answer, FeatureAnswer, IssuedLease, LeaseRequest, LimitDecision, Reconciled, Reservation,
    Reserve, Resolved,
    clock::Micros,
    limit::Wanted,
    list::{List, Told},
    usage::{Acquire, Granted, Message, Range, Settle, UsageHistory, UsageOutcome, UsageQuery},
};

/// What a request carries that may name a tenant. Anything may be missing.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct Credentials<'a> {
    /// The value of `X-Tenant-ID`; empty: none.
    pub tenant_id: &'a str,
    /// The value of `Host`, or `:authority`; empty: none.
    pub host: &'a str,
    /// The value of `Authorization`, with or without `Bearer `; empty: none.
    pub bearer_token: &'a str,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("tenant_id", &self.tenant_id)
            .field("host", &self.host)
            .field("has_bearer_token", &!self.bearer_token.is_empty())
            .finish()
    }
}

/// Owned [`Credentials`], to be sent.
#[derive(Clone)]
pub(crate) struct OwnedCredentials {
    pub(crate) tenant_id: String,
    pub(crate) host: String,
    pub(crate) bearer_token: String,
}

impl From<Credentials<'_>> for OwnedCredentials {
    fn from(Credentials { tenant_id, host, bearer_token }: Credentials<'_>) -> Self {
        Self { tenant_id: tenant_id.into(), host: host.into(), bearer_token: bearer_token.into() }
    }
}

/// A stream of changes. An error is its last.
pub(crate) type Events = BoxStream<'static, Result<Event, Status>>;

/// An event of the change stream.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Opened {
        /// How often heartbeats come; `None`: every 10 s, and silence is not told.
        heartbeat_interval: Option<Micros>,
    },
    TenantChanged {
        tenant: Uuid,
        revision: u64,
    },
    /// A module or a plan has changed, and so may any answer.
    CatalogueChanged {
        /// That of the catalogue from then on; 0: nobody knows.
        revision: u64,
    },
    /// Anything may have changed, and revisions may begin anew.
    Reset,
    Heartbeat {
        lag: Micros,
        /// The server does not hear from its database.
        unproven: bool,
    },
    /// The stream will end in a moment.
    Ending,
    /// Something changed by time alone, which the client's own clock covers.
    Nothing,
}

/// A list, and what it rests on beside the tenant's facts.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) list: List,
    /// 0: the server does not say.
    pub(crate) catalogue_revision: u64,
}

/// One that the server does not say this of.
impl From<List> for Listed {
    fn from(list: List) -> Self {
        Self { list, catalogue_revision: 0 }
    }
}

/// An answer, and how long it may be held.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) answer: Answer,
    pub(crate) max_age: Micros,
    /// 0: it does not rest on the catalogue, or the server does not say.
    pub(crate) catalogue_revision: u64,
}

/// The same about a feature.
#[derive(Clone, Debug)]
pub(crate) struct JudgedFeature {
    pub(crate) answer: FeatureAnswer,
    pub(crate) max_age: Micros,
    pub(crate) catalogue_revision: u64,
}

/// Whoever can answer: the server, or a test double.
pub(crate) trait Ask: fmt::Debug + Send + Sync + 'static {
    fn list(&self, tenant: Uuid, min_revision: u64) -> BoxFuture<'static, Result<Listed, Status>>;

    fn check(
        &self,
        tenant: Uuid,
        module: &str,
        min_revision: u64,
    ) -> BoxFuture<'static, Result<Judged, Status>>;

    /// A module's feature. A server that is older than features answers UNIMPLEMENTED.
    fn feature(
        &self,
        tenant: Uuid,
        names: (&str, &str),
        min_revision: u64,
    ) -> BoxFuture<'static, Result<JudgedFeature, Status>>;

    /// The same for limits.
    fn limit(
        &self,
        tenant: Uuid,
        key: &str,
        wanted: Wanted,
        min_revision: u64,
    ) -> BoxFuture<'static, Result<LimitDecision, Status>>;

    fn resolve(
        &self,
        credentials: OwnedCredentials,
    ) -> BoxFuture<'static, Result<(Resolved, Told), Status>>;

    fn authorize(
        &self,
        credentials: OwnedCredentials,
        modules: Vec<String>,
    ) -> BoxFuture<'static, Result<(Resolved, Told, Judged), Status>>;

    /// Takes so much of a limit. A server that is older than usage answers UNIMPLEMENTED.
    fn reserve(
        &self,
        tenant: Uuid,
        wanted: Reserve,
    ) -> BoxFuture<'static, Result<Reservation, Status>>;

    /// Gives back what a key of a meter took, or only what it holds still. How much that was.
    fn release(
        &self,
        tenant: Uuid,
        meter: &str,
        key: &str,
        only_held: bool,
    ) -> BoxFuture<'static, Result<i64, Status>>;

    /// Says which things there are in a range of a meter's keys, as they were read at an instant.
    fn reconcile(
        &self,
        tenant: Uuid,
        meter: &str,
        range: Range,
        as_of: Timestamp,
    ) -> BoxFuture<'static, Result<Reconciled, Status>>;

    /// Writes down what was used, and says what became of each event, in order.
    fn record(&self, message: Message) -> BoxFuture<'static, Result<Vec<UsageOutcome>, Status>> {
        drop(message);
        unknown()
    }

    /// What was used of a meter over time.
    fn query_usage(
        &self,
        tenant: Uuid,
        query: UsageQuery,
    ) -> BoxFuture<'static, Result<UsageHistory, Status>> {
        drop((tenant, query));
        unknown()
    }

    /// Takes a slice of a limit. The same id again is answered as the first time.
    fn acquire(&self, asked: Acquire) -> BoxFuture<'static, Result<Granted, Status>> {
        drop(asked);
        unknown()
    }

    /// Says what was spent of one.
    fn settle(&self, settled: Settle) -> BoxFuture<'static, Result<(), Status>> {
        drop(settled);
        unknown()
    }

    /// Has a lease signed.
    fn issue_lease(
        &self,
        tenant: Uuid,
        wanted: LeaseRequest,
        min_revision: u64,
    ) -> BoxFuture<'static, Result<IssuedLease, Status>> {
        drop((tenant, wanted, min_revision));
        ready(Err(Status::unimplemented("it signs no leases"))).boxed()
    }

    /// Where the server is, for log lines: any of these addresses.
    fn endpoint(&self) -> String;

    fn watch(&self) -> BoxFuture<'static, Result<Events, Status>>;
}

/// Whoever is older than usage over time.
fn unknown<T: Send + 'static>() -> BoxFuture<'static, Result<T, Status>> {
    ready(Err(Status::unimplemented("it does not know usage over time"))).boxed()
}
