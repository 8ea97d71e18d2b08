//! One tenant: its row, its plan's slug, its subscriptions and their modules' codes, in one statement.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, DbBackend, EntityTrait, IntoSimpleExpr, JoinType, QueryFilter, QueryResult, QuerySelect, QueryTrait,
    RelationTrait, Select, Statement, Value,
    prelude::Uuid,
    sea_query::{ExprTrait, SimpleExpr},
};

use entitlementd_migration::{ChangeLog, revision_of};

use super::{
    StoreError, TenantKey,
    database::Database,
    entity::{modules, plans, tenant_subscriptions, tenants},
    instant,
    replica::replayed,
    row::Row,
    words::Words,
};
use crate::domain::{Facts, HeldSubscription, Label, Subscription, SubscriptionStatus, Tenant, TenantId, TenantStatus};

/// A tenant as the database holds it, word for word, and what that comes to.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the words come to.
    pub facts: Facts,
    /// The tenant's words.
    pub tenant: TenantEvidence,
    /// The words of each subscription, in the order of the facts' rows.
    pub subscriptions: Vec<SubscriptionEvidence>,
}

impl Evidence {
    /// The rows of one module, in the order in which their windows open, each with its words.
    pub fn rows_of(&self, module: &str) -> impl Iterator<Item = (&HeldSubscription, &SubscriptionEvidence)> {
        let rows = self.facts.rows().iter().zip(&self.subscriptions);
        rows.filter(move |(row, _)| row.module.as_str() == module)
    }
}

/// What one statement has found of a tenant.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The tenant's revision; 0 while changes are not counted.
    pub revision: u64,
    /// Its rows, if it exists.
    pub evidence: Option<Evidence>,
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
    /// The same as `by_id`, and whether the replica has come as far as is thought of it.
    from_replica: String,
}

impl TenantStatements {
    pub(super) fn new(backend: DbBackend, log: ChangeLog) -> Self {
        let by_id = select(backend).filter(tenants::Column::Id.eq(Uuid::nil()));
        let by_subdomain = select(backend).filter(tenants::Column::Subdomain.eq(""));
        let rows = |select: Select<tenants::Entity>| select.build(backend).sql.replace('?', "?1");
        let revision = |tenant: &str| match log {
            ChangeLog::Wanted => revision_of(backend, tenant),
            ChangeLog::LeftOut => "0".to_owned(),
        };
        // A tenant that does not exist has a revision too: it may have been deleted.
        let own = revision(if backend == DbBackend::Sqlite { "?1" } else { "$1" });
        let by_id = rows(by_id);
        let tenant_and = |more: &str| {
            format!(
                "SELECT r.*, t.* FROM (SELECT CAST({own} AS bigint) AS revision{more}) r LEFT JOIN ({by_id}) t ON true"
            )
        };
        let joined = revision("t.\"tenants.id\"");
        Self {
            backend,
            by_id: tenant_and(""),
            from_replica: tenant_and(&format!(", {} AS holds", replayed("$2"))),
            by_subdomain: format!("SELECT CAST({joined} AS bigint) AS revision, t.* FROM ({}) t", rows(by_subdomain)),
        }
    }

    /// Reads one tenant's rows from a replica, which must have replayed its primary's log up to here: see [`holds`].
    pub(super) async fn read_from_replica(
        &self,
        replica: &Database,
        id: TenantId,
        lsn: &str,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let values: [Value; 2] = [id.uuid().into(), lsn.into()];
        replica.query(Statement::from_sql_and_values(self.backend, &self.from_replica, values)).await
    }

    /// Reads one tenant's rows.
    pub(super) async fn read(&self, database: &Database, key: &TenantKey) -> Result<Vec<QueryResult>, StoreError> {
        let (sql, value): (_, Value) = match key {
            TenantKey::Id(id) => (&self.by_id, id.uuid().into()),
            TenantKey::Subdomain(label) => (&self.by_subdomain, label.as_str().into()),
        };
        database.query(Statement::from_sql_and_values(self.backend, sql, [value])).await
    }
}

/// The keys of all tenants.
pub(super) async fn keys(database: &Database) -> Result<Vec<TenantKey>, StoreError> {
    let select = tenants::Entity::find().select_only().columns([tenants::Column::Id, tenants::Column::Subdomain]);
    let mut keys = Vec::new();
    for row in database.query(select.build(database.backend())).await? {
        let (id, subdomain): (Uuid, Option<String>) = (row.try_get("", "id")?, row.try_get("", "subdomain")?);
        keys.push(TenantKey::Id(TenantId::from(id)));
        keys.extend(subdomain.as_deref().and_then(Label::parse).map(TenantKey::Subdomain));
    }
    Ok(keys)
}

pub(super) fn select(backend: DbBackend) -> Select<tenants::Entity> {
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

/// Has the replica that these rows are from come as far as it had to?
pub(super) fn holds(rows: &[QueryResult]) -> bool {
    rows.first().is_some_and(|row| row.try_get("", "holds").unwrap_or(false))
}

/// Makes the facts of a tenant's rows, keeping the words they were made of.
pub(super) fn reading(rows: &[QueryResult], words: &Words, now: DateTime<Utc>) -> Result<Reading, StoreError> {
    let Some(first) = rows.first() else { return Ok(Reading { revision: 0, evidence: None }) };
    let revision: i64 = first.try_get("", "revision")?;
    let revision = revision.cast_unsigned();
    // `tenants.id`, a primary key, is NULL where the revision is all there is.
    let Some(first) = Row::keyed_by::<Uuid>(first, "tenants.id")? else {
        return Ok(Reading { revision, evidence: None });
    };
    let (tenant, tenant_evidence) = tenant(&first, words)?;
    let mut subscriptions = Vec::with_capacity(rows.len());
    for row in rows {
        first.must_agree::<Uuid>(row, "tenants.id")?;
        subscriptions.extend(subscription(row, words)?);
    }
    subscriptions.sort_by(|(a, _), (b, _)| a.order(b));
    let (subscriptions, subscription_evidence) = subscriptions.into_iter().unzip();
    let facts = Facts::new(tenant, subscriptions, revision, now);
    let evidence = Evidence { facts, tenant: tenant_evidence, subscriptions: subscription_evidence };
    Ok(Reading { revision, evidence: Some(evidence) })
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
        plan_slug: row.get::<Option<String>>("plans.slug")?.map(|slug| words.slug(&slug)),
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
