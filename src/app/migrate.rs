//! `entitlementd migrate`.

use std::error::Error;

use super::{
    GOOD,
    wiring::{self, Opening},
};
use crate::{config::MigrateArgs, store::SchemaReport};

/// Applies the pending steps, or with `--status` only lists them.
pub(super) async fn run(args: MigrateArgs) -> Result<u8, Box<dyn Error>> {
    let opening = Opening { log: wiring::log(args.changes), create: !args.status, ..wiring::PATIENT };
    let store = wiring::open_store(&args.database, &opening).await?;
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
            "\nThis database would profit from the following. Run it when it suits you; entitlementd never will.\n"
        );
        for statement in &report.index_advice {
            println!("{statement}");
        }
    }
}
