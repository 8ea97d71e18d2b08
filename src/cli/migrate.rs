//! `entitlementd migrate`.

use std::error::Error;

use super::GOOD;
use crate::{
    clock::Clock,
    config::MigrateArgs,
    escape::escape_control,
    routes::{PathTemplate, rules_of},
    server::{
        database::{self, Opening},
        gateway::prefix,
    },
    store::{LoadTenant, SchemaReport, UnreadTerm},
};

/// Rows that count for less than they say are shown up to this number.
const MAX_UNREAD: usize = 20;

/// Applies the pending steps, or with `--status` only lists them.
pub(crate) async fn run(args: MigrateArgs) -> Result<u8, Box<dyn Error>> {
    let opening =
        Opening { log: database::log(args.changes), create: !args.status, ..database::PATIENT };
    let (additions, prefix) = (database::additions(args.additions), prefix(&args.words)?);
    let store = database::open_store(&args.database, &opening).await?;
    if !args.status {
        for armed in store.migrate(additions).await? {
            println!("armed    {armed}");
        }
    }
    let report = store.schema().await?;
    for step in &report.steps {
        println!("{step}");
    }
    if report.denied.is_empty() {
        for planned in store.planned(&report.steps, additions).await? {
            println!("adds     {planned}");
        }
    }
    print(&report);
    store.close().await;
    if report.missing.is_empty() && report.denied.is_empty() {
        // The rest has been done and said, whatever the catalogue holds.
        if let Err(error) = print_words(&args, prefix.as_ref()).await {
            eprintln!("modules.api_endpoints cannot be looked at: {error}");
        }
    }
    Ok(GOOD)
}

/// Entries of `modules.api_endpoints` that close nothing.
async fn print_words(
    args: &MigrateArgs,
    prefix: Option<&PathTemplate>,
) -> Result<(), Box<dyn Error>> {
    // What is pending may be missing.
    let store = database::open_to_read(&args.database).await?;
    let catalogue = store.load_catalogue(Clock::System.now()).await.map(|read| read.value);
    let unread = match &catalogue {
        Ok(catalogue) => store.unread_terms(catalogue).await,
        Err(_) => Ok(Vec::new()),
    };
    store.close().await;
    match unread {
        Err(error) if error.is_missing_table() => {}
        unread => print_unread(&unread?),
    }
    let (_, unreadable) = rules_of(&catalogue?, prefix);
    let (words, others): (Vec<_>, Vec<_>) = unreadable.iter().partition(|one| one.is_relative());
    if let Some(first) = words.first() {
        println!(
            "unused   words in modules.api_endpoints that are no paths: {}, such as {}. They close nothing; with --api-endpoints-prefix /api/v1 that one would be /api/v1/{}/**",
            words.len(),
            escape_control(&format!("{:?} of the module {}", first.entry, first.module)),
            escape_control(&first.entry),
        );
    }
    for endpoint in others {
        println!("unused   {}", escape_control(&endpoint.to_string()));
    }
    Ok(())
}

/// Rows about features and limits that count for less than they say.
fn print_unread(unread: &[UnreadTerm]) {
    for term in unread.iter().take(MAX_UNREAD) {
        println!("unread   {}", escape_control(&term.to_string()));
    }
    if unread.len() > MAX_UNREAD {
        println!("unread   and {} more", unread.len() - MAX_UNREAD);
    }
}

fn print(report: &SchemaReport) {
    for column in &report.missing {
        println!("missing  {column}");
    }
    for column in &report.missing_for_administration {
        println!("missing  {column}; checks are answered without it, administrators are not");
    }
    for trigger in &report.unarmed {
        println!("missing  {trigger}");
    }
    for denied in &report.denied {
        println!("denied   {denied}");
    }
    for door in &report.open_doors {
        println!("open     {door}");
    }
    if !report.index_advice.is_empty() {
        println!(
            "\nThis database would profit from the following. Run it at a convenient time; entitlementd never does.\n"
        );
        for statement in &report.index_advice {
            println!("{statement}");
        }
    }
}
