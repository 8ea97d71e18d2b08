//! One tenant: its row, its plan's slug, its subscriptions and their modules' codes, in one
//! statement.

mod evidence;
mod keys;
pub(super) mod own;

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoSimpleExpr, JoinType, QueryFilter, QueryResult, QuerySelect,
    QueryTrait, RelationTrait, Select, Statement, Value,
    prelude::Uuid,
    sea_query::{ExprTrait, SimpleExpr},
};

use entitlementd_migration::ChangeLog;

pub use self::evidence::{
    Evidence, FlagEvidence, OverrideEvidence, OwnEvidence, Reading, SubscriptionEvidence,
    TenantEvidence,
};
pub(super) use self::{keys::keys, own::Detail};
use super::{
    StoreError, TenantKey,
    dialect::Dialect,
    entity::{modules, plans, tenant_subscriptions, tenants},
    instant,
    row::{ReadContext, Row},
};
use crate::domain::{Facts, Subscription, SubscriptionStatus, Tenant, TenantId, TenantStatus};

/// The statements that read one tenant, built once.
#[derive(Debug)]
pub(super) struct TenantStatements {
    by_id: String,
    by_subdomain: String,
}

impl TenantStatements {
    /// `tables`: whether those of ours are there.
    pub(super) fn new(dialect: Dialect, log: ChangeLog, tables: OwnTables, detail: Detail) -> Self {
        let by_id = select(dialect).filter(tenants::Column::Id.eq(Uuid::nil()));
        let by_subdomain = select(dialect).filter(tenants::Column::Subdomain.eq(""));
        let rows = |select: Select<tenants::Entity>| {
            dialect.with_numbered_parameter(select.build(dialect.backend()).sql)
        };
        // A tenant that does not exist has a revision too: it may have been deleted.
        let own = dialect.revision_of(log, dialect.first_parameter());
        let by_id = rows(by_id);
        let standby = dialect.is_standby();
        let joined = dialect.revision_of(log, "t.\"tenants.id\"");
        let parameter = dialect.first_parameter();
        let no_own = own::none();
        let own_row = |is_tenant: String| match tables {
            OwnTables::Missing => String::new(),
            OwnTables::There => one_more_row(dialect, &is_tenant, detail),
        };
        Self {
            by_id: format!(
                "SELECT t.*, r.*, {no_own} FROM (SELECT CAST({own} AS bigint) AS revision, {standby} AS {IS_STANDBY}) r LEFT JOIN ({by_id}) t ON true{}",
                own_row(format!("= {parameter}"))
            ),
            by_subdomain: format!(
                "SELECT t.*, CAST({joined} AS bigint) AS revision, r.*, {no_own} FROM (SELECT {standby} AS {IS_STANDBY}) r LEFT JOIN ({}) t ON true{}",
                rows(by_subdomain),
                own_row(format!("IN (SELECT id FROM tenants WHERE subdomain = {parameter})"))
            ),
        }
    }

    /// What reads one tenant's rows.
    pub(super) fn of(&self, dialect: Dialect, key: &TenantKey) -> Statement {
        let (sql, value): (_, Value) = match key {
            TenantKey::Id(id) => (&self.by_id, id.uuid().into()),
            TenantKey::Subdomain(label) => (&self.by_subdomain, label.as_str().into()),
        };
        dialect.statement(sql, [value])
    }
}

/// Are the tables of ours there that tenants' own terms are in? Before a database is migrated, none
/// are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum OwnTables {
    There,
    Missing,
}

/// The row that says what a tenant has of its own, where it has anything.
fn one_more_row(dialect: Dialect, is_tenant: &str, detail: Detail) -> String {
    let nulls = ["NULL"; OF_TENANT + OF_SUBSCRIPTION].join(", ");
    format!(
        " UNION ALL SELECT {nulls}, {NO_REVISION}, NULL, {} FROM (SELECT {} {}) own WHERE {}",
        own::columns(),
        own::of(dialect, is_tenant, detail),
        dialect.fence(),
        own::any()
    )
}

/// Stands in the place of a revision in rows that have none: only the tenant's own first row has it.
pub(super) const NO_REVISION: i64 = -1;

/// What finds out whether statements of the same message go to a standby.
pub(super) fn standby_statement(dialect: Dialect) -> Statement {
    dialect.statement(format!("SELECT {} AS {IS_STANDBY}", dialect.is_standby()), [])
}

/// The columns of [`select`], at their places in each result that is read here.
mod column {
    use crate::store::row::Column;

