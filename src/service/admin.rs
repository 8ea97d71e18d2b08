//! What administrators ask for, on a listener of their own.

mod catalogue;
mod gate;
mod limiter;
mod list;
mod mutate;
mod onboard;
mod record;
mod subdomain;
mod tenant;
mod upsert;

pub(super) use self::gate::Administrator;
pub(crate) use self::{
    gate::AdminGate,
    limiter::{AdminLimiter, SETUP_TIMEOUT},
};
pub(super) use self::{
    list::TenantListPage,
    mutate::MutationQuery,
    onboard::{DeleteQuery, OnboardQuery, ProvisionQuery},
    record::AuditPage,
    subdomain::SubdomainVerdict,
    tenant::TenantRecord,
    upsert::UpsertQuery,
};
use super::Api;
use crate::domain::{Actor, ActorName, Author, ChangeReason, RequestId};

/// Everything that an administrator's answer is made from.
#[derive(Clone, Debug)]
pub(crate) struct AdminApi {
    /// What the others' answers are made from.
    pub api: Api,
    /// Who may ask.
    pub gate: AdminGate,
    /// Where the database is read and changed for them.
    pub limiter: AdminLimiter,
}

/// Why something is to be done, and under which request id.
#[derive(Debug)]
pub(super) struct Purpose {
    pub(super) why: Option<ChangeReason>,
    pub(super) request_id: Option<RequestId>,
}

impl AdminApi {
    /// What the record will say of who does something now.
    fn author(&self, actor: ActorName, purpose: Purpose) -> Author {
        let Purpose { why, request_id } = purpose;
        Author { actor: Actor::Token(actor), at: self.api.clock.now(), why, request_id }
    }
}
