//! The keys of all tenants, a page at a time: a server of the database ends a statement that takes too
//! long, and others get the connection in between.

use entitlementd_migration::{ChangeLog, topic};
use rustc_hash::FxHashSet;
use sea_orm::{DbErr, QueryResult, Statement, Value, prelude::Uuid};

use super::{are_from_standby, standby_statement};
use crate::{
    domain::Label,
    store::{StoreError, TenantKey, ask::Ask, dialect::Dialect, loaded::Read, row::ReadContext},
};

/// Rows in a page.
const PAGE: usize = 10_000;

/// Where ids are, in the order in which they are read. Rows go from each to the next only: who is
/// deleted is in the log, and what is folded is among what was folded. So nobody is missed on the
/// way.
const TABLES: [Table; 3] = [
    Table {
        name: "tenants",
        id: "id",
        columns: "CAST(subdomain AS text) AS subdomain, NULL AS topic",
    },
    Table::of_log("entitlement_changes"),
    Table::of_log("entitlement_folded_changes"),
];

/// A table that has ids of tenants, and an index that begins with them.
#[derive(Debug)]
struct Table {
    name: &'static str,
    id: &'static str,
    /// The subdomain, and in the log what the row is about.
    columns: &'static str,
}

/// The keys so far.
#[derive(Debug, Default)]
struct Found {
    keys: Vec<TenantKey>,
    ids: FxHashSet<Uuid>,
    is_from_standby: bool,
}

/// The keys of all tenants, and the ids of those that were deleted: these have a revision, which
/// only a look-up tells. Each page is a message of its own; if a standby answers any, all counts as
/// its answer.
///
/// Rows whose id cannot be read are left out, but for their subdomain, and logged.
pub(in crate::store) async fn keys(
    database: &impl Ask,
    log: ChangeLog,
    context: &ReadContext,
) -> Result<Read<Vec<TenantKey>>, StoreError> {
    let dialect = database.dialect();
    let tables = match log {
        ChangeLog::Wanted => &TABLES[..],
        ChangeLog::LeftOut => &TABLES[..1],
    };
    let mut found = Found::default();
    for table in tables {
        let mut after = None;
        loop {
            let rows = found.read(database, table, after, context).await?;
            match rows.last() {
                Some(last) if rows.len() >= PAGE => after = Some(place_of(dialect, last)?),
                _ => break,
            }
        }
    }
    Ok(Read::answered(found.keys, found.is_from_standby))
}

impl Table {
    const fn of_log(name: &'static str) -> Self {
        Self { name, id: "tenant_id", columns: "NULL AS subdomain, topic" }
    }

    /// Reads the rows with the next ids, and about whatever they are: a condition on the topic makes
    /// PostgreSQL expect a few rows where nothing was analyzed yet, and sort the whole table for each
    /// page. A tenant that is in the log many times may fill a page; the next one passes over the rest.
    fn page(&self, dialect: Dialect, after: Option<Value>) -> Statement {
        let Self { name, id, columns } = self;
        let is_next = if after.is_some() { ">" } else { ">=" };
        let place = dialect.parameter(1, "uuid");
        dialect.statement(
            format!(
                "SELECT {id} AS id, {columns} FROM {name} WHERE {id} {is_next} {place} ORDER BY {id} LIMIT {PAGE}"
            ),
            [after.unwrap_or_else(|| first_place(dialect))],
        )
    }
}

/// Before all ids. SQLite sorts text, which somebody may have written by hand, before bytes.
fn first_place(dialect: Dialect) -> Value {
    match dialect {
        Dialect::Postgres => Uuid::nil().into(),
        Dialect::Sqlite => "".into(),
    }
}

/// Where this row is in the order of ids, be its own one or not: each page ends after the one before.
fn place_of(dialect: Dialect, row: &QueryResult) -> Result<Value, StoreError> {
    if dialect == Dialect::Postgres {
        return Ok(row.try_get::<Uuid>("", "id")?.into());
    }
    match row.try_get::<String>("", "id") {
        Ok(text) => Ok(text.into()),
        Err(_) => Ok(row.try_get::<Vec<u8>>("", "id")?.into()),
    }
}

impl Found {
    /// Reads a page.
    async fn read(
        &mut self,
        database: &impl Ask,
        table: &Table,
        after: Option<Value>,
        context: &ReadContext,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let dialect = database.dialect();
        let statements = vec![standby_statement(dialect), table.page(dialect, after)];
        let [said, rows] = <[_; 2]>::try_from(database.query_each(statements).await?)
            .map_err(|_| DbErr::Custom("a statement of a page has no result".into()))?;
        self.is_from_standby |= are_from_standby(&said);
        for row in &rows {
            self.add(table, row, context);
        }
        Ok(rows)
    }

    fn add(&mut self, table: &Table, row: &QueryResult, context: &ReadContext) {
        let topic = row.try_get::<Option<String>>("", "topic").ok().flatten();
        if topic.is_some_and(|topic| topic != topic::TENANT) {
            return;
        }
        match row.try_get::<Uuid>("", "id") {
            // Most that are in the log are tenants, and are in it more than once.
            Ok(id) if self.ids.insert(id) => self.keys.push(TenantKey::Id(id.into())),
            Ok(_) => {}
            Err(_) => {
                let shown = row.try_get::<String>("", "id");
                let shown = shown.unwrap_or_else(|_| "bytes".to_owned());
                context.warnings.warn(table.name, &shown, "left out of the list of all tenants");
            }
        }
        let subdomain = row.try_get::<Option<String>>("", "subdomain").ok().flatten();
        self.keys.extend(subdomain.as_deref().and_then(Label::parse).map(TenantKey::Subdomain));
    }
}