    pub(super) const TENANT_ID: Column = Column::at(0, "tenants.id");
    pub(super) const NAME: Column = Column::at(1, "tenants.name");
    pub(super) const SUBDOMAIN: Column = Column::at(2, "tenants.subdomain");
    pub(super) const DATABASE_SCHEMA: Column = Column::at(3, "tenants.database_schema");
    pub(super) const TENANT_STATUS: Column = Column::at(4, "tenants.status");
    pub(super) const PLAN: Column = Column::at(5, "plans.slug");
    pub(super) const MODULE: Column = Column::at(6, "modules.code");
    pub(super) const ID: Column = Column::at(7, "tenant_subscriptions.id");
    pub(super) const STATUS: Column = Column::at(8, "tenant_subscriptions.status");
    pub(super) const STARTS_AT: Column = Column::at(9, "tenant_subscriptions.starts_at");
    pub(super) const EXPIRES_AT: Column = Column::at(10, "tenant_subscriptions.expires_at");
    pub(super) const IS_TRIAL: Column = Column::at(11, "tenant_subscriptions.is_trial");
    pub(super) const TRIAL_ENDS_AT: Column = Column::at(12, "tenant_subscriptions.trial_ends_at");
}

/// A tenant's columns, of which there are this many.
pub(super) const OF_TENANT: usize = 6;
/// A subscription's columns, which follow them.
pub(super) const OF_SUBSCRIPTION: usize = 7;

/// Tenants, each with its subscriptions.
pub(super) fn select(dialect: Dialect) -> Select<tenants::Entity> {
    let select = tenants::Entity::find()
        .select_only()
        .join(JoinType::LeftJoin, tenants::Relation::Plans.def())
        .join(JoinType::LeftJoin, tenant_subscriptions::Relation::Tenants.def().rev())
        .join(JoinType::LeftJoin, tenant_subscriptions::Relation::Modules.def());
    subscription_columns(dialect, tenant_columns(select))
}

/// Tenants alone.
pub(super) fn select_tenants() -> Select<tenants::Entity> {
    let select = tenants::Entity::find().select_only();
    tenant_columns(select.join(JoinType::LeftJoin, tenants::Relation::Plans.def()))
}

/// Subscriptions alone, and after that whose they are.
pub(super) fn select_subscriptions(dialect: Dialect) -> Select<tenant_subscriptions::Entity> {
    let select = tenant_subscriptions::Entity::find().select_only();
    let select = select.join(JoinType::LeftJoin, tenant_subscriptions::Relation::Modules.def());
    subscription_columns(dialect, select).column(tenant_subscriptions::Column::TenantId)
}

/// Cast, so that a text column that is made wider does not break the statements that are prepared
/// already.
fn text(column: impl ColumnTrait) -> SimpleExpr {
    column.into_simple_expr().cast_as("text")
}

fn tenant_columns(select: Select<tenants::Entity>) -> Select<tenants::Entity> {
    select
        .column_as(tenants::Column::Id, "tenants.id")
        .column_as(text(tenants::Column::Name), "tenants.name")
        .column_as(text(tenants::Column::Subdomain), "tenants.subdomain")
        .column_as(text(tenants::Column::DatabaseSchema), "tenants.database_schema")
        .column_as(text(tenants::Column::Status), "tenants.status")
        .column_as(text(plans::Column::Slug), "plans.slug")
}

fn subscription_columns<E: EntityTrait>(dialect: Dialect, select: Select<E>) -> Select<E> {
    use tenant_subscriptions::Column as S;
    let instant = |column: S| dialect.instant(column.into_simple_expr());
    select
        .column_as(text(modules::Column::Code), "modules.code")
        .column_as(S::Id, "tenant_subscriptions.id")
        .column_as(text(S::Status), "tenant_subscriptions.status")
        .column_as(instant(S::StartsAt), "tenant_subscriptions.starts_at")
        .column_as(instant(S::ExpiresAt), "tenant_subscriptions.expires_at")
        .column_as(S::IsTrial, "tenant_subscriptions.is_trial")
        .column_as(instant(S::TrialEndsAt), "tenant_subscriptions.trial_ends_at")
}

/// The column that says whether rows come from a standby.
pub(super) const IS_STANDBY: &str = "is_standby";

/// Do these rows come from a standby, which may lag?
pub(super) fn are_from_standby(rows: &[QueryResult]) -> bool {
    // Rows of subscriptions alone do not say.
    let mut said =
        rows.iter().filter_map(|row| row.try_get::<Option<bool>>("", IS_STANDBY).ok()?);
    said.next().unwrap_or(false)
}

