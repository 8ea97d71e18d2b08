//! Everything that is to be known of a database's schema, read at once: a database may be far away,
//! and its server is not ready before it has been looked at.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, QueryResult},
};

use crate::{
    ChangeLog, Denied, MissingColumns, MissingTrigger, OpenDoor, RECORD, advice,
    catalog::{self, Existing},
    changes::{self, Arming},
    denied, rights, state,
};

/// What a look has found.
#[derive(Debug, Default)]
pub struct Look {
    existing: Existing,
    armed: Vec<(String, Arming)>,
    may_not_read_steps: bool,
    applied: Vec<String>,
    /// Rights that serving takes and this connection's role lacks.
    pub denied: Vec<Denied>,
    /// Rights of others on our own objects that go further than necessary.
    pub open_doors: Vec<OpenDoor>,
    /// Statements that would make missing indexes.
    pub index_advice: Vec<String>,
}

impl Look {
    /// The statement that looks. Its rows make the [`Look`].
    pub fn statement(backend: DbBackend, log: ChangeLog) -> String {
        let columns =
            format!("SELECT 'column' AS kind, a, b FROM ({}) found", catalog::columns(backend));
        let triggers =
            format!("SELECT 'trigger', a, b FROM ({}) found", changes::arming_of_each(backend));
        let mut parts = vec![columns, triggers];
        if backend == DbBackend::Postgres {
            let of = |kind: &str, query: String| {
                format!("SELECT '{kind}', a, NULL FROM ({query}) found")
            };
            parts.push(of("denied", denied::query(log)));
            parts.push(of("door", rights::open_doors()));
            parts.push(of("advice", advice::query()));
            parts.push(of("step", state::query()));
            parts.push(format!(
                "SELECT 'unreadable', NULL, NULL WHERE NOT {}",
                denied::may_read_steps()
            ));
        }
        parts.join(" UNION ALL ")
    }

    /// What the statement has found.
    pub fn of(rows: &[QueryResult]) -> Result<Self, DbErr> {
        let mut look = Self::default();
        for row in rows {
            let text = |column: &str| {
                row.try_get::<Option<String>>("", column).map(Option::unwrap_or_default)
            };
            let (kind, a) = (text("kind")?, text("a")?);
            match kind.as_str() {
                "column" => look.existing.add(a, text("b")?),
                "trigger" => look.armed.push((a, Arming::of(&text("b")?))),
                "denied" => look.denied.push(Denied(a)),
                "door" => look.open_doors.push(OpenDoor(a)),
                "advice" => look.index_advice.push(a),
                "step" => look.applied.push(a),
                _ => look.may_not_read_steps = true,
            }
        }
        look.denied.sort_by(|one, other| one.0.cmp(&other.0));
        look.open_doors.sort_by(|one, other| one.0.cmp(&other.0));
        look.applied.sort();
        Ok(look)
    }

    /// The statement that reads which steps were applied, where the look could not: SQLite names
    /// no table that may be missing. `None`: there is nothing more to read.
    pub fn steps_statement(&self, backend: DbBackend) -> Option<String> {
        let is_another = backend == DbBackend::Sqlite && self.existing.has_table(RECORD);
        is_another.then(|| format!("SELECT version FROM {RECORD} ORDER BY version"))
    }

    /// The steps that were applied, as far as the look has found them.
    pub fn applied(&self) -> &[String] {
        &self.applied
    }

    /// May the record of steps not be read, whether or not it exists?
    pub fn may_not_read_steps(&self) -> bool {
        self.may_not_read_steps
    }

    /// The needed columns that the database lacks. A missing table lacks all of them.
    pub fn missing_columns(&self) -> MissingColumns {
        MissingColumns::of(&self.existing)
    }

    /// The needed columns that existing tables lack. Missing tables are made by the migration.
    pub fn missing_in_existing_tables(&self) -> MissingColumns {
        MissingColumns::of_existing_tables(&self.existing)
    }

    /// The triggers that do not fire for everybody.
    pub fn missing_triggers(&self, backend: DbBackend) -> Vec<MissingTrigger> {
        changes::missing_triggers(backend, &self.armed)
    }
}
