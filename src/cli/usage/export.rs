//! `usage export`.

use std::{error::Error, io::Write};

use serde_json::json;

use crate::{
    cli::{
        GOOD,
        output::{CommandResult, instant},
        tenant::key,
    },
    clock::Clock,
    config::UsageExportArgs,
    escape::escape_control,
    server::database,
    store::{
        Store,
        usage::{ExportedDay, ExportedDays},
    },
};

const COLUMNS: [&str; 8] = [
    "day",
    "tenant_id",
    "meter",
    "module_code",
    "amount",
    "event_count",
    "late_amount",
    "recorded_at",
];

pub(super) async fn run(args: UsageExportArgs) -> CommandResult {
    if args.from >= args.to {
        return Err("--to must come after --from".into());
    }
    let key = args.tenant.as_deref().map(key).transpose()?;
    let store = database::open_to_read(&args.database).await?;
    let tenant = match &key {
        None => None,
        Some(key) => {
            let found = store.read(key, Clock::System.now()).await?.evidence;
            let named = escape_control(args.tenant.as_deref().unwrap_or_default());
            Some(found.ok_or_else(|| format!("there is no tenant {named:?}"))?.facts.tenant.id)
        }
    };
    let asked = ExportedDays { from: args.from, to: args.to, tenant, meter: args.meter.clone() };
    let exported = export(&store, asked, args.json).await;
    store.close().await;
    exported?;
    Ok(GOOD)
}

/// Page by page, so that years of many tenants need no memory.
async fn export(store: &Store, asked: ExportedDays, as_json: bool) -> Result<(), Box<dyn Error>> {
    let mut csv = csv::Writer::from_writer(std::io::stdout());
    if !as_json {
        csv.write_record(COLUMNS)?;
    }
    let mut last = None;
    loop {
        let page = store.exported_days(&asked, last.as_ref()).await?;
        for day in &page {
            if as_json {
                writeln!(csv.get_ref(), "{}", to_json(day))?;
            } else {
                csv.write_record(cells(day))?;
            }
        }
        csv.flush()?;
        match page.into_iter().next_back() {
            Some(day) => last = Some(day),
            None => return Ok(()),
        }
    }
}

fn cells(day: &ExportedDay) -> [String; 8] {
    [
        day.day.clone(),
        day.tenant.to_string(),
        day.meter.clone(),
        day.module.clone(),
        day.amount.to_string(),
        day.events.to_string(),
        day.late.to_string(),
        instant(day.recorded_at),
    ]
}

fn to_json(day: &ExportedDay) -> serde_json::Value {
    json!({
        "day": day.day,
        "tenant_id": day.tenant.to_string(),
        "meter": day.meter,
        "module_code": day.module,
        "amount": day.amount,
        "event_count": day.events,
        "late_amount": day.late,
        "recorded_at": instant(day.recorded_at),
    })
}
