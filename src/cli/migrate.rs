//! `entitlementd migrate`.

use std::error::Error;

use super::GOOD;
use crate::{
    config::MigrateArgs,
    server::database::{self, Opening},
    store::SchemaReport,
};

/// Applies the pending steps, or with `--status` only lists them.
pub(crate) async fn run(args: MigrateArgs) -> Result<u8, Box<dyn Error>> {
    let opening =
        Opening { log: database::log(args.changes), create: !args.status, ..database::PATIENT };
    let store = database::open_store(&args.database, &opening).await?;
    if !args.status {
        store.migrate().await?;
    }
    print(&store.schema().await?);
    store.close().await;
    Ok(GOOD)
}

fn print(report: &SchemaReport) {
    for step in &report.steps {
        println!("{step}");
    }
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
