//! One tenant: its row, its plan's slug, its subscriptions and their modules' codes, in one statement.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, IntoSimpleExpr, JoinType, QueryFilter,
    QueryResult, QuerySelect, QueryTrait, RelationTrait, Select, Statement, Value,
    prelude::Uuid,
    sea_query::{ExprTrait, SimpleExpr},
};

use super::{
    StoreError, TenantKey,
    entity::{modules, plans, tenant_subscriptions, tenants},
    instant,
    row::Row,
    words::Words,
};
use crate::domain::{Facts, Label, Subscription, SubscriptionStatus, Tenant, TenantId, TenantStatus};

/// A tenant as the database holds it, word for word, and what that comes to.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the words come to.
    pub facts: Facts,
    /// The tenant's words.
    pub tenant: TenantEvidence,
    /// The words of each subscription, in no order.
    pub subscriptions: Vec<SubscriptionEvidence>,
}

/// What the facts of a tenant do not keep of its row.
#[derive(Clone, Debug)]
pub struct TenantEvidence {
    /// `tenants.status` as stored; `None`: NULL.
    pub status: Option<String>,
}

/// What the facts of a tenant do not keep of a subscription's row.
#[derive(Clone, Debug)]
pub struct SubscriptionEvidence {
    /// `tenant_subscriptions.id`.
    pub id: Uuid,
    /// `tenant_subscriptions.status` as stored; `None`: NULL.
    pub status: Option<String>,
}

/// The statements that read one tenant, built once.
#[derive(Debug)]
pub(super) struct TenantStatements {
    backend: DbBackend,
    by_id: String,
    by_subdomain: String,
}

impl TenantStatements {
    pub(super) fn new(backend: DbBackend) -> Self {
        let by_id = select(backend).filter(tenants::Column::Id.eq(Uuid::nil()));
        let by_subdomain = select(backend).filter(tenants::Column::Subdomain.eq(""));
        Self { backend, by_id: by_id.build(backend).sql, by_subdomain: by_subdomain.build(backend).sql }
    }

    pub(super) async fn read(&self, db: &DatabaseConnection, key: &TenantKey) -> Result<Vec<QueryResult>, StoreError> {
        let (sql, value): (_, Value) = match key {
            TenantKey::Id(id) => (&self.by_id, id.uuid().into()),
            TenantKey::Subdomain(label) => (&self.by_subdomain, label.as_str().into()),
        };
        let mut attempts = 1..=super::connect::MAX_CONNECTIONS;
        loop {
            let statement = Statement::from_sql_and_values(self.backend, sql, [value.clone()]);
            match db.query_all_raw(statement).await.map_err(StoreError::from) {
                // A restarted server leaves dead connections in the pool. Each one is dropped as it is met.
                Err(error) if error.lost_connection() && attempts.next().is_some() => {
                    tracing::debug!(%error, "a connection was lost: asking again on another one");
                }
                answer => return answer,
            }
        }
    }
}

/// The keys of all tenants.
pub(super) async fn keys(db: &DatabaseConnection) -> Result<Vec<TenantKey>, StoreError> {
    let select = tenants::Entity::find().select_only().columns([tenants::Column::Id, tenants::Column::Subdomain]);
    let rows: Vec<(Uuid, Option<String>)> = select.into_tuple().all(db).await?;
    let keys = rows.into_iter().flat_map(|(id, subdomain)| {
        let label = subdomain.as_deref().and_then(Label::parse).map(TenantKey::Subdomain);
        label.into_iter().chain([TenantKey::Id(TenantId::from(id))])
    });
    Ok(keys.collect())
}

