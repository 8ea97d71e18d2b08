//! `entitlementd usage`.

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
    }
}

async fn verify(args: UsageVerifyArgs) -> CommandResult {
    let now = Clock::System.now();
    if args.print_sql {
        return print(&format!("{};", usage::verify(&usage::oldest(now, args.time_zone))));
    }
    let store = database::open_to_read(&args.database).await?;
    let read = store.verify_usage(now, args.time_zone).await;
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
    let mut table = table(&["TENANT", "METER", "PERIOD", "USED", "ITS KEYS", "HELD", "ITS KEYS"]);
    for WrongCounter { tenant, meter, period, says, keys } in wrong {
        let says = says.map(|says| says.map(|number| number.to_string()));
        let [used, held] = says.unwrap_or(["-".to_owned(), "-".to_owned()]);
        let [counted_keys, held_keys] = keys.map(|number| number.to_string());
        let cells = [
            tenant.to_string(),
            meter.clone(),
            period.clone(),
            used,
            counted_keys,
            held,
            held_keys,
        ];
        table.add_row(cells.map(|cell| escape_control(&cell).into_owned()));
    }
    table.trim_fmt()
}

fn to_json(WrongCounter { tenant, meter, period, says, keys }: &WrongCounter) -> Value {
    json!({
        "tenant_id": tenant.to_string(),
        "meter": meter,
        "period": period,
        "used": says.map(|[used, _]| used),
        "held": says.map(|[_, held]| held),
        "counted_keys": keys[0],
        "held_keys": keys[1],
    })
}
