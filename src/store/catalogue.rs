//! The catalogue: all modules and plans, and what features and limits there are.

mod definitions;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, IntoSimpleExpr, Order, QueryOrder, QueryResult, QuerySelect,
    QueryTrait, Select, Statement,
    prelude::Json,
    sea_query::{CaseStatement, Expr, ExprTrait, Func, NullOrdering},
};

use entitlementd_migration::ChangeLog;

use super::{
    StoreError,
    ask::Ask,
    dialect::Dialect,
    entity::{modules, plans},
    loaded::Read,
    row::{ReadContext, Row},
    tenant::{OwnTables, are_from_standby, standby_statement},
};
use crate::domain::{Catalogue, Module, ModuleCode, Plan};

/// Reads the catalogue, in one message where that can be, and its revision first: its contents may be
/// newer than the revision, but never older.
pub(super) async fn read(
    database: &impl Ask,
    log: ChangeLog,
    context: &ReadContext,
    now: DateTime<Utc>,
) -> Result<Read<Catalogue>, StoreError> {
    let all = match database.query_each(statements(database.dialect(), log, OwnTables::There)).await
    {
        // `check` also works on a database that was never migrated.
        Err(error) if error.is_missing_table() => {
            database.query_each(statements(database.dialect(), log, OwnTables::Missing)).await?
        }
        all => all?,
    };
    let [standby, revision, modules, plans, aliases, definitions @ ..] = all.as_slice() else {
        return Err(DbErr::Custom("a statement of the catalogue has no result".into()).into());
    };
    let revision = revision.first().map(|row| row.try_get::<i64>("", "revision")).transpose()?;
    let modules = with_keys(modules, "modules.code", context)?;
    let modules = modules.iter().map(|row| module(row, context)).collect::<Result<_, _>>()?;
    let plans = with_keys(plans, "plans.slug", context)?;
    let definitions = definitions::of(&plans, definitions, context)?;
    let plans = plans.iter().map(|row| plan(row, context)).collect::<Result<_, _>>()?;
    let revision = revision.unwrap_or_default().cast_unsigned();
    let catalogue =
        Catalogue::new(modules, plans, revision, now).with_aliases(aliases_of(aliases, context)?);
    let catalogue = catalogue.with_definitions(definitions);
    Ok(Read::answered(catalogue, are_from_standby(standby)))
}

/// The codes that modules had before they were renamed, each with the current code.
const ALIASES: &str = "SELECT CAST(a.alias AS text) AS alias, CAST(m.code AS text) AS code
                       FROM entitlement_module_aliases a JOIN modules m ON m.id = a.module_id";

const NO_ALIASES: &str = "SELECT NULL AS alias, NULL AS code WHERE 1 = 0";

/// What is read: whether a standby answers, the revision, the modules, the plans, the aliases, and
/// what features and limits there are.
fn statements(dialect: Dialect, log: ChangeLog, tables: OwnTables) -> Vec<Statement> {
    let revision = match log {
        ChangeLog::Wanted => dialect.catalogue_revision(),
        ChangeLog::LeftOut => "0".to_owned(),
    };
    let revision = format!("SELECT CAST({revision} AS bigint) AS revision");
    let (aliases, definitions) = match tables {
        OwnTables::There => (ALIASES, definitions::statements(dialect)),
        OwnTables::Missing => (NO_ALIASES, Vec::new()),
    };
    let mut statements = vec![
        standby_statement(dialect),
        dialect.statement(revision, []),
        select_modules().build(dialect.backend()),
        plans_in_order().build(dialect.backend()),
        dialect.statement(aliases, []),
    ];
    statements.extend(definitions.into_iter().map(|sql| dialect.statement(sql, [])));
    statements
}

fn aliases_of(
    rows: &[QueryResult],
    context: &ReadContext,
) -> Result<Vec<(ModuleCode, ModuleCode)>, DbErr> {
    let code = |row: &QueryResult, column: &str| {
        row.try_get::<String>("", column).map(|code| context.codes.code(&code))
    };
    rows.iter().map(|row| Ok((code(row, "alias")?, code(row, "code")?))).collect()
}

pub(super) fn select_modules() -> Select<modules::Entity> {
    use modules::Column as M;
    modules::Entity::find()
        .select_only()
        .column_as(M::Code.into_simple_expr().cast_as("text"), "modules.code")
        .column_as(M::Name.into_simple_expr().cast_as("text"), "modules.name")
        .column_as(M::Category.into_simple_expr().cast_as("text"), "modules.category")
        .column_as(M::DisplayOrder, "modules.display_order")
        .column_as(M::IsBaseModule, "modules.is_base_module")
        .column_as(M::IsActive, "modules.is_active")
        .column_as(list(M::Sections), "modules.sections")
        .column_as(list(M::FrontendRoutes), "modules.frontend_routes")
        .column_as(list(M::ApiEndpoints), "modules.api_endpoints")
}

