//! Whether the database's schema is the one that the statements were written for.

use entitlementd_migration::{
    self as migration, Additions, Armed, ChangeLog, Denied, Look, MissingColumn, MissingColumns,
    MissingTrigger, OpenDoor, Planned, SchemaManager, Step,
};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, TransactionTrait};

use super::{Store, StoreError, ask::Ask, database::Database};

const IS_BEHIND: &str = "the database's schema is behind; run: entitlementd migrate";

/// The findings about the schema.
#[derive(Clone, Debug)]
pub struct SchemaReport {
    /// Every step that this program or the database knows, and its state.
    pub steps: Vec<Step>,
    /// Missing columns that checks are answered from.
    pub missing: Vec<MissingColumn>,
    /// Missing columns that only administration needs. Checks are answered nevertheless.
    pub missing_for_administration: Vec<MissingColumn>,
    /// Triggers of the change log that are missing, or do not fire for everybody.
    pub unarmed: Vec<MissingTrigger>,
    /// Rights that serving takes and this connection's role lacks.
    pub denied: Vec<Denied>,
    /// Rights of others on our own objects that go further than necessary.
    pub open_doors: Vec<OpenDoor>,
    /// Statements that would create missing indexes.
    pub index_advice: Vec<String>,
}

/// The conclusion from a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SchemaState {
    /// The role lacks rights that serving takes: nothing can be answered.
    Denied,
    /// As this program expects it.
    Current,
    /// Steps are pending, or needed columns are missing: nothing can be answered.
    Behind,
    /// A newer program has migrated the database, and everything needed is there: a rolling
    /// upgrade.
    Ahead,
}

impl SchemaReport {
    /// Can the database be administered? The error names the missing columns.
    pub fn administration(&self) -> Result<(), StoreError> {
        match self.missing_for_administration.as_slice() {
            [] => Ok(()),
            missing => Err(StoreError::MissingColumns(missing.into())),
        }
    }

    /// What keeps checks from being answered, in the words of `migrate --status`: the first line of it,
    /// and how many more there are.
    pub fn obstacle(&self) -> Option<String> {
        let lines = self.obstacles();
        let more = match lines.len() {
            0 | 1 => String::new(),
            count => format!(" (and {} more: entitlementd migrate --status)", count - 1),
        };
        lines.first().map(|first| first.clone() + &more)
    }

    /// Everything that keeps checks from being answered, a line each.
    pub fn obstacles(&self) -> Vec<String> {
        match self.state() {
            SchemaState::Denied => self.denied.iter().map(ToString::to_string).collect(),
            SchemaState::Behind if self.is_pending() => vec![IS_BEHIND.to_owned()],
            SchemaState::Behind => self.missing.iter().map(ToString::to_string).collect(),
            SchemaState::Current | SchemaState::Ahead => Vec::new(),
        }
    }

    /// The conclusion from the report.
    pub fn state(&self) -> SchemaState {
        let unknown = |step: &Step| matches!(step, Step::Unknown(_));
        if !self.denied.is_empty() {
            SchemaState::Denied
        } else if self.is_pending() || !self.missing.is_empty() {
            SchemaState::Behind
        } else if self.steps.iter().any(unknown) {
            SchemaState::Ahead
        } else {
            SchemaState::Current
        }
    }

    /// The steps that the database lacks.
    pub fn pending(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| matches!(step, Step::Pending(_)))
    }

    fn is_pending(&self) -> bool {
        self.pending().next().is_some()
    }
}

impl Store {
    /// Examines the schema, in one statement. Writes nothing.
    pub async fn schema(&self) -> Result<SchemaReport, StoreError> {
        self.report_on(self.near_watched()).await
    }

    /// The same of a database that may become this one.
    pub(super) async fn report_on(&self, database: &Database) -> Result<SchemaReport, StoreError> {
        // Nothing is to be prepared that is asked once.
        let database = database.unprepared();
        let look = self.look(&database).await?;
        let applied = match look.steps_statement(database.dialect().backend()) {
            Some(sql) => names(&database.sql(sql, []).await?)?,
            None => look.applied().to_vec(),
        };
        let steps = if look.may_not_read_steps() {
            Vec::new()
        } else {
            migration::steps_of(&applied, self.log)
        };
        let is_pending = steps.iter().any(|step| matches!(step, Step::Pending(_)));
        let is_counted = self.log == ChangeLog::Wanted && !is_pending;
        let MissingColumns { for_serving, for_administration } = if is_pending {
            // A table that has yet to be created will have them.
            look.missing_in_existing_tables()
        } else {
            look.missing_columns()
        };
        Ok(SchemaReport {
            missing: for_serving,
            missing_for_administration: for_administration,
            unarmed: if is_counted {
                look.missing_triggers(database.dialect().backend())
            } else {
                Vec::new()
            },
            denied: look.denied,
            open_doors: look.open_doors,
            index_advice: look.index_advice,
            steps,
        })
    }

    async fn look(&self, database: &Database) -> Result<Look, StoreError> {
        let statement = Look::statement(database.dialect().backend(), self.log);
        Ok(Look::of(&database.sql(statement, []).await?)?)
    }

    /// If an administrator's read failed because a column is missing, returns an error that names
    /// all columns that administration needs and that are missing.
    pub(super) async fn name_missing_columns<T>(
        &self,
        read: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match read {
            Err(error) if error.is_missing_column() => {
                Err(self.missing_for_administration().await?.unwrap_or(error))
            }
            read => read,
        }
    }

    async fn missing_for_administration(&self) -> Result<Option<StoreError>, StoreError> {
        let look = self.look(&self.primary.unprepared()).await?;
        let MissingColumns { for_serving, for_administration } = look.missing_columns();
        let missing = [for_serving, for_administration].concat();
        Ok((!missing.is_empty()).then(|| StoreError::MissingColumns(missing.into())))
    }

    /// What these steps would put into the database where they are pending. Writes nothing.
    pub async fn planned(
        &self,
        steps: &[Step],
        additions: Additions,
    ) -> Result<Vec<Planned>, StoreError> {
        let own = self.primary.for_migrating().await?;
        let [first, last] = own.frame;
        let visit = own.connection.begin().await?;
        visit.execute_unprepared(first).await?;
        let planned = migration::planned(&SchemaManager::new(&visit), steps, additions).await?;
        visit.execute_unprepared(last).await?;
        visit.commit().await?;
        own.close().await;
        Ok(planned)
    }

    /// Applies the pending steps, and makes missing triggers; returns what that took. The error is for
    /// an operator: it may contain the database's own messages.
    pub async fn migrate(&self, additions: Additions) -> Result<Vec<Armed>, DbErr> {
        let custom = |error: StoreError| DbErr::Custom(error.to_string());
        let own = self.watched.for_migrating().await.map_err(custom)?;
        let migrated = migration::migrate(&own.connection, self.log, additions, own.frame).await;
        own.close().await;
        migrated
    }
}

/// The names of steps.
fn names(rows: &[QueryResult]) -> Result<Vec<String>, DbErr> {
    rows.iter().map(|row| row.try_get("", "version")).collect()
}
