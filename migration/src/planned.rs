//! What the pending steps would put into a database, so that it can be known beforehand.

use std::fmt;

use sea_orm_migration::prelude::*;

use crate::{Additions, Step, Variant, m20261123_000001_tables, m20261123_000002_catalogue};

/// What would be put into a database. Displays as a line for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Planned {
    /// Tables of the ERP's that are missing.
    Tables(Variant, Vec<&'static str>),
    /// Modules, and plans that name them.
    Catalogue(usize, usize),
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tables(variant, tables) => {
                let variant = match variant {
                    Variant::Erp => "erp",
                    Variant::Alembic => "alembic",
                };
                write!(f, "the tables {} (--variant {variant})", tables.join(", "))
            }
            Self::Catalogue(modules, plans) => {
                write!(f, "{modules} modules and {plans} plans (unless --no-catalogue)")
            }
        }
    }
}

/// What the pending steps among these would put into the database. Writes nothing.
pub async fn planned(
    manager: &SchemaManager<'_>,
    steps: &[Step],
    additions: Additions,
) -> Result<Vec<Planned>, DbErr> {
    let is_pending = |name: &str| steps.iter().any(|step| step.pending() == Some(name));
    let mut planned = Vec::new();
    let tables = m20261123_000001_tables::Migration { variant: additions.variant };
    if is_pending(tables.name()) {
        let (variant, missing) =
            m20261123_000001_tables::missing(manager, additions.variant).await?;
        let names: Vec<_> = missing.iter().map(|table| table.name).collect();
        planned.extend((!names.is_empty()).then_some(Planned::Tables(variant, names)));
    }
    let catalogue = m20261123_000002_catalogue::Migration { is_wanted: additions.catalogue };
    if catalogue.is_wanted && is_pending(catalogue.name()) {
        let (modules, plans) = m20261123_000002_catalogue::planned(manager).await?;
        planned.extend((modules > 0).then_some(Planned::Catalogue(modules, plans)));
    }
    Ok(planned)
}
