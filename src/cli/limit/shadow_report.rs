//! `entitlementd limit shadow-report`: whom limits would have stopped, by a decision log.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    error::Error,
    io::{self, BufRead, Write},
};

use serde_json::json;

use crate::{
    cli::{DENIED, GOOD, output::table, shadow_report::open},
    config::LimitsShadowReportArgs,
    escape::{escape_control, escape_control_json},
    observability::decision_log::DecisionRecord,
};

/// The number of rows that are kept: a tenant has one for each limit and reason.
const MAX_ROWS: usize = 1_000_000;

/// What the requests of one row have in common.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Stopped {
    tenant: String,
    limit: String,
    reason: String,
}

/// How often, and when last.
#[derive(Default)]
struct Times {
    requests: u64,
    last: String,
}

/// Sums up what would have been refused, most frequent first. Exit code 0: nothing, 1: something.
pub(super) fn run(args: &LimitsShadowReportArgs) -> Result<u8, Box<dyn Error>> {
    let mut rows: BTreeMap<Stopped, Times> = BTreeMap::new();
    let (mut unreadable, mut beyond) = (0_u64, 0_u64);
    for line in open(&args.decision_log)?.lines() {
        match serde_json::from_str::<DecisionRecord>(&line?) {
            Ok(entry) if entry.decision == "would_deny" && !entry.limit.is_empty() => {
                let DecisionRecord { tenant_id: tenant, limit, reason, time, .. } = entry;
                let stopped = Stopped { tenant, limit, reason };
                if rows.len() >= MAX_ROWS && !rows.contains_key(&stopped) {
                    beyond += 1;
                    continue;
                }
                let times = rows.entry(stopped).or_default();
                times.requests += 1;
                times.last = time.max(std::mem::take(&mut times.last));
            }
            Ok(_) => {}
            Err(_) => unreadable += 1,
        }
    }
    let mut rows: Vec<(Stopped, Times)> = rows.into_iter().collect();
    rows.sort_by_key(|(_, times)| Reverse(times.requests));
    let print = if args.json { print_json } else { print_table };
    print(&mut io::stdout().lock(), &rows)?;
    if unreadable > 0 {
        eprintln!("{unreadable} lines are not of a decision log");
    }
    if beyond > 0 {
        eprintln!("{beyond} requests are not counted: there are more than {MAX_ROWS} rows");
    }
    Ok(if rows.is_empty() { GOOD } else { DENIED })
}

fn print_json(out: &mut io::StdoutLock<'_>, rows: &[(Stopped, Times)]) -> io::Result<()> {
    let row = |(stopped, times): &(Stopped, Times)| {
        json!({ "tenant_id": stopped.tenant, "limit": stopped.limit, "reason": stopped.reason,
                "requests": times.requests, "last": times.last })
    };
    let json = json!(rows.iter().map(row).collect::<Vec<_>>());
    writeln!(out, "{}", escape_control_json(&format!("{json:#}")))
}

fn print_table(out: &mut io::StdoutLock<'_>, rows: &[(Stopped, Times)]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no limit would have stopped anybody");
    }
    let mut table = table(&["REQUESTS", "TENANT", "LIMIT", "REASON", "LAST"]);
    for (stopped, times) in rows {
        let requests = times.requests.to_string();
        let cells = [&requests, &stopped.tenant, &stopped.limit, &stopped.reason, &times.last];
        table.add_row(cells.map(|cell| escape_control(cell)));
    }
    writeln!(out, "{}", table.trim_fmt())
}
