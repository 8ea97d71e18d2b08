//! `entitlementd limit shadow-report`: whom limits have stopped, or would have, by a decision log.

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
    domain::LimitReason,
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
    decision: String,
}

/// How often, and when last.
#[derive(Default)]
struct Times {
    requests: u64,
    last: String,
}

/// Sums up what was refused, or would have been, most frequent first. Exit code 0: nothing, 1:
/// something.
pub(super) fn run(args: &LimitsShadowReportArgs) -> Result<u8, Box<dyn Error>> {
    let mut rows: BTreeMap<Stopped, Times> = BTreeMap::new();
    let (mut read, mut unreadable, mut beyond) = (0_u64, 0_u64, 0_u64);
    for line in open(&args.decision_log)?.lines() {
        match serde_json::from_str::<DecisionRecord>(&line?) {
            Ok(entry) if is_by_a_limit(&entry) => {
                read += 1;
                let DecisionRecord { tenant_id: tenant, limit, reason, decision, time, .. } = entry;
                let stopped = Stopped { tenant, limit, reason, decision };
                if rows.len() >= MAX_ROWS && !rows.contains_key(&stopped) {
                    beyond += 1;
                    continue;
                }
                let times = rows.entry(stopped).or_default();
                times.requests += 1;
                times.last = time.max(std::mem::take(&mut times.last));
            }
            Ok(_) => read += 1,
            Err(_) => unreadable += 1,
        }
    }
    if read == 0 && unreadable > 0 {
        return Err("this is no decision log: no line of it can be read".into());
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

/// Was it refused for a limit, or would it have been?
fn is_by_a_limit(entry: &DecisionRecord) -> bool {
    let is_refused = ["would_deny", "denied"].contains(&entry.decision.as_str());
    let is_by_tenant = entry.reason == LimitReason::TenantDenied.word();
    !entry.limit.is_empty() && is_refused && !is_by_tenant
}

fn print_json(out: &mut io::StdoutLock<'_>, rows: &[(Stopped, Times)]) -> io::Result<()> {
    let row = |(stopped, times): &(Stopped, Times)| {
        json!({ "tenant_id": stopped.tenant, "limit": stopped.limit, "reason": stopped.reason,
                "decision": stopped.decision, "requests": times.requests, "last": times.last })
    };
    let json = json!(rows.iter().map(row).collect::<Vec<_>>());
    writeln!(out, "{}", escape_control_json(&format!("{json:#}")))
}

fn print_table(out: &mut io::StdoutLock<'_>, rows: &[(Stopped, Times)]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(
            out,
            "no limit has stopped anybody, nor would have. A server logs that with --enforce-limits shadow or on, and where CheckLimit is asked"
        );
    }
    let mut table = table(&["REQUESTS", "TENANT", "LIMIT", "REASON", "DECISION", "LAST"]);
    for (stopped, times) in rows {
        let requests = times.requests.to_string();
        let Stopped { tenant, limit, reason, decision } = stopped;
        let cells = [&requests, tenant, limit, reason, decision, &times.last];
        table.add_row(cells.map(|cell| escape_control(cell)));
    }
    writeln!(out, "{}", table.trim_fmt())
}
