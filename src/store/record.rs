//! The record of what administrators did.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult, QuerySelect,
    prelude::Json,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    StoreError, ask::Ask, entity::entitlement_audit as audit, offer_json, transaction::Transaction,
};
use crate::domain::{
    Actor, Author, Holding, ModuleCode, Money, RequestId, Summary, TenantId,
    limits::REQUEST_ID_HOURS,
};

/// An additional key of the recorded state of a tenant: the template files that were applied.
const APPLIED_FILES: &str = "applied_files";

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
    /// Only rows of this tenant.
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

/// The recorded state of a tenant after a change, with the template files that were applied by it.
pub(super) fn after_json(summary: &Summary, applied_files: &[String]) -> Json {
    let mut after = summary_to_json(summary);
    if !applied_files.is_empty() {
        after[APPLIED_FILES] = applied_files.into();
    }
    after
}

pub(super) async fn add(txn: &Transaction, entry: Entry<'_>) -> Result<(), StoreError> {
    let Entry { author, action, tenant, subject, request, before, after } = entry;
    let row = audit::ActiveModel {
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
    };
    audit::Entity::insert(row).exec_without_returning(&txn.inner).await?;
    Ok(())
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
    database.select(select).await?.iter().map(event).collect()
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

/// A summary with the names of the proto's TenantEntitlements. Amounts are text, so that no reader
/// converts them to floats.
#[derive(Deserialize, Serialize)]
struct SummaryJson {
    status: String,
    plan_slug: Option<String>,
    modules: Vec<HoldingJson>,
    price_monthly: String,
    price_yearly: String,
}

#[derive(Deserialize, Serialize)]
struct HoldingJson {
    module_code: String,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    is_trial: bool,
}

/// A summary as it is recorded and printed.
pub fn summary_to_json(summary: &Summary) -> Json {
    let Summary { status, plan, modules, price_monthly, price_yearly } = summary;
    let modules =
        modules.iter().map(|(code, Holding { starts_at, ends_at, is_trial })| HoldingJson {
            module_code: code.to_string(),
            starts_at: *starts_at,
            ends_at: *ends_at,
            is_trial: *is_trial,
        });
    json!(SummaryJson {
        status: status.clone(),
        plan_slug: plan.clone(),
        modules: modules.collect(),
        price_monthly: price_monthly.to_string(),
        price_yearly: price_yearly.to_string(),
    })
}

impl AuditEvent {
    /// The template files that were applied, in the order of application.
    pub fn applied_files(&self) -> Vec<&str> {
        let files = self.after.as_ref().and_then(|after| after[APPLIED_FILES].as_array());
        files.into_iter().flatten().filter_map(Json::as_str).collect()
    }

    /// What the tenant was entitled to before and after, if the event concerns a tenant; `None` if
    /// there was nothing.
    pub fn summaries(&self) -> Result<[Option<Summary>; 2], StoreError> {
        let read = |json: &Option<Json>| json.as_ref().map(|json| self.summary(json)).transpose();
        Ok([read(&self.before)?, read(&self.after)?])
    }

    fn summary(&self, json: &Json) -> Result<Summary, StoreError> {
        let unreadable = |cause: String| offer_json::unreadable(self, cause);
        let read = SummaryJson::deserialize(json).map_err(|error| unreadable(error.to_string()))?;
        let money = |text: &str| {
            Money::parse(text).ok_or_else(|| unreadable(format!("{text:?} is no amount")))
        };
        let modules = read.modules.into_iter().map(
            |HoldingJson { module_code, starts_at, ends_at, is_trial }| {
                (ModuleCode::new(&module_code), Holding { starts_at, ends_at, is_trial })
            },
        );
        Ok(Summary {
            status: read.status,
            plan: read.plan_slug,
            modules: modules.collect(),
            price_monthly: money(&read.price_monthly)?,
            price_yearly: money(&read.price_yearly)?,
        })
    }
}