fn select(backend: DbBackend) -> Select<tenants::Entity> {
    use tenant_subscriptions::Column as S;
    // Cast, so that a text column that is made wider does not break the statements that are prepared already.
    let text = |column: SimpleExpr| column.cast_as("text");
    let instant = |column: S| instant::column(backend, column.into_simple_expr());
    tenants::Entity::find()
        .select_only()
        .column_as(tenants::Column::Id, "tenants.id")
        .column_as(text(tenants::Column::Name.into_simple_expr()), "tenants.name")
        .column_as(text(tenants::Column::Subdomain.into_simple_expr()), "tenants.subdomain")
        .column_as(text(tenants::Column::DatabaseSchema.into_simple_expr()), "tenants.database_schema")
        .column_as(text(tenants::Column::Status.into_simple_expr()), "tenants.status")
        .column_as(text(plans::Column::Slug.into_simple_expr()), "plans.slug")
        .column_as(text(modules::Column::Code.into_simple_expr()), "modules.code")
        .column_as(S::Id, "tenant_subscriptions.id")
        .column_as(text(S::Status.into_simple_expr()), "tenant_subscriptions.status")
        .column_as(instant(S::StartsAt), "tenant_subscriptions.starts_at")
        .column_as(instant(S::ExpiresAt), "tenant_subscriptions.expires_at")
        .column_as(S::IsTrial, "tenant_subscriptions.is_trial")
        .column_as(instant(S::TrialEndsAt), "tenant_subscriptions.trial_ends_at")
        .join(JoinType::LeftJoin, tenants::Relation::Plans.def())
        .join(JoinType::LeftJoin, tenants::Relation::TenantSubscriptions.def())
        .join(JoinType::LeftJoin, tenant_subscriptions::Relation::Modules.def())
}

/// Makes the facts of a tenant's rows, keeping the words they were made of. No rows: no such tenant.
pub(super) fn evidence(
    rows: &[QueryResult],
    words: &Words,
    now: DateTime<Utc>,
) -> Result<Option<Evidence>, StoreError> {
    let Some(first) = rows.first() else { return Ok(None) };
    // `tenants.id` is never NULL: it is what the statement joins from, and its primary key.
    let Some(first) = Row::keyed_by::<Uuid>(first, "tenants.id")? else { return Ok(None) };
    let (tenant, tenant_evidence) = tenant(&first, words)?;
    let mut subscriptions = Vec::with_capacity(rows.len());
    let mut subscription_evidence = Vec::with_capacity(rows.len());
    for row in rows {
        first.must_agree::<Uuid>(row, "tenants.id")?;
        let Some((subscription, evidence)) = subscription(row, words)? else { continue };
        subscriptions.push(subscription);
        subscription_evidence.push(evidence);
    }
    Ok(Some(Evidence {
        facts: Facts::new(tenant, subscriptions, 0, now),
        tenant: tenant_evidence,
        subscriptions: subscription_evidence,
    }))
}

fn tenant(row: &Row<'_>, words: &Words) -> Result<(Tenant, TenantEvidence), StoreError> {
    let word: Option<String> = row.get("tenants.status")?;
    let status = TenantStatus::of(word.as_deref().unwrap_or_default());
    if status == TenantStatus::Other {
        words.warn("tenants.status", word.as_deref().unwrap_or("NULL"), "the tenant is not served");
    }
    let tenant = Tenant {
        id: TenantId::from(row.get::<Uuid>("tenants.id")?),
        name: row.text("tenants.name")?.into(),
        subdomain: row.text("tenants.subdomain")?.into(),
        database_schema: row.text("tenants.database_schema")?.into(),
        status,
        plan_slug: row.get::<Option<String>>("plans.slug")?.map(Into::into),
    };
    Ok((tenant, TenantEvidence { status: word }))
}

/// `None` where the outer join found no subscription, or one whose module is gone.
fn subscription(
    result: &QueryResult,
    words: &Words,
) -> Result<Option<(Subscription, SubscriptionEvidence)>, StoreError> {
    let Some(row) = Row::keyed_by::<Uuid>(result, "tenant_subscriptions.id")? else { return Ok(None) };
    let id: Uuid = row.get("tenant_subscriptions.id")?;
    let Some(code) = row.get::<Option<String>>("modules.code")? else { return Ok(None) };

    let word: Option<String> = row.get("tenant_subscriptions.status")?;
    let status = SubscriptionStatus::of(word.as_deref().unwrap_or_default());
    if status == SubscriptionStatus::Other {
        words.warn("tenant_subscriptions.status", word.as_deref().unwrap_or("NULL"), "the subscription grants nothing");
    }
    let subscription = Subscription {
        id,
        module: words.code(&code),
        status,
        starts_at: instant::beginning(row.get("tenant_subscriptions.starts_at")?),
        expires_at: instant::end(row.get("tenant_subscriptions.expires_at")?),
        is_trial: row.flag("tenant_subscriptions.is_trial")?,
        trial_ends_at: instant::end(row.get("tenant_subscriptions.trial_ends_at")?),
    };
    Ok(Some((subscription, SubscriptionEvidence { id, status: word })))
}
