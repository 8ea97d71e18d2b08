//! `entitlementd tenant`: tenants, in the database itself.

mod history;
mod list;
mod mutate;
mod onboard;
mod provision;
mod show;
mod terms;

use std::error::Error;

use super::output::CommandResult;
use crate::{
    config::{MutationArgs, TenantCommand, UnusableSetting},
    escape::escape_control,
    server::{
        database::{self, Opening},
        template,
    },
    store::{SchemaState, Store, TenantKey},
};

pub(crate) use self::{
    mutate::{author, refusal},
    terms::{
        flag_in_words, kept_feature_in_words, kept_limit_in_words, override_in_words,
        time_zone_in_words,
    },
};

pub(crate) async fn run(command: TenantCommand) -> CommandResult {
    match command {
        TenantCommand::Onboard(args) => onboard::run(args).await,
        TenantCommand::Provision(args) => provision::run(args).await,
        TenantCommand::Verify(args) => provision::verify(args).await,
        TenantCommand::List(args) => list::run(args).await,
        TenantCommand::Delete(args) => mutate::delete(args).await,
        TenantCommand::Show(args) => show::run(args).await,
        TenantCommand::SetStatus(args) => mutate::set_status(args).await,
        TenantCommand::Enable(args) => mutate::enable(args).await,
        TenantCommand::Disable(args) => mutate::disable(args).await,
        TenantCommand::ChangePlan(args) => mutate::change_plan(args).await,
        TenantCommand::SetFlag(args) => terms::set_flag(args).await,
        TenantCommand::DeleteFlag(args) => terms::delete_flag(args).await,
        TenantCommand::SetLimit(args) => terms::set_limit(args).await,
        TenantCommand::EndLimit(args) => terms::end_limit(args).await,
        TenantCommand::EndKeptFeature(args) => terms::end_kept_feature(args).await,
        TenantCommand::EndKeptLimit(args) => terms::end_kept_limit(args).await,
        TenantCommand::SetTimeZone(args) => terms::set_time_zone(args).await,
        TenantCommand::History(args) => history::run(args).await,
    }
}

/// A tenant by its UUID or subdomain.
pub(crate) fn key(tenant: &str) -> Result<TenantKey, UnusableSetting> {
    let problem = "is no tenant's name: expected a UUID in 36-character form, or a subdomain";
    TenantKey::parse(tenant).ok_or_else(|| {
        UnusableSetting::new("TENANT", format!("{:?} {problem}", escape_control(tenant)))
    })
}

/// How it was named.
pub(crate) fn name_of(key: &TenantKey) -> String {
    match key {
        TenantKey::Id(id) => id.to_string(),
        TenantKey::Subdomain(label) => label.as_str().to_owned(),
    }
}

/// Opens a database for writing: its schema must be the one that this program knows.
pub(crate) async fn open_to_write(args: &MutationArgs) -> Result<Store, Box<dyn Error>> {
    open_for_many(args, database::PATIENT.max_connections).await
}

async fn open_for_many(args: &MutationArgs, max_connections: u32) -> Result<Store, Box<dyn Error>> {
    let template = template::load(args.tenant_template.as_deref())?;
    let opening = Opening {
        max_connections,
        log: database::log(args.changes),
        create: false,
        ..database::PATIENT
    };
    let store = database::open_store(&args.database, &opening).await?.with_template(template);
    let problem: Box<dyn Error> = match store.schema().await {
        Err(error) => error.into(),
        Ok(report) => match report.state() {
            SchemaState::Current | SchemaState::Ahead => match report.administration() {
                Ok(()) => return Ok(store),
                Err(error) => error.into(),
            },
            SchemaState::Behind => {
                "the database's schema is behind: run entitlementd migrate first".into()
            }
            SchemaState::Denied => {
                let denied: Vec<String> = report.denied.iter().map(ToString::to_string).collect();
                denied.join("\n").into()
            }
        },
    };
    store.close().await;
    Err(problem)
}
