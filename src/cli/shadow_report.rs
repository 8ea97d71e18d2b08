//! `entitlementd routes shadow-report`: what a decision log says would be refused, and which paths
//! no rule covers.

mod propose;

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::Path,
};

use serde_json::json;

use super::{DENIED, GOOD, output::table};
use crate::{
    config::{RoutesShadowReportArgs, UnusableSetting},
    escape::{escape_control, escape_control_json},
    observability::decision_log::DecisionRecord,
};

/// The number of tenants that are counted exactly per row.
const MAX_TENANTS: usize = 100_000;

/// Requests of one kind.
#[derive(Default)]
struct ReportRow {
    requests: u64,
    tenants: BTreeSet<String>,
    last: String,
}

/// What requests of one kind have in common.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct ReportKey {
    method: String,
    /// The rule; empty: there is none.
    route: String,
    /// The outline of the path, if there is no rule.
    path: String,
    module: String,
    /// The key of the feature, if the rule needs one.
    feature: String,
    reason: String,
}

/// Sums up what would have been refused, or had no rule, most frequent first. Exit code 0: nothing,
/// 1: something.
pub(crate) fn run(args: &RoutesShadowReportArgs) -> Result<u8, Box<dyn Error>> {
    let mut rows: BTreeMap<ReportKey, ReportRow> = BTreeMap::new();
    let mut unreadable = 0;
    for line in open(&args.decision_log)?.lines() {
        match serde_json::from_str::<DecisionRecord>(&line?) {
            // That of a limit is no request of a proxy's: `limits shadow-report` has it.
            Ok(entry) if !entry.limit.is_empty() => {}
            Ok(entry) if entry.decision == "would_deny" || !entry.path.is_empty() => {
                count(&mut rows, entry);
            }
            Ok(_) => {}
            Err(_) => unreadable += 1,
        }
    }
    let mut rows: Vec<(ReportKey, ReportRow)> = rows.into_iter().collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.requests));
    let mut out = io::stdout().lock();
    let is_empty = if args.propose {
        propose::print(&mut out, &rows, args.routes.as_deref())? == 0
    } else {
        let print = if args.json { print_json } else { print_table };
        print(&mut out, &rows)?;
        rows.is_empty()
    };
    if unreadable > 0 {
        eprintln!("{unreadable} lines are not of a decision log");
    }
    Ok(if is_empty { GOOD } else { DENIED })
}

/// The lines of a decision log.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead>, UnusableSetting> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let unusable = |error| {
        let problem = format!("names {}, which cannot be read: {error}", path.display());
        UnusableSetting::new("--decision-log", problem)
    };
    Ok(Box::new(BufReader::new(File::open(path).map_err(unusable)?)))
}

fn count(rows: &mut BTreeMap<ReportKey, ReportRow>, entry: DecisionRecord) {
    let DecisionRecord { method, route, path, module, feature, reason, .. } = entry;
    let row = rows.entry(ReportKey { method, route, path, module, feature, reason }).or_default();
    row.requests += 1;
    row.last = entry.time.max(std::mem::take(&mut row.last));
    if row.tenants.len() < MAX_TENANTS && !entry.tenant_id.is_empty() {
        row.tenants.insert(entry.tenant_id);
    }
}

fn print_json(out: &mut io::StdoutLock<'_>, rows: &[(ReportKey, ReportRow)]) -> io::Result<()> {
    let row = |(key, row): &(ReportKey, ReportRow)| {
        json!({ "method": key.method, "route": key.route, "path": key.path, "module": key.module,
                "feature": key.feature, "reason": key.reason, "requests": row.requests, "tenants": row.tenants.len(),
                "last": row.last })
    };
    let json = json!(rows.iter().map(row).collect::<Vec<_>>());
    writeln!(out, "{}", escape_control_json(&format!("{json:#}")))
}

fn print_table(out: &mut io::StdoutLock<'_>, rows: &[(ReportKey, ReportRow)]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "nothing would be refused, and every path has a rule");
    }
    let mut table = table(&["REQUESTS", "TENANTS", "METHOD", "ROUTE", "MODULE", "REASON", "LAST"]);
    for (key, row) in rows {
        let route = if key.route.is_empty() { "(none)" } else { &key.route };
        let route = format!("{route} {}", key.path);
        let module = [&*key.module, &key.feature].join(" ");
        let (requests, tenants) = (row.requests.to_string(), row.tenants.len().to_string());
        let cells = [
            &requests,
            &tenants,
            &key.method,
            route.trim_end(),
            module.trim_end(),
            &key.reason,
            &row.last,
        ];
        table.add_row(cells.map(|cell| escape_control(cell)));
    }
    writeln!(out, "{}", table.trim_fmt())
}
