//! What administrators request, on a listener of their own.

mod catalogue;
mod error;
mod feature;
mod gate;
mod limiter;
mod list;
mod mutate;
mod onboard;
mod record;
mod subdomain;
mod tenant;
mod upsert;

pub(super) use self::{error::AdminError, gate::Administrator};
pub(super) use self::{
    feature::FeatureChangeQuery,
    list::TenantListPage,
    mutate::MutationQuery,
    onboard::{DeleteQuery, OnboardQuery, ProvisionQuery},
    record::AuditPage,
    subdomain::SubdomainVerdict,
    tenant::TenantRecord,
    upsert::UpsertQuery,
};
pub(crate) use self::{
    gate::AdminGate,
    limiter::{AdminLimiter, SETUP_TIMEOUT},
};
use super::Core;
use crate::domain::{Actor, ActorName, Author, ChangeReason, RequestId};

/// Everything that an administrator's answer is made from.
#[derive(Clone, Debug)]
pub(crate) struct AdminApi {
    /// The database, and what the answers to other callers are made from.
    pub core: Core,
    /// The administrators that may ask.
    pub gate: AdminGate,
    /// The limits for administrators' use of the database.
    pub limiter: AdminLimiter,
}

/// The reason for a request, and its request id.
#[derive(Debug)]
pub(super) struct Purpose {
    pub(super) why: Option<ChangeReason>,
    pub(super) request_id: Option<RequestId>,
}

impl AdminApi {
    /// The author, as the record will show who makes a change now.
    fn author(&self, actor: ActorName, purpose: Purpose) -> Author {
        let Purpose { why, request_id } = purpose;
        Author { actor: Actor::Token(actor), at: self.core.api.clock.now(), why, request_id }
    }
}
