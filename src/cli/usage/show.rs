//! `usage show`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    cli::{
        output::{CommandResult, instant, print, print_json, table},
        tenant::{key, time_zone_in_words},
    },
    clock::Clock,
    config::UsageShowArgs,
    domain::{
        KeyRow, KeyState,
        calendar::{ZoneStanding, Zones},
    },
    escape::escape_control,
    server::database,
    store::{
        time_zone_to_json,
        usage::{CountedKey, ShownMeter, TenantUsage},
    },
};

pub(super) async fn run(args: UsageShowArgs) -> CommandResult {
    let (key, at) = (key(&args.tenant)?, Clock::System.now());
    let store = database::open_to_read(&args.database).await?;
    let shown = args.meter.as_deref().map(|meter| ShownMeter { meter, modules: None });
    let read = store.tenant_usage(&key, shown, at).await;
    store.close().await;
    let usage =
        read?.ok_or_else(|| format!("there is no tenant {:?}", escape_control(&args.tenant)))?;
    let zones = Zones::new(args.zone.time_zone, Arc::clone(&usage.zones)).standing(at);
    if args.json { print_json(&as_json(&usage, &zones)) } else { print(&as_text(&usage, &zones)) }
}

fn as_text(usage: &TenantUsage, zones: &ZoneStanding) -> String {
    let zone = format!("months of {}", time_zone_in_words(Some(&time_zone_to_json(zones))));
    let mut counters = table(&["METER", "PERIOD", "USED", "HELD"]);
    for ((meter, period), counter) in &usage.counters {
        let period = if period.is_empty() { "-" } else { period };
        counters.add_row([
            escape_control(&meter.meter).into_owned(),
            escape_control(period).into_owned(),
            counter.used.to_string(),
            counter.held.to_string(),
        ]);
    }
    if usage.keys.is_empty() {
        return format!("{zone}\n\n{}", counters.trim_fmt());
    }
    let mut keys =
        table(&["KEY", "AMOUNT", "USED", "STATE", "SINCE", "PERIOD", "MODULE", "HOLDER"]);
    for CountedKey { key, row, changed_at } in &usage.keys {
        keys.add_row([
            escape_control(key).into_owned(),
            row.amount.to_string(),
            row.used.to_string(),
            state(row.state),
            instant(*changed_at),
            row.period.to_string(),
            escape_control(&row.module).into_owned(),
            escape_control(holder(row)).into_owned(),
        ]);
    }
    format!("{zone}\n\n{}\n\n{}", counters.trim_fmt(), keys.trim_fmt())
}

/// Who holds it as a lease; empty: it is none.
fn holder(row: &KeyRow) -> &str {
    row.lease.as_ref().map_or("", |lease| &*lease.holder)
}

fn state(state: KeyState) -> String {
    match state {
        KeyState::Held(until) => format!("held until {}", instant(until)),
        KeyState::Counted | KeyState::Released => state.word().to_owned(),
    }
}

fn as_json(usage: &TenantUsage, zones: &ZoneStanding) -> Value {
    let counters = usage.counters.iter().map(|((meter, period), counter)| {
        json!({ "meter": &*meter.meter, "period": &**period, "used": counter.used, "held": counter.held })
    });
    let keys = usage.keys.iter().map(|CountedKey { key, row, changed_at }| {
        let until = if let KeyState::Held(until) = row.state { Some(instant(until)) } else { None };
        json!({
            "key": key,
            "amount": row.amount,
            "asked": row.asked,
            "state": row.state.word(),
            "held_until": until,
            "changed_at": instant(*changed_at),
            "period": &*row.period,
            "module_code": &*row.module,
            "used": row.used,
            "lease_holder": holder(row),
            "corrects": &*row.corrects,
        })
    });
    json!({
        "counters": counters.collect::<Vec<_>>(),
        "keys": keys.collect::<Vec<_>>(),
        "time_zone": time_zone_to_json(zones),
    })
}
