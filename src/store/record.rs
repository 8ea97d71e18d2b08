//! The record of what administrators did.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::Json,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{StoreError, TenantKey, entity::entitlement_audit as audit, transaction::Transaction};
use crate::domain::{
    Author, BillingCycle, Disabling, Enabling, Ends, Holding, ModuleCode, Money, Mutation, PlanChange, RequestId,
    Summary, TenantId, limits::REQUEST_ID_HOURS,
};

/// One row of the record: what somebody did.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Grows from row to row.
    pub id: i64,
    /// When.
    pub made_at: DateTime<Utc>,
    /// The word for what kind of actor it was.
    pub actor_kind: String,
    /// Who.
    pub actor: String,
    /// What: the name of the RPC that does it.
    pub action: String,
    /// To which tenant, if to one.
    pub tenant: Option<TenantId>,
    /// The tenant's subdomain, or whatever else it was done to, as it was called then.
    pub subject: String,
    /// Why.
    pub reason: Option<String>,
    /// What was asked for.
    pub request: Json,
    /// What was before; `None`: there was nothing.
    pub before: Option<Json>,
    /// What was after; `None`: nothing was left.
    pub after: Option<Json>,
    /// The request's own number.
    pub request_id: Option<String>,
}

/// Which rows of the record, the newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Of this tenant alone.
    pub tenant: Option<TenantId>,
    /// By this actor alone.
    pub actor: Option<String>,
    /// From this instant on.
    pub since: Option<DateTime<Utc>>,
    /// Before this instant.
    pub until: Option<DateTime<Utc>>,
    /// Those that are older than this row.
    pub before: Option<i64>,
    /// So many, or all that are left.
    pub size: u32,
}

/// What is to be recorded.
pub(super) struct Entry<'a> {
    pub(super) author: &'a Author,
    pub(super) action: &'static str,
    pub(super) tenant: Option<TenantId>,
    pub(super) subject: &'a str,
    pub(super) request: Json,
    pub(super) before: Option<&'a Summary>,
    pub(super) after: Option<&'a Summary>,
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
        before: Set(before.map(summary_to_json)),
        after: Set(after.map(summary_to_json)),
        request_id: Set(author.request_id.as_ref().map(ToString::to_string)),
    };
    audit::Entity::insert(row).exec_without_returning(&txn.inner).await?;
    Ok(())
}

/// What was recorded under this request id, if that is not too long ago.
pub(super) async fn find(
    txn: &Transaction,
    request_id: &RequestId,
    at: DateTime<Utc>,
) -> Result<Option<AuditEvent>, StoreError> {
    let newest = audit::Entity::find()
        .filter(audit::Column::RequestId.eq(request_id.to_string()))
        .order_by_desc(audit::Column::Id)
        .one(&txn.inner)
        .await?;
    let horizon = at - TimeDelta::hours(REQUEST_ID_HOURS);
    Ok(newest.filter(|row| row.made_at > horizon).map(AuditEvent::from))
}

pub(super) async fn list(db: &impl ConnectionTrait, query: &AuditQuery) -> Result<Vec<AuditEvent>, StoreError> {
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
    Ok(select.all(db).await?.into_iter().map(AuditEvent::from).collect())
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

/// The name of the RPC that does it, and what was asked for: what tells one request from another.
pub(super) fn request_of(key: &TenantKey, mutation: &Mutation, author: &Author) -> (&'static str, Json) {
    let codes = |modules: &[ModuleCode]| -> Vec<String> { modules.iter().map(ToString::to_string).collect() };
    let end = |ends: &Ends| match ends {
        Ends::Now => "now",
        Ends::PeriodEnd => "period_end",
    };
    let (action, mut request) = match mutation {
        Mutation::SetStatus(status) => ("SetTenantStatus", json!({ "status": status.word() })),
        Mutation::Enable(Enabling { modules, include_dependencies, billing_cycle, expires_at, trial_ends_at }) => (
            "EnableModules",
            json!({
                "modules": codes(modules),
                "include_dependencies": include_dependencies,
                "billing_cycle": billing_cycle.map(BillingCycle::word),
                "expires_at": expires_at,
                "trial_ends_at": trial_ends_at,
            }),
        ),
        Mutation::Disable(Disabling { modules, include_dependents, ends }) => (
            "DisableModules",
            json!({ "modules": codes(modules), "include_dependents": include_dependents, "ends": end(ends) }),
        ),
        Mutation::ChangePlan(PlanChange { plan, billing_cycle, include_dependents, ends }) => (
            "ChangePlan",
            json!({
                "plan": plan,
                "billing_cycle": billing_cycle.map(BillingCycle::word),
                "include_dependents": include_dependents,
                "ends": end(ends),
            }),
        ),
    };
    request["tenant"] = match key {
        TenantKey::Id(id) => id.to_string().into(),
        TenantKey::Subdomain(label) => label.as_str().into(),
    };
    request["reason"] = author.why.as_ref().map(ToString::to_string).into();
    (action, request)
}

/// A summary as it is recorded. Amounts are text, so that no reader makes floats of them.
#[derive(Deserialize, Serialize)]
struct SummaryJson {
    status: String,
    plan: Option<String>,
    modules: BTreeMap<String, HoldingJson>,
    price_monthly: String,
    price_yearly: String,
}

#[derive(Deserialize, Serialize)]
struct HoldingJson {
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    is_trial: bool,
}

fn summary_to_json(summary: &Summary) -> Json {
    let Summary { status, plan, modules, price_monthly, price_yearly } = summary;
    let modules = modules.iter().map(|(code, Holding { starts_at, ends_at, is_trial })| {
        let (starts_at, ends_at, is_trial) = (*starts_at, *ends_at, *is_trial);
        (code.to_string(), HoldingJson { starts_at, ends_at, is_trial })
    });
    json!(SummaryJson {
        status: status.clone(),
        plan: plan.clone(),
        modules: modules.collect(),
        price_monthly: price_monthly.to_string(),
        price_yearly: price_yearly.to_string(),
    })
}

/// Reads a summary that was recorded.
pub(super) fn summary_of(event: &AuditEvent, json: &Json) -> Result<Summary, StoreError> {
    let unreadable = |cause: String| StoreError::Unreadable {
        column: "entitlement_audit",
        key: event.id.to_string(),
        cause: Arc::new(DbErr::Json(cause)),
    };
    let read = SummaryJson::deserialize(json).map_err(|error| unreadable(error.to_string()))?;
    let money = |text: &str| Money::parse(text).ok_or_else(|| unreadable(format!("{text:?} is no amount")));
    let modules = read.modules.into_iter().map(|(code, HoldingJson { starts_at, ends_at, is_trial })| {
        (ModuleCode::new(&code), Holding { starts_at, ends_at, is_trial })
    });
    Ok(Summary {
        status: read.status,
        plan: read.plan,
        modules: modules.collect(),
        price_monthly: money(&read.price_monthly)?,
        price_yearly: money(&read.price_yearly)?,
    })
}
