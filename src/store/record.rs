//! The record of what administrators did.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult,
    QuerySelect,
    prelude::Json,
    sea_query::ExprTrait,
};

use super::{StoreError, ask::Ask, entity::entitlement_audit as audit, transaction::Transaction};
use crate::domain::{Actor, Author, RequestId, TenantId, limits::REQUEST_ID_HOURS};

/// One row of the record: what somebody did.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Its number, which grows from row to row.
    pub id: i64,
    /// When it was done.
    pub made_at: DateTime<Utc>,
    /// The kind of actor, as recorded.
    pub actor_kind: String,
    /// Who did it.
    pub actor: String,
    /// What was done: the name of the RPC.
    pub action: String,
    /// The tenant that it was done to, if any.
    pub tenant: Option<TenantId>,
    /// The tenant's subdomain, or the name of whatever else it was done to, at that time.
    pub subject: String,
    /// Why it was done.
    pub reason: Option<String>,
    /// The request.
    pub request: Json,
    /// The state before; `None`: there was nothing.
    pub before: Option<Json>,
    /// The state after; `None`: nothing was left.
    pub after: Option<Json>,
    /// The request's own id.
    pub request_id: Option<String>,
}

/// Which rows of the record, the newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only rows of this tenant. Without one, a change of a plan that tenants keep out of is one row,
    /// that of the plan, however many they are.
    pub tenant: Option<TenantId>,
    /// Only rows of this actor.
    pub actor: Option<String>,
    /// From this instant on.
    pub since: Option<DateTime<Utc>>,
    /// Before this instant.
    pub until: Option<DateTime<Utc>>,
    /// Only rows that are older than this row.
    pub before: Option<i64>,
    /// Maximum number of rows.
    pub size: u32,
}

/// An entry to be recorded.
pub(super) struct Entry<'a> {
    pub(super) author: &'a Author,
    pub(super) action: &'static str,
    pub(super) tenant: Option<TenantId>,
    pub(super) subject: &'a str,
    pub(super) request: Json,
    pub(super) before: Option<Json>,
    pub(super) after: Option<Json>,
}

pub(super) async fn add(txn: &Transaction, entry: Entry<'_>) -> Result<(), StoreError> {
    audit::Entity::insert(entry.row()).exec_without_returning(&txn.inner).await?;
    Ok(())
}

/// Adds, for tenants that keep what their plan said, that this plan was changed. The request's id is
/// left to the row about the plan, which answers the request when it is repeated.
pub(super) async fn add_for_keepers(
    txn: &Transaction,
    entries: Vec<Entry<'_>>,
) -> Result<(), StoreError> {
    let row = |entry: Entry<'_>| audit::ActiveModel { request_id: Set(None), ..entry.row() };
    let rows = entries.into_iter().map(row);
    audit::Entity::insert_many(rows).exec_without_returning(&txn.inner).await?;
    Ok(())
}

/// What changes plans. Such a row about a tenant says what that keeps of it.
const CHANGES_OF_PLANS: [&str; 3] = ["SetPlanFeature", "SetPlanLimit", "UpsertPlan"];

impl Entry<'_> {
    fn row(self) -> audit::ActiveModel {
        let Entry { author, action, tenant, subject, request, before, after } = self;
        audit::ActiveModel {
            id: NotSet,
            made_at: Set(author.at),
            actor_kind: Set(author.actor.kind().into()),
            actor: Set(author.actor.to_string()),
            action: Set(action.into()),
            tenant_id: Set(tenant.map(TenantId::uuid)),
            subject: Set(subject.into()),
            reason: Set(author.why.as_ref().map(ToString::to_string)),
            request: Set(request),
            before: Set(before),
            after: Set(after),
            request_id: Set(author.request_id.as_ref().map(ToString::to_string)),
        }
    }
}

/// What this actor did under this request id, if that was recent enough. Requests of other actors
/// do not count.
pub(super) async fn find(
    database: &impl Ask,
    actor: &Actor,
    request_id: &RequestId,
    at: DateTime<Utc>,
) -> Result<Option<AuditEvent>, StoreError> {
    let newest = audit::Entity::find()
        .filter(audit::Column::RequestId.eq(request_id.to_string()))
        .filter(audit::Column::ActorKind.eq(actor.kind()))
        .filter(audit::Column::Actor.eq(actor.to_string()))
        .order_by_desc(audit::Column::Id)
        .limit(1);
    let newest = database.select(newest).await?.first().map(event).transpose()?;
    let horizon = at - TimeDelta::hours(REQUEST_ID_HOURS);
    Ok(newest.filter(|event| event.made_at > horizon))
}

pub(super) async fn list(
    database: &impl Ask,
    query: &AuditQuery,
) -> Result<Vec<AuditEvent>, StoreError> {
    use audit::Column as C;
    let AuditQuery { tenant, actor, since, until, before, size } = query;
    let mut select = audit::Entity::find().order_by_desc(C::Id).limit(u64::from(*size));
    let filters = [
        tenant.map(|tenant| C::TenantId.eq(tenant.uuid())),
        actor.as_deref().map(|actor| C::Actor.eq(actor)),
        since.map(|since| C::MadeAt.gte(since)),
        until.map(|until| C::MadeAt.lt(until)),
        before.map(|before| C::Id.lt(before)),
    ];
    for filter in filters.into_iter().flatten() {
        select = select.filter(filter);
    }
    if tenant.is_none() {
        let is_of_one = C::TenantId.is_not_null().and(C::Action.is_in(CHANGES_OF_PLANS));
        select = select.filter(is_of_one.not());
    }
    database.select(select).await?.iter().map(event).collect()
}

impl AuditEvent {
    /// The error for a recorded state that cannot be read.
    pub(super) fn unreadable(&self, cause: String) -> StoreError {
        StoreError::Unreadable {
            column: "entitlement_audit.after",
            key: self.id.to_string(),
            cause: Arc::new(DbErr::Json(cause)),
        }
    }
}

fn event(row: &QueryResult) -> Result<AuditEvent, StoreError> {
    Ok(audit::Model::from_query_result(row, "")?.into())
}

impl From<audit::Model> for AuditEvent {
    fn from(row: audit::Model) -> Self {
        Self {
            id: row.id,
            made_at: row.made_at,
            actor_kind: row.actor_kind,
            actor: row.actor,
            action: row.action,
            tenant: row.tenant_id.map(TenantId::from),
            subject: row.subject,
            reason: row.reason,
            request: row.request,
            before: row.before,
            after: row.after,
            request_id: row.request_id,
        }
    }
}
