//! Is the database's schema the one that the statements were written for?

use entitlementd_migration::{
    self as migration, ChangeLog, Denied, MissingColumn, MissingColumns, MissingTrigger, OpenDoor,
    SchemaManager, Step,
};
use sea_orm::DbErr;

use super::{Store, StoreError};

/// What was found of the schema.
#[derive(Clone, Debug)]
pub struct SchemaReport {
    /// Every step that this program or the database knows, and where it stands.
    pub steps: Vec<Step>,
    /// Columns that checks are answered from and that are not there.
    pub missing: Vec<MissingColumn>,
    /// Columns that only administration needs and that are not there. Checks are answered all the
    /// same.
    pub missing_for_administration: Vec<MissingColumn>,
    /// Triggers of the change log that are not there, or not armed.
    pub unarmed: Vec<MissingTrigger>,
    /// What this connection's role may not do that serving takes.
    pub denied: Vec<Denied>,
    /// What lets others do more with the objects of ours than is needed.
    pub open_doors: Vec<OpenDoor>,
    /// Statements that would make missing indexes.
    pub index_advice: Vec<String>,
}

/// What a report comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SchemaState {
    /// The role may not do what serving takes: nothing can be answered.
    Denied,
    /// As this program expects it.
    Current,
    /// Steps are pending, or needed columns or triggers are missing: nothing can be answered.
    Behind,
    /// A newer program has been here, and all that is needed is there: a rolling upgrade.
    Ahead,
}

impl SchemaReport {
    /// May the database be administered? The error names the columns that it takes.
    pub fn administration(&self) -> Result<(), StoreError> {
        match self.missing_for_administration.as_slice() {
            [] => Ok(()),
            missing => Err(StoreError::MissingColumns(missing.into())),
        }
    }

    /// What the report comes to.
    pub fn state(&self) -> SchemaState {
        let pending = |step: &Step| matches!(step, Step::Pending(_));
        let unknown = |step: &Step| matches!(step, Step::Unknown(_));
        if !self.denied.is_empty() {
            SchemaState::Denied
        } else if self.steps.iter().any(pending)
            || !self.missing.is_empty()
            || !self.unarmed.is_empty()
        {
            SchemaState::Behind
        } else if self.steps.iter().any(unknown) {
            SchemaState::Ahead
        } else {
            SchemaState::Current
        }
    }
}

impl Store {
    /// Looks at the schema. Writes nothing.
    pub async fn schema(&self) -> Result<SchemaReport, StoreError> {
        let visit = self.primary.visit().await?;
        let manager = SchemaManager::new(&visit.inner);
        let may_read_steps = migration::may_read_steps(&manager).await?;
        let steps =
            if may_read_steps { migration::steps(&manager, self.log).await? } else { Vec::new() };
        let is_pending = steps.iter().any(|step| matches!(step, Step::Pending(_)));
        let is_counted = self.log == ChangeLog::Wanted && !is_pending;
        let MissingColumns { for_serving, for_administration } =
            migration::missing_columns(&manager).await?;
        let report = SchemaReport {
            missing: for_serving,
            missing_for_administration: if is_pending {
                // A table that is yet to be made will have them.
                migration::missing_in_existing_tables(&manager).await?.for_administration
            } else {
                for_administration
            },
            unarmed: if is_counted {
                migration::missing_triggers(&manager).await?
            } else {
                Vec::new()
            },
            denied: migration::denied(&manager, self.log).await?,
            open_doors: migration::open_doors(&manager).await?,
            index_advice: migration::index_advice(&manager).await?,
            steps,
        };
        visit.commit().await?;
        Ok(report)
    }

    /// Names the columns that administration needs, where one that is missing has failed an
    /// administrator's reading.
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
        let visit = self.primary.visit().await?;
        let missing =
            migration::missing_columns(&SchemaManager::new(&visit.inner)).await?.for_administration;
        visit.commit().await?;
        Ok((!missing.is_empty()).then(|| StoreError::MissingColumns(missing.into())))
    }

    /// Applies the pending steps, and makes triggers anew that have gone missing. The error is for
    /// an operator: it may hold the database's own words.
    pub async fn migrate(&self) -> Result<(), DbErr> {
        let (connection, frame) = self.primary.for_migrating();
        migration::migrate(&connection, self.log, frame).await
    }
}