/// Maximum length of JSON that is read, in characters: a list of ten thousand codes is shorter.
const MAX_JSON_CHARS: i32 = 1 << 20;

/// A JSON list, as text, if it is short enough to be read: a longer one never leaves the database.
pub(super) fn list(column: impl ColumnTrait) -> Expr {
    let text = || column.into_simple_expr().cast_as("text");
    let length = Expr::from(Func::cust("length").arg(text()));
    CaseStatement::new()
        .case(length.gt(MAX_JSON_CHARS), r#""(longer than 1 MiB)""#)
        .finally(text())
        .into()
}

pub(super) fn module(row: &Row<'_>, context: &ReadContext) -> Result<Module, StoreError> {
    Ok(Module {
        code: context.codes.code(&row.get::<String>("modules.code")?),
        name: row.text("modules.name")?,
        category: row.text("modules.category")?,
        display_order: row.get::<Option<i32>>("modules.display_order")?.unwrap_or_default(),
        is_base_module: row.flag("modules.is_base_module")?,
        is_active: row.flag("modules.is_active")?,
        sections: row.list("modules.sections", context, |item| item.as_i64()?.try_into().ok()),
        frontend_routes: row
            .list("modules.frontend_routes", context, |item| item.as_str().map(str::to_owned)),
        api_endpoints: row.list("modules.api_endpoints", context, endpoint),
    })
}

/// An endpoint is a string, or an object with `path` and optionally `method` or `methods`.
fn endpoint(item: &Json) -> Option<String> {
    let Json::Object(fields) = item else { return item.as_str().map(str::to_owned) };
    let path = fields.get("path")?.as_str()?;
    match fields.get("methods").or_else(|| fields.get("method")) {
        None | Some(Json::Null) => Some(path.to_owned()),
        Some(Json::String(method)) => Some(format!("{method} {path}")),
        Some(Json::Array(methods)) => {
            let methods: Vec<&str> = methods.iter().map(Json::as_str).collect::<Option<_>>()?;
            Some(format!("{} {path}", methods.join("|")))
        }
        Some(_) => None,
    }
}

/// Rows by key. A row without a key cannot be asked for: it is left out, rather than making the
/// others unreadable.
pub(super) fn with_keys<'a>(
    rows: &'a [QueryResult],
    key: &'static str,
    context: &ReadContext,
) -> Result<Vec<Row<'a>>, StoreError> {
    let mut keyed = Vec::with_capacity(rows.len());
    for row in rows {
        match Row::keyed_by::<String>(row, key)? {
            Some(row) => keyed.push(row),
            None => context.warnings.warn(key, "NULL", "the row is left out"),
        }
    }
    Ok(keyed)
}

/// Cheapest first. The database compares the prices, so that no prices are read here.
fn plans_in_order() -> Select<plans::Entity> {
    use plans::Column as P;
    select_plans()
        .order_by_with_nulls(P::PriceInr, Order::Asc, NullOrdering::Last)
        .order_by(P::Slug, Order::Asc)
}

/// Cast, so that a column that is made wider does not break the statements that are prepared already.
fn number(column: impl ColumnTrait) -> Expr {
    column.into_simple_expr().cast_as("bigint")
}

pub(super) fn select_plans() -> Select<plans::Entity> {
    use plans::Column as P;
    plans::Entity::find()
        .select_only()
        .column_as(P::Slug.into_simple_expr().cast_as("text"), "plans.slug")
        .column_as(P::IsActive, "plans.is_active")
        .column_as(list(P::IncludedModules), "plans.included_modules")
        .column_as(number(P::MaxUsers), "plans.max_users")
        .column_as(number(P::MaxTransactionsMonthly), "plans.max_transactions_monthly")
}

pub(super) fn plan(row: &Row<'_>, context: &ReadContext) -> Result<Plan, StoreError> {
    let modules = row.list("plans.included_modules", context, |item| {
        item.as_str().map(|code| context.codes.code(code))
    });
    Ok(Plan {
        slug: row.get("plans.slug")?,
        is_active: row.flag("plans.is_active")?,
        modules: HashSet::from_iter(modules),
    })
}
