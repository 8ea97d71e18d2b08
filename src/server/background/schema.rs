//! The look at the schema with which a server starts.

use std::time::Duration;

use super::{
    condition::{Cause, Trouble},
    waiting::Waiting,
};
use crate::{
    service::Core,
    store::{Additions, Durations, SchemaReport, SchemaState, StoreError},
};

/// Why nothing can be answered yet.
pub(super) struct Obstacle {
    pub(super) trouble: Trouble,
    /// For the log, a line each.
    pub(super) lines: Vec<String>,
}

impl Obstacle {
    /// The schema could not be looked at.
    pub(super) fn of(error: &StoreError) -> Self {
        Self {
            trouble: Trouble::new(Cause::of(error), "the database cannot be asked"),
            lines: vec![format!("the schema has not been looked at: {error}")],
        }
    }

    /// Logs it. `so_far`: how long it has lasted.
    pub(super) fn tell(&self, so_far: Duration) {
        let cause = self.trouble.cause.word();
        for line in &self.lines {
            tracing::error!(cause, "not ready, {} s so far: {line}", so_far.as_secs());
        }
    }
}

/// Checks the schema, and migrates it first if it is behind and that is requested. Returns why
/// nothing can be answered; `None`: everything can.
pub(super) async fn look(
    core: &Core,
    migrate: Option<Additions>,
    waiting: Waiting,
) -> Result<Option<Obstacle>, StoreError> {
    let Durations { connect, start: at_most, .. } = core.store.durations();
    waiting.tell_while("a connection to the database", connect, core.store.connect()).await?;
    let mut report =
        waiting.wait_for("the look at the schema", at_most, core.store.schema()).await?;
    let is_wanting = report.state() == SchemaState::Behind || !report.unarmed.is_empty();
    if let Some(additions) = migrate.filter(|_| is_wanting) {
        match core.store.migrate(additions).await {
            Ok(armed) => armed.iter().for_each(|table| tracing::info!("migrated {table}")),
            // Without a trigger it serves all the same.
            Err(error) => tracing::error!(%error, "the migration failed: {error}"),
        }
        report = waiting.wait_for("the look at the schema", at_most, core.store.schema()).await?;
    }
    let obstacle = obstacle(&report);
    if obstacle.is_none() {
        tell_what_is_noteworthy(&report);
    }
    Ok(obstacle)
}

fn obstacle(report: &SchemaReport) -> Option<Obstacle> {
    let text = report.obstacle()?;
    let cause = if report.denied.is_empty() { Cause::Schema } else { Cause::Rights };
    let mut lines = report.obstacles();
    if cause == Cause::Schema {
        let missing = report.missing.iter().map(ToString::to_string);
        for line in missing.chain(report.pending().map(|step| format!("migration {step}"))) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    Some(Obstacle { trouble: Trouble::new(cause, text), lines })
}

fn tell_what_is_noteworthy(report: &SchemaReport) {
    for advice in &report.index_advice {
        tracing::warn!("the database lacks an index; run: {advice}");
    }
    for column in &report.missing_for_administration {
        tracing::warn!("administrators are not answered, since {column}");
    }
    for door in &report.open_doors {
        tracing::warn!("in the database: {door}");
    }
    // The feed says what follows from it, now and whenever that changes.
    for trigger in &report.unarmed {
        tracing::warn!("in the database: {trigger}");
    }
    if report.state() == SchemaState::Ahead {
        tracing::warn!(
            "the database was migrated by a newer entitlementd; serving, since all that is needed is there"
        );
    }
}
