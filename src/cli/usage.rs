//! `entitlementd usage`.

mod export;
mod reconcile;
mod show;

use serde_json::{Value, json};

use super::{
    DENIED,
    output::{CommandResult, print, print_json, table},
};
use crate::{
    clock::Clock,
    config::{UsageCommand, UsageVerifyArgs},
    escape::escape_control,
    server::database,
    store::usage::{self, WrongCounter},
};

pub(crate) async fn run(command: UsageCommand) -> CommandResult {
    match command {
        UsageCommand::Show(args) => show::run(args).await,
        UsageCommand::Verify(args) => verify(args).await,
        UsageCommand::Reconcile(args) => reconcile::run(args).await,
        UsageCommand::Export(args) => export::run(args).await,
    }
}

async fn verify(args: UsageVerifyArgs) -> CommandResult {
    let now = Clock::System.now();
    if args.print_sql {
        return print(&format!("{};", usage::verify(&usage::oldest(now))));
    }
    let store = database::open_to_read(&args.database).await?;
    let read = store.verify_usage(now).await;
    store.close().await;
    let wrong = read?;
    if args.json {
        print_json(&wrong.iter().map(to_json).collect())?;
    } else if wrong.is_empty() {
        print("Every counter is the sum of what it has counted.")?;
    } else {
        print(&as_text(&wrong))?;
    }
    Ok(if wrong.is_empty() { super::GOOD } else { DENIED })
}

fn as_text(wrong: &[WrongCounter]) -> String {
    let columns = ["TENANT", "METER", "PERIOD", "USED", "ITS KEYS", "ITS DAYS", "HELD", "ITS KEYS"];
    let mut table = table(&columns);
    for WrongCounter { tenant, meter, period, says: [used, held], keys, days } in wrong {
        let [counted_keys, held_keys] = keys;
        let cells = [
            tenant.to_string(),
            meter.clone(),
            period.clone(),
            used.to_string(),
            counted_keys.to_string(),
            if period.is_empty() { "-".to_owned() } else { days.to_string() },
            held.to_string(),
            held_keys.to_string(),
        ];
        table.add_row(cells.map(|cell| escape_control(&cell).into_owned()));
    }
    table.trim_fmt()
}

fn to_json(
    WrongCounter { tenant, meter, period, says: [used, held], keys, days }: &WrongCounter,
) -> Value {
    json!({
        "tenant_id": tenant.to_string(),
        "meter": meter,
        "period": period,
        "used": used,
        "held": held,
        "counted": keys[0],
        "held_keys": keys[1],
        "days": (!period.is_empty()).then_some(days),
    })
}
