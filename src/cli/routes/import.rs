//! `entitlementd routes import`: a route map for an application's own endpoints.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::super::{DENIED, GOOD, output::CommandResult};
use crate::{
    config::{RoutesImportArgs, UnusableSetting},
    escape::escape_control,
    routes::{Imported, PathReading, RouteMap, import, read, write},
};

/// Maximum size of an OpenAPI document, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Writes the map, and says on standard error what it leaves out. Exit code 0: nothing, 1: something.
pub(super) fn run(args: &RoutesImportArgs) -> CommandResult {
    let document = document(&args.openapi).map_err(|error| {
        let problem = format!("names {}, which cannot be read: {error}", args.openapi.display());
        UnusableSetting::new("--openapi", problem)
    })?;
    let unusable = |problem| {
        UnusableSetting::new("--modules", format!("names {}, {problem}", args.modules.display()))
    };
    let rules = read(&args.modules).map_err(|error| unusable(format!("which {error}")))?;
    // Every path here is a template, so there is but one way to read it.
    let (map, conflicts) = RouteMap::new(rules, PathReading::Literal);
    if let Some(conflict) = conflicts.first() {
        return Err(unusable(format!("in which {conflict}")).into());
    }
    let imported = import(&document, &map).map_err(|error| {
        let problem = format!("names {}, which {error}", args.openapi.display());
        UnusableSetting::new("--openapi", problem)
    })?;
    match &args.output {
        None => write(io::stdout().lock(), &imported.rules)?,
        Some(path) => {
            let file = File::create(path).map_err(|error| {
                let problem = format!("names {}, which cannot be written: {error}", path.display());
                UnusableSetting::new("--output", problem)
            })?;
            write(file, &imported.rules)?;
        }
    }
    Ok(if report(&imported) == 0 { GOOD } else { DENIED })
}

fn document(path: &Path) -> io::Result<String> {
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path)?)
    };
    let mut text = String::new();
    if source.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(text)
}

/// Says what the map leaves out, and how much that is.
fn report(imported: &Imported) -> usize {
    let Imported { rules, uncovered, unreadable, unmatched } = imported;
    let say = |kind: &str, text: String| eprintln!("{kind:<15} {}", escape_control(&text));
    for operation in uncovered {
        say("no rule", format!("{} {}", operation.method, operation.path));
    }
    for (operation, problem) in unreadable {
        say("unreadable", format!("{} {}: {problem}", operation.method, operation.path));
    }
    for rule in unmatched {
        say("no endpoint", rule.to_string());
    }
    let covered: usize = rules.iter().map(|rule| rule.methods.len()).sum();
    eprintln!(
        "endpoints with a rule: {covered}, in {} rules; without: {}; not readable: {}; rules without an endpoint: {}",
        rules.len(),
        uncovered.len(),
        unreadable.len(),
        unmatched.len(),
    );
    uncovered.len() + unreadable.len() + unmatched.len()
}
