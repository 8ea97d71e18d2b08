//! `entitlementd tenant`: tenants, in the database itself.

mod history;
mod list;
mod mutate;
mod onboard;
mod provision;
mod show;

use std::{
    error::Error,
    io::{self, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{Cell, Table};
use serde_json::Value;

use super::{
    GOOD, catalogue, template,
    wiring::{self, Opening},
};
use crate::{
    config::{MutationArgs, TenantCommand, UnusableSetting},
    domain::Money,
    shown::{shown, shown_json},
    store::{SchemaState, Store, TenantKey},
};

pub(super) use self::mutate::{author, refusal};

/// The exit code, or what went wrong.
type Outcome = Result<u8, Box<dyn Error>>;

pub(super) async fn run(command: TenantCommand) -> Outcome {
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
        TenantCommand::History(args) => history::run(args).await,
    }
}

/// A tenant as people name it.
fn key(tenant: &str) -> Result<TenantKey, UnusableSetting> {
    let problem = "is no tenant's name: expected a UUID in 36-character form, or a subdomain";
    TenantKey::parse(tenant).ok_or_else(|| UnusableSetting::new("TENANT", format!("{:?} {problem}", shown(tenant))))
}

/// Opens a database to write to: it must be as this program knows it.
pub(super) async fn open_to_write(args: &MutationArgs) -> Result<Store, Box<dyn Error>> {
    open_for_many(args, wiring::PATIENT.max_connections).await
}

async fn open_for_many(args: &MutationArgs, max_connections: u32) -> Result<Store, Box<dyn Error>> {
    let template = template::load(args.tenant_template.as_deref())?;
    let opening = Opening { max_connections, log: wiring::log(args.changes), create: false, ..wiring::PATIENT };
    let store = wiring::open_store(&args.database, &opening).await?.with_template(template);
    let problem: Box<dyn Error> = match store.schema().await {
        Err(error) => error.into(),
        Ok(report) => match report.state() {
            SchemaState::Current | SchemaState::Ahead => return Ok(store),
            SchemaState::Behind => "the database's schema is behind: run entitlementd migrate first".into(),
            SchemaState::Denied => {
                let denied: Vec<String> = report.denied.iter().map(ToString::to_string).collect();
                denied.join("\n").into()
            }
        },
    };
    store.close().await;
    Err(problem)
}

fn print(text: &str) -> Outcome {
    writeln!(io::stdout(), "{}", text.trim_end())?;
    Ok(GOOD)
}

fn print_json(json: &Value) -> Outcome {
    print(&shown_json(&format!("{json:#}")))
}

fn table(header: &[&str]) -> Table {
    catalogue::table(header)
}

fn price(amount: Money) -> Cell {
    catalogue::price(Some(amount))
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn instant_or(at: Option<DateTime<Utc>>, otherwise: &str) -> String {
    at.map_or(otherwise.to_owned(), instant)
}
