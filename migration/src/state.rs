//! Which steps a database has seen.

use std::collections::HashSet;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DatabaseConnection},
};

use crate::{Migrator, RECORD};

/// One step, and where it stands. Displays as a line for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// The database has it.
    Applied(String),
    /// This program knows it and the database lacks it.
    Pending(String),
    /// The database has it and this program does not know it: a newer program has been here.
    Unknown(String),
}

impl Step {
    pub(crate) fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(name) => Some(name),
            Self::Applied(_) | Self::Pending(_) => None,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Applied(name) => write!(f, "applied  {name}"),
            Self::Pending(name) => write!(f, "pending  {name}"),
            Self::Unknown(name) => write!(f, "unknown  {name} (made by a newer entitlementd)"),
        }
    }
}

/// Compares the database's record with the steps of this program. Writes nothing.
pub async fn steps(db: &DatabaseConnection) -> Result<Vec<Step>, DbErr> {
    steps_seen(&SchemaManager::new(db)).await
}

pub(crate) async fn steps_seen(manager: &SchemaManager<'_>) -> Result<Vec<Step>, DbErr> {
    let applied = applied(manager).await?;
    let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    let unknown: Vec<String> = applied.iter().filter(|name| !known.contains(name)).cloned().collect();
    let applied: HashSet<String> = applied.into_iter().collect();
    let known =
        known.into_iter().map(|name| if applied.contains(&name) { Step::Applied(name) } else { Step::Pending(name) });
    Ok(known.chain(unknown.into_iter().map(Step::Unknown)).collect())
}

async fn applied(manager: &SchemaManager<'_>) -> Result<Vec<String>, DbErr> {
    if !manager.has_table(RECORD).await? {
        return Ok(Vec::new());
    }
    let select = Query::select().column("version").from(RECORD).order_by("version", Order::Asc).to_owned();
    manager.get_connection().query_all(&select).await?.iter().map(|row| row.try_get("", "version")).collect()
}
