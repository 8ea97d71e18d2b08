//! Which steps have been applied to a database.

use std::collections::HashSet;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

use crate::{ChangeLog, Migrator, RECORD, catalog, makes_the_change_log};

/// One step, and its state. Displays as a line for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// The database has it.
    Applied(String),
    /// This program knows it, and the database lacks it.
    Pending(String),
    /// The database lacks it on purpose: see [`ChangeLog`].
    LeftOut(String),
    /// The database has it, and this program does not know it: a newer program has migrated the
    /// database.
    Unknown(String),
}

impl Step {
    pub(crate) fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(name) => Some(name),
            Self::Applied(_) | Self::Pending(_) | Self::LeftOut(_) => None,
        }
    }

    pub(crate) fn pending(&self) -> Option<&str> {
        match self {
            Self::Pending(name) => Some(name),
            Self::Applied(_) | Self::Unknown(_) | Self::LeftOut(_) => None,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Applied(name) => write!(f, "applied  {name}"),
            Self::Pending(name) => write!(f, "pending  {name}"),
            Self::LeftOut(name) => write!(f, "left out {name} (--changes off)"),
            Self::Unknown(name) => write!(f, "unknown  {name} (made by a newer entitlementd)"),
        }
    }
}

/// Compares the database's record with the steps of this program. Writes nothing.
pub async fn steps(manager: &SchemaManager<'_>, log: ChangeLog) -> Result<Vec<Step>, DbErr> {
    Ok(steps_of(&applied(manager).await?, log))
}

/// The steps of this program, and those that a database's record names besides.
pub fn steps_of(applied: &[String], log: ChangeLog) -> Vec<Step> {
    let migrations = Migrator::migrations();
    let known: HashSet<&str> = migrations.iter().map(|step| step.name()).collect();
    let unknown =
        applied.iter().filter(|name| !known.contains(name.as_str())).cloned().map(Step::Unknown);
    let state = |step: &dyn MigrationTrait| {
        let name = step.name().to_owned();
        if applied.contains(&name) {
            Step::Applied(name)
        } else if log == ChangeLog::LeftOut && makes_the_change_log(step) {
            Step::LeftOut(name)
        } else {
            Step::Pending(name)
        }
    };
    migrations.iter().map(|step| state(&**step)).chain(unknown).collect()
}

/// A PostgreSQL query of the steps that were applied, `a`: none where there is no record, or none
/// that may be read.
///
/// A statement that names a table which is missing fails before it runs. So the one that names it is
/// a value here, and is run only where the table is there.
pub(crate) fn query() -> String {
    format!(
        "SELECT found.step[1] AS a
         FROM (SELECT c.oid FROM pg_class c
               WHERE c.relnamespace = 'public'::regnamespace AND c.relname = '{RECORD}'
                 AND has_schema_privilege('public', 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
                 AND NOT row_security_active(c.oid)) record,
              regexp_matches(CASE WHEN record.oid IS NOT NULL THEN
                  query_to_xml('SELECT version FROM public.{RECORD}', false, true, '')::text END,
                  '<version>([^<]*)</version>', 'g') found (step)"
    )
}

/// Writes down that a step was applied, as sea-orm-migration does.
pub(crate) async fn record(manager: &SchemaManager<'_>, name: &str) -> Result<(), DbErr> {
    let now = match manager.get_database_backend() {
        DbBackend::Sqlite => "CAST(strftime('%s', 'now') AS integer)",
        _ => "CAST(extract(epoch FROM now()) AS bigint)",
    };
    let insert = Query::insert()
        .into_table(RECORD)
        .columns(["version", "applied_at"])
        .values_panic([name.into(), Expr::cust(now)])
        .to_owned();
    manager.get_connection().execute(&insert).await.map(|_| ())
}

async fn applied(manager: &SchemaManager<'_>) -> Result<Vec<String>, DbErr> {
    if !catalog::has_table(manager, RECORD).await? {
        return Ok(Vec::new());
    }
    let select =
        Query::select().column("version").from(RECORD).order_by("version", Order::Asc).to_owned();
    manager
        .get_connection()
        .query_all(&select)
        .await?
        .iter()
        .map(|row| row.try_get("", "version"))
        .collect()
}
