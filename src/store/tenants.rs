//! Many tenants, page by page, ordered by id: one statement per page.

use chrono::{DateTime, Utc};
use futures_util::{Stream, TryStreamExt, stream};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoSimpleExpr, JoinType, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, QueryTrait, RelationTrait, Select,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, Query},
};

use super::{
    Store, StoreError,
    ask::Ask,
    entity::{modules, tenant_subscriptions, tenants},
    row::ReadContext,
    tenant,
};
use crate::domain::{Facts, TenantId, TenantStatus, limits::MAX_PAGE};

/// Which page.
#[derive(Clone, Copy, Debug)]
pub struct PageOfTenants {
    /// After this tenant; `None`: from the first one on.
    pub after: Option<Uuid>,
    /// Maximum number of tenants.
    pub size: u32,
}

impl PageOfTenants {
    fn select(self) -> Select<tenants::Entity> {
        let mut select = tenants::Entity::find().select_only().column(tenants::Column::Id);
        if let Some(after) = self.after {
            select = select.filter(tenants::Column::Id.gt(after));
        }
        select.order_by_asc(tenants::Column::Id).limit(u64::from(self.size))
    }
}

impl Store {
    /// All tenants, with their statuses, by id. They are read page by page.
    pub fn all_tenants(
        &self,
    ) -> impl Stream<Item = Result<(TenantId, TenantStatus), StoreError>> + Send {
        let pages = stream::try_unfold(None, move |after| async move {
            let page = self.tenants(PageOfTenants { after, size: MAX_PAGE }).await?;
            let Some((last, _)) = page.last() else { return Ok(None) };
            let after = Some(last.uuid());
            Ok::<_, StoreError>(Some((stream::iter(page.into_iter().map(Ok)), after)))
        });
        pages.try_flatten()
    }
}

pub(super) async fn page(
    database: &impl Ask,
    page: PageOfTenants,
) -> Result<Vec<(TenantId, TenantStatus)>, StoreError> {
    // Cast, so that widening the column does not break a statement that is already prepared.
    let status = tenants::Column::Status.into_simple_expr().cast_as("text");
    let select = page.select().column_as(status, "status");
    let mut tenants = Vec::new();
    for row in database.select(select).await? {
        let (id, word): (Uuid, Option<String>) =
            (row.try_get("", "id")?, row.try_get("", "status")?);
        tenants.push((id.into(), TenantStatus::of(word.as_deref().unwrap_or_default())));
    }
    Ok(tenants)
}

pub(super) async fn page_with(
    database: &impl Ask,
    module: &str,
    page: PageOfTenants,
    context: &ReadContext,
    now: DateTime<Utc>,
) -> Result<Vec<Facts>, StoreError> {
    let subscribed = tenant_subscriptions::Entity::find()
        .select_only()
        .column(tenant_subscriptions::Column::TenantId)
        .join(JoinType::InnerJoin, tenant_subscriptions::Relation::Modules.def())
        .filter(modules::Column::Code.eq(module));
    let ids = page.select().filter(tenants::Column::Id.in_subquery(subscribed.into_query()));
    // The page is limited before its rows are joined: a tenant may have several.
    let ids = Query::select().column("id").from_subquery(ids.into_query(), "page").take();
    let select = tenant::select(database.dialect())
        .column_as(Expr::val(0_i64).cast_as("bigint"), "revision")
        .filter(tenants::Column::Id.in_subquery(ids))
        .filter(modules::Column::Code.eq(module))
        .order_by_asc(tenants::Column::Id);
    let rows = database.select(select).await?;
    let mut facts = Vec::new();
    let id = |row: &QueryResult| row.try_get::<Uuid>("", "tenants.id").ok();
    for rows in rows.chunk_by(|one, next| id(one) == id(next)) {
        facts.extend(tenant::reading(rows, context, now)?.evidence.map(|evidence| evidence.facts));
    }
    Ok(facts)
}
