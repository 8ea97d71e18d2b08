//! A page of tenants for a search, and the total number, in at most three statements.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, IntoSimpleExpr, JoinType, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, QueryTrait, RelationTrait, Select,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, Func, LikeExpr, SimpleExpr},
};

use super::{
    StoreError,
    ask::Ask,
    entity::{modules, plans, tenant_subscriptions, tenants},
    row::Row,
};
use crate::domain::{SubscriptionStatus, TenantId, TenantStatus};

/// Which tenants, ordered by id. `None` and empty fields do not filter.
#[derive(Clone, Debug, Default)]
pub struct TenantFilter {
    /// With one of these statuses.
    pub statuses: Vec<TenantStatus>,
    /// On the plan with this slug.
    pub plan: Option<String>,
    /// With a subscription to this module that is active and has not ended.
    pub module: Option<String>,
    /// Whose subdomain or name begins with this, ignoring case.
    pub text: Option<String>,
    /// After this tenant.
    pub after: Option<TenantId>,
    /// Maximum number of tenants.
    pub size: u32,
}

/// A tenant in a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedTenant {
    /// `tenants.id`.
    pub id: TenantId,
    /// Its name, to be shown.
    pub name: String,
    /// Its label under a base domain.
    pub subdomain: String,
    /// The schema that holds its data.
    pub database_schema: String,
    /// The status as it is stored.
    pub status: String,
    /// The slug of its plan; may be empty.
    pub plan_slug: String,
}

/// A page of tenants.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ListOfTenants {
    /// The tenants on this page.
    pub tenants: Vec<ListedTenant>,
    /// The number of tenants on all pages together.
    pub total: u64,
}

pub(super) async fn list(
    database: &impl Ask,
    filter: &TenantFilter,
    now: DateTime<Utc>,
) -> Result<ListOfTenants, StoreError> {
    let words = if filter.statuses.is_empty() {
        None
    } else {
        Some(status_words(database, &filter.statuses).await?)
    };
    let such = conditions(filter, words, now);
    let page = page(filter).filter(such.clone());
    let tenants = database.select(page).await?.iter().map(listed).collect::<Result<_, _>>()?;
    let count = tenants::Entity::find()
        .select_only()
        .column_as(tenants::Column::Id.count(), "total")
        .filter(such);
    let rows = database.select(count).await?;
    let total =
        rows.first().map(|row| row.try_get::<i64>("", "total")).transpose()?.unwrap_or_default();
    Ok(ListOfTenants { tenants, total: total.cast_unsigned() })
}

fn page(filter: &TenantFilter) -> Select<tenants::Entity> {
    use tenants::Column as T;
    let text = |column: SimpleExpr| column.cast_as("text");
    let mut select = tenants::Entity::find()
        .select_only()
        .column_as(T::Id, "tenants.id")
        .column_as(text(T::Name.into_simple_expr()), "tenants.name")
        .column_as(text(T::Subdomain.into_simple_expr()), "tenants.subdomain")
        .column_as(text(T::DatabaseSchema.into_simple_expr()), "tenants.database_schema")
        .column_as(text(T::Status.into_simple_expr()), "tenants.status")
        .column_as(text(plans::Column::Slug.into_simple_expr()), "plans.slug")
        .join(JoinType::LeftJoin, tenants::Relation::Plans.def())
        .order_by_asc(T::Id)
        .limit(u64::from(filter.size));
    if let Some(after) = filter.after {
        select = select.filter(T::Id.gt(after.uuid()));
    }
    select
}

fn conditions(filter: &TenantFilter, words: Option<Vec<String>>, now: DateTime<Utc>) -> Condition {
    use tenants::Column as T;
    let plan = filter.plan.as_deref().map(|slug| {
        let of_slug = plans::Entity::find().select_only().column(plans::Column::Id);
        T::PlanId.in_subquery(of_slug.filter(plans::Column::Slug.eq(slug)).into_query())
    });
    let text = filter.text.as_deref().map(|text| {
        let pattern = LikeExpr::new(format!("{}%", escaped(&text.to_lowercase()))).escape('\\');
        let lower = |column: T| SimpleExpr::from(Func::lower(column.into_simple_expr()));
        Condition::any()
            .add(lower(T::Subdomain).like(pattern.clone()))
            .add(lower(T::Name).like(pattern))
    });
    Condition::all()
        .add_option(words.map(|words| T::Status.is_in(words)))
        .add_option(plan)
        .add_option(filter.module.as_deref().map(|code| holds(code, now)))
        .add_option(text)
}

/// Does the tenant have a subscription to the module that is active and has not ended?
fn holds(code: &str, now: DateTime<Utc>) -> SimpleExpr {
    use tenant_subscriptions::Column as S;
    let word = Func::lower(Func::cust("trim").arg(S::Status.into_simple_expr()));
    let has_ended = Condition::any()
        .add(S::ExpiresAt.lte(now))
        .add(Condition::all().add(S::IsTrial.eq(true)).add(S::TrialEndsAt.lte(now)));
    let select = tenant_subscriptions::Entity::find()
        .select_only()
        .expr(Expr::val(1))
        .join(JoinType::InnerJoin, tenant_subscriptions::Relation::Modules.def())
        .filter(S::TenantId.into_simple_expr().equals((tenants::Entity, tenants::Column::Id)))
        .filter(modules::Column::Code.eq(code))
        .filter(SimpleExpr::from(word).eq(SubscriptionStatus::Active.word()))
        .filter(Expr::expr(Func::coalesce([Expr::from(has_ended), Expr::val(false)])).not());
    Expr::exists(select.into_query())
}

/// The stored values of `tenants.status` that mean one of these statuses. They are found by
/// stepping from each value to the next in the column's index.
async fn status_words(
    database: &impl Ask,
    statuses: &[TenantStatus],
) -> Result<Vec<String>, StoreError> {
    let sql = "WITH RECURSIVE words (word) AS (
                   SELECT min(status) FROM tenants
                   UNION ALL
                   SELECT (SELECT min(status) FROM tenants WHERE status > word) FROM words WHERE word IS NOT NULL)
               SELECT CAST(word AS text) AS word FROM words WHERE word IS NOT NULL";
    let rows = database.sql(sql, []).await?;
    let words =
        rows.iter().map(|row| row.try_get::<String>("", "word")).collect::<Result<Vec<_>, _>>()?;
    Ok(words.into_iter().filter(|word| statuses.contains(&TenantStatus::of(word))).collect())
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

fn listed(row: &QueryResult) -> Result<ListedTenant, StoreError> {
    let id: Uuid = row.try_get("", "tenants.id")?;
    let row = Row::keyed_by::<Uuid>(row, "tenants.id")?;
    let Some(row) = row else {
        return Err(sea_orm::DbErr::RecordNotFound("a tenant's id".into()).into());
    };
    Ok(ListedTenant {
        id: id.into(),
        name: row.text("tenants.name")?,
        subdomain: row.text("tenants.subdomain")?,
        database_schema: row.text("tenants.database_schema")?,
        status: row.text("tenants.status")?,
        plan_slug: row.text("plans.slug")?,
    })
}