/// Makes the facts of a tenant's rows, keeping the words they were made of. The first has the
/// revision and the tenant's columns; others may leave them out.
pub(super) fn reading(
    rows: &[QueryResult],
    context: &ReadContext,
    now: DateTime<Utc>,
) -> Result<Reading, StoreError> {
    let Some((first, revision)) = first_row(rows)? else {
        return Ok(Reading { revision: 0, evidence: None });
    };
    // `tenants.id`, a primary key, is NULL where the revision is all there is.
    let Some(first) = Row::keyed_by::<Uuid>(first, column::TENANT_ID)? else {
        return Ok(Reading { revision, evidence: None });
    };
    let (mut tenant, tenant_evidence) = tenant(&first, context)?;
    let (mut subscriptions, mut own) = (Vec::with_capacity(rows.len()), OwnEvidence::default());
    for row in rows {
        first.must_agree::<Uuid>(row, column::TENANT_ID)?;
        match subscription(row, context)? {
            Some(subscription) => subscriptions.push(subscription),
            None if rows.len() > 1 => {
                if let Some((terms, words)) = own::read(row, context)? {
                    (tenant.own, own) = (Some(terms), words);
                }
            }
            None => {}
        }
    }
    subscriptions.sort_by(|(a, _), (b, _)| a.order(b));
    let (subscriptions, subscription_evidence) = subscriptions.into_iter().unzip();
    let facts = Facts::new(tenant, subscriptions, revision, now);
    let evidence =
        Evidence { facts, tenant: tenant_evidence, subscriptions: subscription_evidence, own };
    Ok(Reading { revision, evidence: Some(evidence) })
}

/// The row that has the tenant's columns, and its revision. Nearly always the first: nothing orders
/// them.
fn first_row(rows: &[QueryResult]) -> Result<Option<(&QueryResult, u64)>, StoreError> {
    for row in rows {
        if let Ok(revision) = u64::try_from(row.try_get::<i64>("", "revision")?) {
            return Ok(Some((row, revision)));
        }
    }
    Ok(None)
}

fn tenant(row: &Row<'_>, context: &ReadContext) -> Result<(Tenant, TenantEvidence), StoreError> {
    let word: Option<String> = row.get(column::TENANT_STATUS)?;
    let status = TenantStatus::of(word.as_deref().unwrap_or_default());
    if status == TenantStatus::Other {
        context.warnings.warn(
            "tenants.status",
            word.as_deref().unwrap_or("NULL"),
            "the tenant is not served",
        );
    }
    let tenant = Tenant {
        id: TenantId::from(row.get::<Uuid>(column::TENANT_ID)?),
        name: row.text(column::NAME)?.into(),
        subdomain: row.text(column::SUBDOMAIN)?.into(),
        database_schema: row.text(column::DATABASE_SCHEMA)?.into(),
        status,
        plan_slug: row.get::<Option<String>>(column::PLAN)?.map(|slug| context.codes.slug(&slug)),
        own: None,
    };
    Ok((tenant, TenantEvidence { status: word }))
}

/// `None` where the outer join found no subscription, or one whose module is gone.
fn subscription(
    result: &QueryResult,
    context: &ReadContext,
) -> Result<Option<(Subscription, SubscriptionEvidence)>, StoreError> {
    let Some(row) = Row::keyed_by::<Uuid>(result, column::ID)? else { return Ok(None) };
    let id: Uuid = row.get(column::ID)?;
    let Some(code) = row.get::<Option<String>>(column::MODULE)? else { return Ok(None) };

    let word: Option<String> = row.get(column::STATUS)?;
    let status = SubscriptionStatus::of(word.as_deref().unwrap_or_default());
    if status == SubscriptionStatus::Other {
        context.warnings.warn(
            "tenant_subscriptions.status",
            word.as_deref().unwrap_or("NULL"),
            "the subscription grants nothing",
        );
    }
    let subscription = Subscription {
        id,
        module: context.codes.code(&code),
        status,
        starts_at: instant::beginning(row.get(column::STARTS_AT)?),
        expires_at: instant::end(row.get(column::EXPIRES_AT)?),
        is_trial: row.flag(column::IS_TRIAL)?,
        trial_ends_at: instant::end(row.get(column::TRIAL_ENDS_AT)?),
    };
    Ok(Some((subscription, SubscriptionEvidence { id, status: word })))
}
