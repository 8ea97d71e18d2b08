//! `entitlementd routes shadow-report --propose`: rules for what no rule covers.

use std::{
    collections::HashMap,
    error::Error,
    io::{self, Write},
    path::Path,
};

use super::{ReportKey, ReportRow};
use crate::{
    config::UnusableSetting,
    escape::escape_control,
    routes::{PathReading, Proposal, REST, RouteMap, propose, read, write},
};

/// What begins the file.
const HEAD: &str = "\
# Rules for paths that no rule covers, by a decision log. Look at each of them: nobody has said what these paths are for, and
# whoever can send requests can send them to paths that do not exist.";

/// Prints the rules, each with its evidence. Returns how many there are.
pub(super) fn print(
    out: &mut io::StdoutLock<'_>,
    rows: &[(ReportKey, ReportRow)],
    known: Option<&Path>,
) -> Result<usize, Box<dyn Error>> {
    let known = known.map_or(Ok(Vec::new()), |path| {
        read(path).map_err(|error| {
            UnusableSetting::new("--routes", format!("names {}, which {error}", path.display()))
        })
    });
    let (known, _) = RouteMap::new(known?, PathReading::Any);
    let unmapped: Vec<_> = rows.iter().filter(|(key, _)| !key.path.is_empty()).collect();
    let asked = unmapped.iter().map(|(key, _)| (key.method.as_str(), key.path.as_str()));
    let proposals = propose(asked, &known);
    let mut seen: HashMap<&str, (u64, &str)> = HashMap::new();
    for (key, row) in &unmapped {
        let (requests, last) = seen.entry(&key.path).or_default();
        *requests += row.requests;
        *last = (*last).max(&row.last);
    }
    let mut csv = Vec::new();
    let rules: Vec<_> = proposals.iter().map(|proposal| proposal.rule.clone()).collect();
    write(&mut csv, &rules)?;
    // No cell has a line break: a row is a line.
    let csv = String::from_utf8(csv)?;
    let (header, csv_rows) = csv.split_once('\n').unwrap_or((&csv, ""));
    writeln!(out, "{HEAD}\n{header}")?;
    for (proposal, row) in proposals.iter().zip(csv_rows.lines()) {
        let (requests, last) = seen.get(&*proposal.outline).copied().unwrap_or_default();
        let evidence = format!("requests: {requests}, last {last}; {}", reason(proposal));
        writeln!(out, "# {}\n{row}", escape_control(&evidence))?;
    }
    if seen.contains_key(REST) {
        eprintln!("there are more paths than the log tells apart: they are together in {REST}");
    }
    Ok(proposals.len())
}

fn reason(Proposal { like, .. }: &Proposal) -> String {
    match like {
        Some(rule) => format!("as its neighbours, such as {}", rule.path),
        None => "closed, since no neighbours say what it needs".to_owned(),
    }
}
